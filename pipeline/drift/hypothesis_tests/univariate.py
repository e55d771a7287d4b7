"""Univariate tests: values, missing rate, tails and rounding of one feature.

Whatever is computed here looks at the pooled patients only, never at who is in the window.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from pipeline.dataset.heart import ALTERNATIVE_UNITS
from pipeline.drift.contingency_tables import Array
from pipeline.drift.effect_sizes import ROUNDING_BASE
from pipeline.drift.hypothesis_tests.null_distributions import (
    anderson_darling_cuts,
    anderson_darling_null,
    hypergeometric_neg_log_p,
    pearson_null,
)
from pipeline.drift.hypothesis_tests.test_families import (
    DIGIT_PREFERENCE,
    LEVELS,
    MISSING,
    SHAPE,
    TAILS,
    VALUES,
    Hypothesis,
    StatisticBlock,
    Sums,
)
from pipeline.schema import FEATURES, Feature, Kind

TAIL_SHARES = (0.03, 0.1)
"""A tail is as many pooled patients as these shares of the window: a fault of 3 %, of 10 %."""
MIN_TAIL_COUNT = 3
"""Patients; fewer cannot be told from chance."""
_SHAPE_BINS = 10  # of equal size: a second peak fills some and empties others


def univariate_tests(pooled: Array, n: int) -> Iterator[StatisticBlock]:
    """Yield the statistics of each feature.

    Parameters
    ----------
    pooled
        Patients of both sides in steps, shape (total, 13), NaN = missing.
    n
        How many of them are the window.
    """
    for i, feature in enumerate(FEATURES):
        known = ~np.isnan(pooled[:, i])
        steps, inverse, counts = np.unique(
            pooled[known, i], return_inverse=True, return_counts=True
        )
        if len(steps) > 1:
            yield _values(Hypothesis(VALUES, (feature.name,)), pooled[:, i], n, feature.is_numeric)
        if feature.kind is Kind.NUMBER and len(steps) > _SHAPE_BINS:
            edges = np.quantile(pooled[known, i], np.arange(1, _SHAPE_BINS) / _SHAPE_BINS)
            bins = np.where(known, np.searchsorted(edges, pooled[:, i]), np.nan)
            yield _values(Hypothesis(SHAPE, (feature.name,)), bins, n, ordered=False)
        for test in counted_tests(feature, steps, counts, int((~known).sum()), n):
            marked = ~known
            if test.marked is not None:
                marked = np.zeros(len(known), dtype=bool)
                marked[known] = test.marked[inverse]
            yield _counted(test, feature, marked, n)


class CountedTest(NamedTuple):
    """Which patients are counted; exactly hypergeometric over all relabellings."""

    family: str
    marked: NDArray[np.bool_] | None
    """The values that count; None = the missing ones."""
    two_sided: bool


def counted_tests(
    feature: Feature, steps: ArrayLike, counts: ArrayLike, missing: int, n: int
) -> Iterator[CountedTest]:
    """Yield what is counted of one feature.

    Parameters
    ----------
    steps, counts
        The different known values, ascending, and the pooled patients with each, shape (k,).
    missing
        Pooled patients without a value.
    n
        Patients of the window.
    """
    steps, counts = np.asarray(steps), np.asarray(counts)
    if len(steps) > 1 and not feature.is_numeric:
        for level in steps[:1] if len(steps) == 2 else steps:  # of two, one is enough
            yield CountedTest(LEVELS, steps == level, True)
    if missing and len(steps):
        yield CountedTest(MISSING, None, True)
    if feature.is_numeric and len(steps):
        for tail in _tails(steps, counts, n):
            yield CountedTest(TAILS, tail, False)
    for unit in ALTERNATIVE_UNITS:
        if unit.feature == feature.name:
            low, high = unit.low / feature.step, unit.high / feature.step
            other = (steps >= low) & (steps < high)
            if counts[other].sum() >= MIN_TAIL_COUNT:
                yield CountedTest(TAILS, other, False)
    whole = steps % ROUNDING_BASE == 0
    if feature.kind is Kind.NUMBER and whole.any() and not whole.all():
        yield CountedTest(DIGIT_PREFERENCE, whole, True)


def _values(hypothesis: Hypothesis, column: Array, n: int, ordered: bool) -> StatisticBlock:
    """Anderson-Darling for numbers, Pearson for categories and bins, over the known values."""
    known = ~np.isnan(column)
    steps, inverse, counts = np.unique(column[known], return_inverse=True, return_counts=True)
    total = len(inverse)
    columns = np.zeros((len(column), 1))
    if ordered:
        cuts, weights = anderson_darling_cuts(counts)
        h = np.cumsum(counts)[cuts] / total
        columns = np.zeros((len(column), len(cuts) + 1))
        columns[known, 1:] = ((inverse[:, None] <= cuts) - h) * np.sqrt(weights)
        null = anderson_darling_null(h, weights, total)
    else:
        p = counts / total
        columns = np.zeros((len(column), len(steps) + 1))
        columns[known, 1:] = ((inverse[:, None] == np.arange(len(steps))) - p) / np.sqrt(p)
        null = pearson_null(counts, n * total / len(column))
    columns[:, 0] = known

    def neg_log_p(sums: Sums) -> Array:
        drawn = sums[:, 0].astype(float)
        both = np.maximum(drawn * (total - drawn), 1.0)
        squared = np.einsum("bc,bc->b", sums[:, 1:], sums[:, 1:])
        return null.neg_log_p(squared * total / both)[:, None]

    return StatisticBlock((hypothesis,), columns, neg_log_p)


def _counted(
    test: CountedTest, feature: Feature, marked: NDArray[np.bool_], n: int
) -> StatisticBlock:
    table = hypergeometric_neg_log_p(
        int(marked.sum()), len(marked), n, two_sided=test.two_sided, mid=True
    )

    def neg_log_p(sums: Sums) -> Array:
        return np.asarray(table[np.rint(sums).astype(np.int64)])

    columns = marked[:, None].astype(float)
    return StatisticBlock((Hypothesis(test.family, (feature.name,)),), columns, neg_log_p)


def _tails(steps: Array, counts: Array, n: int) -> Iterator[NDArray[np.bool_]]:
    """Mark the lowest and the highest values: no more patients than the share, no part of a tie.

    Also those that are far out, however many: values in another unit are. The limit is Tukey's
    outer fence (Exploratory Data Analysis, 1977).
    """
    total = int(counts.sum())
    for way in (1, -1):
        ordered, number = way * steps[::way], np.cumsum(counts[::way])
        first, third = ordered[np.searchsorted(number, [total // 4, 3 * total // 4], side="right")]
        sizes = [min(int(np.ceil(share * n)), total // 10) for share in TAIL_SHARES]
        ends = np.searchsorted(number, [s for s in sizes if s >= MIN_TAIL_COUNT], side="right")
        far = int(np.searchsorted(ordered, first - 3 * (third - first)))
        for end in [*dict.fromkeys(ends.tolist()), far]:
            if end and number[end - 1] >= MIN_TAIL_COUNT:
                yield (np.arange(len(steps)) < end)[::way]
