"""How uncertain fairlearn's differences are, and how large chance alone makes them. numpy only.

Both come from tables, never from patients: the rates of resampled patients depend on their counts
only, and counts of patients drawn with replacement are multinomial. Thousands of draws cost
milliseconds.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from pipeline.fairness.confusion_matrix import (
    FN,
    FP,
    FPR,
    RECALL,
    SELECTION,
    TN,
    TP,
    ConfusionMatrix,
    Metric,
)
from pipeline.model.design_matrix import Array
from pipeline.statistics.proportions import Interval

N_DRAWS = 2_000
_TAILS = (0.025, 0.975)


@dataclass(frozen=True)
class BootstrapDifference:
    """A largest-minus-smallest difference with its resampling interval."""

    value: float
    interval: Interval
    """95 % percentile interval of the bootstrap. A difference is never below 0, nor is this."""
    by_chance: float
    """Mean of the difference when all groups have the same rates and these numbers of patients."""
    p_value: float
    """How often such draws reach the value; 1 = always."""


def demographic_parity(
    cells: Sequence[ConfusionMatrix], rng: np.random.Generator
) -> BootstrapDifference:
    """Resample the demographic parity difference: of the selection rates."""
    selected, n = _fractions(SELECTION, cells)
    observed = _difference(selected, n)
    drawn = _difference(_draw(n, selected / n, rng), n)
    return _spread(observed, drawn, _difference(_alike(selected, n, rng), n))


def equalized_odds(
    cells: Sequence[ConfusionMatrix], rng: np.random.Generator
) -> BootstrapDifference:
    """Resample the equalized odds difference: the larger of those of recall and FPR."""
    (hits, sick), (alarms, well) = _fractions(RECALL, cells), _fractions(FPR, cells)
    observed = np.maximum(_difference(hits, sick), _difference(alarms, well))
    tables = np.stack([_tables(cell.counts[: TN + 1], rng) for cell in cells], axis=1)
    drawn = np.maximum(
        _difference(tables[..., TP], tables[..., TP] + tables[..., FN]),
        _difference(tables[..., FP], tables[..., FP] + tables[..., TN]),
    )
    alike = np.maximum(
        _difference(_alike(hits, sick, rng), sick), _difference(_alike(alarms, well, rng), well)
    )
    return _spread(observed, drawn, alike)


def _fractions(metric: Metric, cells: Sequence[ConfusionMatrix]) -> tuple[Array, Array]:
    counts = np.array([cell.count(metric) for cell in cells], dtype=float)
    return counts, np.array([cell.n(metric) for cell in cells], dtype=float)


def _difference(counts: Array, n: Array) -> Array:
    """Largest minus smallest share over the last axis; an empty cell's is 0, as in fairlearn."""
    shares = np.divide(
        counts, n, out=np.zeros(np.broadcast_shapes(counts.shape, n.shape)), where=n > 0
    )
    return np.asarray(shares.max(axis=-1) - shares.min(axis=-1))


def _tables(counts: Array, rng: np.random.Generator) -> Array:
    total = int(counts.sum())
    shares = counts / total if total else np.full(len(counts), 1 / len(counts))
    return rng.multinomial(total, shares, N_DRAWS).astype(float)


def _draw(n: Array, shares: Array, rng: np.random.Generator) -> Array:
    return rng.binomial(n.astype(int), shares, (N_DRAWS, len(n))).astype(float)


def _alike(counts: Array, n: Array, rng: np.random.Generator) -> Array:
    """Draw counts as if every group had the rate of all."""
    share = counts.sum() / n.sum() if n.sum() else 0.0
    return _draw(n, np.full(len(n), share), rng)


def _spread(observed: Array, drawn: Array, alike: Array) -> BootstrapDifference:
    low, high = np.quantile(drawn, _TAILS).tolist()
    value = float(observed)
    # One more of each, because the observed table is a possible draw, too; 1e-9 is rounding.
    reached = (1 + int((alike >= value - 1e-9).sum())) / (1 + N_DRAWS)
    return BootstrapDifference(value, (low, high), float(alike.mean()), reached)
