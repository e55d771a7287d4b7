"""How far two sets of values are apart: statistics and effect sizes from value counts.

All of them depend on the counts alone, so that rows and counts give the same numbers.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike
from scipy import special

from pipeline.drift.contingency_tables import Array, ContingencyTable

_PSI_BINS = 10  # deciles of the reference, the usual choice
_PSI_PRIOR = 0.5  # added to each bin's count, so that an empty bin is not an infinite distance
_TAIL = 0.025
ROUNDING_BASE = 10
"""Steps of a scale to which people round: 10 mm Hg, 1 mm."""
ANDERSON_DARLING_POINTS = (
    40  # points at which Anderson-Darling looks; more change nothing that can be seen
)


class TwoSampleTest(NamedTuple):
    """A classical two-sample test, shown beside the verdict and not part of it."""

    name: str
    statistic: float
    p_value: float


@dataclass(frozen=True)
class EffectSize:
    """Effect sizes of one feature, over its known values."""

    effect: float
    """0 = same. Numbers: Wasserstein distance in reference SDs; others: total variation, 0 to 1."""
    psi: float
    """Population stability index; two halves of 303 patients reach 0.24 by chance."""
    wasserstein: float | None
    """Numbers: mean distance between the two distributions, in the feature's unit."""
    difference: float | None
    """Numbers: mean of the window minus mean of the reference, in the feature's unit."""
    level: int | None
    """Others: the code whose share changed most."""
    share_difference: float | None
    """Others: by how much, window minus reference, -1 to 1."""


def classical_test(table: ContingencyTable) -> TwoSampleTest:
    """Kolmogorov-Smirnov for numbers, Pearson's chi-square for categories.

    The KS p-value is the asymptotic one, which ties make too large; with nothing to compare the
    statistic is 0 and the p-value 1.
    """
    number = table.feature.is_numeric
    name = "Kolmogorov-Smirnov" if number else "chi-square"
    m, n = table.known
    if m == 0 or n == 0 or len(table.steps) < 2:
        return TwoSampleTest(name, 0.0, 1.0)
    if number:
        apart = np.cumsum(table.current) / n - np.cumsum(table.reference) / m
        statistic = float(np.abs(apart).max())
        return TwoSampleTest(
            name, statistic, float(special.kolmogorov(statistic * (m * n / (m + n)) ** 0.5))
        )
    statistic = pearson_chi_square(
        table.current.astype(float), (table.current + table.reference).astype(float)
    )
    return TwoSampleTest(name, statistic, float(special.chdtrc(len(table.steps) - 1, statistic)))


def rounded_shares(table: ContingencyTable) -> tuple[float, float]:
    """Return the shares of known values that are whole tens of steps, before and now."""
    whole = table.steps % ROUNDING_BASE == 0
    sides = ((table.reference, table.known[0]), (table.current, table.known[1]))
    before, now = (float(counts[whole].sum()) / max(n, 1) for counts, n in sides)
    return before, now


def tail_excess(table: ContingencyTable) -> float:
    """Return by how much a tail's share grew, the tail being the reference's outermost 2.5 %."""
    m, n = table.known
    if m == 0 or n == 0:
        return 0.0
    excess = []
    for step in (1, -1):
        before, now = np.cumsum(table.reference[::step]) / m, np.cumsum(table.current[::step]) / n
        inside = before <= _TAIL
        excess.append(float((now[inside] - before[inside]).max(initial=0.0)))
    return max(excess)


def pearson_chi_square(current: Array, pooled: Array) -> float:
    """Pearson's statistic of a 2 x k table from the window's and the pooled counts, all > 0."""
    n, total = float(current.sum()), float(pooled.sum())
    expected = pooled * (n / total)
    return float(((current - expected) ** 2 / expected).sum() * total / (total - n))


def effect_size(table: ContingencyTable) -> EffectSize:
    """Measure how far the known values of the window are from the reference's."""
    m, n = table.known
    if m == 0 or n == 0:
        return EffectSize(0.0, 0.0, None, None, None, None)
    if table.feature.is_numeric:
        return _of_numbers(table, m, n)
    differences = table.current / n - table.reference / m
    largest = int(np.abs(differences).argmax())
    return EffectSize(
        effect=float(np.abs(differences).sum() / 2),
        psi=_psi(table.reference, table.current),
        wasserstein=None,
        difference=None,
        level=int(table.steps[largest]),
        share_difference=float(differences[largest]),
    )


def _of_numbers(table: ContingencyTable, m: int, n: int) -> EffectSize:
    values, reference = table.values, table.reference / m
    apart = np.cumsum(table.current / n - reference)[:-1]
    wasserstein = float((np.abs(apart) * np.diff(values)).sum())
    mean = float(values @ reference)
    spread = float(((values - mean) ** 2 @ reference) ** 0.5)
    bins = np.searchsorted(_deciles(table), table.steps)
    return EffectSize(
        # A constant reference has no spread; one step of its scale stands for it.
        effect=wasserstein / (spread if spread > 0 else table.feature.step),
        psi=_psi(
            np.bincount(bins, table.reference, _PSI_BINS),
            np.bincount(bins, table.current, _PSI_BINS),
        ),
        wasserstein=wasserstein,
        difference=float(values @ table.current) / n - mean,
        level=None,
        share_difference=None,
    )


def _deciles(table: ContingencyTable) -> Array:
    """Return the nine values, in steps, that cut the reference into tenths, if ties allow."""
    cumulative = np.cumsum(table.reference)
    targets = np.arange(1, _PSI_BINS) / _PSI_BINS * cumulative[-1]
    return np.asarray(table.steps[np.searchsorted(cumulative, targets)], dtype=float)


def _psi(reference: ArrayLike, current: ArrayLike) -> float:
    """Sum over the bins of (p - q) ln(p / q), each bin with half a patient more."""
    p, q = np.asarray(current) + _PSI_PRIOR, np.asarray(reference) + _PSI_PRIOR
    p, q = p / p.sum(), q / q.sum()
    return float(((p - q) * np.log(p / q)).sum())
