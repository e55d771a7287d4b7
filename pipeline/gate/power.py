"""How often does the gate reject a batch? `cardiowatch measure gate-power`.

Cleveland is split in three again and again: two parts are trusted, one batch of each size is drawn
from the third, and its labels are changed. What is counted has been seen by neither the model nor
the limit. Rejected = the loss is above the limit, or the label is found to be inverted.

One batch per split, because several from the same third share its patients, its model and its
limit: five batches of 100 out of 101 are the same batch five times, and counting them as five made
30 splits look like 150 batches.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

import click
import numpy as np
import pandas as pd
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from pipeline.dataset.heart import check_label, is_inverted, training_source
from pipeline.gate.label_loss import LossLimit, TrustedLosses, decide, loss_limit
from pipeline.model.design_matrix import Array
from pipeline.poisoning import C
from pipeline.schema import NAMES, SENSITIVE, Feature
from pipeline.statistics.proportions import wilson_interval
from pipeline.training.imputation import fit_missingness_augmented

SIZES = (20, 50, 100)
SPLITS = 400  # a share of .05 is then known to .02: 30 s of CPU
PARTS = 3

Rows = NDArray[np.intp]


@dataclass(frozen=True)
class Batch:
    """A batch with its true labels, and what an attacker can know."""

    rows: Array
    y: Array
    p: Array
    """Probability of disease by the trusted model."""
    rng: np.random.Generator

    def sample(self, candidates: Rows, share: float) -> Rows:
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


def _hide(feature: Feature, code: int) -> Callable[[Batch], Array]:
    """Return the attack that labels healthy who has disease in one group."""
    column = NAMES.index(feature.name)
    return lambda b: _flip(b, np.flatnonzero((b.y == 1) & (b.rows[:, column] == code)))


def _most_certain(batch: Batch, share: float) -> Rows:
    own = np.where(batch.y == 1, batch.p, 1.0 - batch.p)
    return np.argsort(-own, kind="stable")[: round(share * len(own))]


SCENARIOS: Mapping[str, Callable[[Batch], Array]] = {
    "clean": lambda b: b.y,
    "10 % random flips": lambda b: _flip(b, b.sample(_everyone(b), 0.1)),
    "20 % random flips": lambda b: _flip(b, b.sample(_everyone(b), 0.2)),
    "20 % disease hidden": lambda b: _flip(b, b.sample(_sick(b), 0.2)),
    **{
        f"all with disease labelled healthy: {feature.told_groups[0][1]}": _hide(
            feature, feature.told_groups[0][0]
        )
        for feature in SENSITIVE
        if feature.codes
    },
    "10 % most certain flips": lambda b: _flip(b, _most_certain(b, 0.1)),
    "label turned round": lambda b: 1.0 - b.y,
}


@dataclass(frozen=True)
class RejectionRate:
    """How many batches of one kind and size were rejected."""

    count: int
    share: float
    low: float
    high: float
    """95 % interval of the share (Wilson) over splits of *these* patients; how far others of the
    same hospital differ is not in it."""


@dataclass(frozen=True)
class Power:
    """How often the gate rejects a batch, by its label error and size."""

    splits: int
    """And batches behind each share: one per split and size."""
    refused: Mapping[str, Mapping[int, RejectionRate]]
    """Batch -> patients in it -> how many were rejected; of clean ones, the false positives."""

    def to_dict(self) -> dict[str, Any]:
        """Return plain values."""
        return asdict(self)


def measure(
    rows: Array,
    y: Array,
    c: float = C,
    *,
    splits: int = SPLITS,
    seed: int = 0,
    progress: Callable[[float], object] | None = None,
) -> Power:
    """Measure false alarms and power on patients whose labels are right.

    Parameters
    ----------
    rows
        Patients, UCI codes, shape (n, 13), NaN = missing.
    y
        Their labels 0.0 or 1.0, shape (n,).
    c
        Inverse strength of the L2 penalty.
    splits
        How often the patients are split.
    seed
        Of splits and batches.
    progress
        Called with the share done.
    """
    sizes = [n for n in SIZES if n <= len(y) // PARTS]
    refused = {name: dict.fromkeys(sizes, 0) for name in SCENARIOS}
    for split in range(splits):
        rng = np.random.default_rng([seed, split])
        held_out = np.zeros(len(y), dtype=bool)
        held_out[rng.permutation(len(y))[: len(y) // PARTS]] = True
        reference = TrustedLosses(rows[~held_out], y[~held_out], c)
        p = fit_missingness_augmented(rows[~held_out], y[~held_out], c)(rows)
        for n in sizes:
            drawn = rng.choice(np.flatnonzero(held_out), n, replace=False)
            batch = Batch(rows[drawn], y[drawn], p[drawn], rng)
            expected = loss_limit(batch.rows, reference)
            for name, change in SCENARIOS.items():
                refused[name][n] += _refuses(batch, change(batch), expected)
        if progress:
            progress((split + 1) / splits)
    counted = {
        name: {n: _share(count, splits) for n, count in by_size.items()}
        for name, by_size in refused.items()
    }
    return Power(splits, counted)


def _share(count: int, of: int) -> RejectionRate:
    low, high = wilson_interval(count, of)
    return RejectionRate(count, round(count / of, 4), round(low, 4), round(high, 4))


def _refuses(batch: Batch, y: Array, expected: LossLimit) -> bool:
    if not decide(y, batch.p, expected).accept:
        return True
    raw, claimed = pd.DataFrame(batch.rows, columns=list(NAMES)), pd.Series(y)
    return is_inverted(check_label(raw, claimed), claimed) is True


@click.command("gate-power")
@click.option("--splits", type=click.IntRange(1), default=SPLITS, show_default=True, help="Splits.")
def command(splits: int) -> None:
    """Measure how often the gate rejects clean and poisoned batches of Cleveland's patients.

    400 splits take 30 s.
    """
    source = training_source()

    def progress(done: float) -> None:
        print(f"\rgate: {done:4.0%}", end="", file=sys.stderr, flush=True)

    with threadpool_limits(1):
        found = measure(source.rows, source.disease, splits=splits, progress=progress)
    print(file=sys.stderr)
    print(f"share rejected [95 %], {found.splits} batches a cell\n")
    print("| batch | " + " | ".join(f"n = {n}" for n in SIZES) + " |")
    print("|---" * (1 + len(SIZES)) + "|")
    for name, by_size in found.refused.items():
        cells = [f"{r.share:.3f} [{r.low:.3f}, {r.high:.3f}]" for r in by_size.values()]
        print(f"| {name} | " + " | ".join(cells) + " |")
