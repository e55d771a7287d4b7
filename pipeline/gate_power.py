"""How often does the gate refuse? `python -m pipeline.gate_power [--splits 60]`.

Cleveland is split in three again and again: two parts are trusted, batches are drawn from the third
without replacement, and their labels are changed. What is counted has been seen by neither the
model nor the limit. Refused = the loss is above the limit, or the label is found to be inverted.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from pipeline.codings import Coding
from pipeline.data import HEART_CSV, Patients, read
from pipeline.design import Array
from pipeline.gate import Expected, Reference, expect, judge
from pipeline.label import check_label, is_inverted
from pipeline.poisoning import C
from pipeline.schema import NAMES
from pipeline.training.treatments import fit_augmented

SIZES = (20, 50, 100)
SPLITS = 60
DRAWS = 5  # batches per split and size
PARTS = 3

Rows = NDArray[np.intp]

_SEX = NAMES.index("sex")


@dataclass(frozen=True)
class Batch:
    """A batch with its true labels, and what an attacker can know."""

    rows: Array
    y: Array
    p: Array
    """Probability of disease by the trusted model."""
    rng: np.random.Generator

    def some(self, candidates: Rows, share: float) -> Rows:
        """Draw `share` of the whole batch among the candidates, or all of them."""
        wanted = min(round(share * len(self.y)), len(candidates))
        return self.rng.choice(candidates, wanted, replace=False)


def _flip(batch: Batch, who: Rows) -> Array:
    y = batch.y.copy()
    y[who] = 1.0 - y[who]
    return y


def _everyone(batch: Batch) -> Rows:
    return np.arange(len(batch.y))


def _sick(batch: Batch) -> Rows:
    return np.flatnonzero(batch.y == 1)


def _sick_women(batch: Batch) -> Rows:
    return np.flatnonzero((batch.y == 1) & (batch.rows[:, _SEX] == 0))


def _most_certain(batch: Batch, share: float) -> Rows:
    own = np.where(batch.y == 1, batch.p, 1.0 - batch.p)
    return np.argsort(-own, kind="stable")[: round(share * len(own))]


SCENARIOS: Mapping[str, Callable[[Batch], Array]] = {
    "clean": lambda b: b.y,
    "10 % random flips": lambda b: _flip(b, b.some(_everyone(b), 0.1)),
    "20 % random flips": lambda b: _flip(b, b.some(_everyone(b), 0.2)),
    "20 % disease hidden": lambda b: _flip(b, b.some(_sick(b), 0.2)),
    "all sick women hidden": lambda b: _flip(b, _sick_women(b)),
    "10 % most certain flips": lambda b: _flip(b, _most_certain(b, 0.1)),
    "label turned round": lambda b: 1.0 - b.y,
}


def measure(splits: int = SPLITS, seed: int = 0) -> dict[tuple[str, int], float]:
    """Return the share of refused batches by scenario and size."""
    patients = read(HEART_CSV, Coding.UCI)
    assert patients.features is not None and patients.disease is not None  # noqa: S101, PT018
    rows = patients.features.to_numpy(dtype=float)
    y = patients.disease.to_numpy(dtype=float)
    refused: dict[tuple[str, int], list[bool]] = {(s, n): [] for s in SCENARIOS for n in SIZES}
    for split in range(splits):
        rng = np.random.default_rng([seed, split])
        held_out = np.zeros(len(y), dtype=bool)
        held_out[rng.permutation(len(y))[: len(y) // PARTS]] = True
        reference = Reference(rows[~held_out], y[~held_out], C)
        p = fit_augmented(rows[~held_out], y[~held_out], C)(rows)
        for n in SIZES:
            for _ in range(DRAWS):
                drawn = rng.choice(np.flatnonzero(held_out), n, replace=False)
                batch = Batch(rows[drawn], y[drawn], p[drawn], rng)
                expected = expect(batch.rows, reference)
                for name, change in SCENARIOS.items():
                    refused[name, n].append(_refuses(batch, change(batch), patients, expected))
        print(f"\rgate: {(split + 1) / splits:4.0%}", end="", file=sys.stderr, flush=True)
    print(file=sys.stderr)
    return {key: float(np.mean(found)) for key, found in refused.items()}


def _refuses(batch: Batch, y: Array, patients: Patients, expected: Expected) -> bool:
    if not judge(y, batch.p, expected).accept:
        return True
    raw = pd.DataFrame(batch.rows, columns=list(NAMES))
    claimed = Patients(**{**vars(patients), "raw": raw, "features": raw, "disease": pd.Series(y)})
    return is_inverted(check_label(claimed), claimed) is True


def main() -> None:
    """Print a table of refused shares."""
    parser = argparse.ArgumentParser(
        prog="python -m pipeline.gate_power",
        description="How often does the gate refuse clean and poisoned batches?",
    )
    parser.add_argument("--splits", type=int, default=SPLITS, help=f"default {SPLITS}")
    splits = parser.parse_args().splits
    with threadpool_limits(1):
        found = measure(splits)
    print("| batch | " + " | ".join(f"n = {n}" for n in SIZES) + " |")
    print("|---" * (1 + len(SIZES)) + "|")
    for name in SCENARIOS:
        print(f"| {name} | " + " | ".join(f"{found[name, n]:.3f}" for n in SIZES) + " |")


if __name__ == "__main__":
    main()
