"""Univariate tests: values, missing rate, tails and rounding of one feature.

Whatever is computed here looks at the pooled patients only, never at who is in the window.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import ArrayLike, NDArray

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


def univariate_tests(pooled: Array, n: int) -> Iterator[StatisticBlock]:
    """Yield the statistics of each feature.

    Parameters
    ----------
    pooled
        Patients of both sides in steps, shape (total, 13), NaN = missing.
    n
        How many of them are the window.
    """
    known = ~np.isnan(pooled)
    for i, feature in enumerate(FEATURES):
        column, total = pooled[known[:, i], i], int(known[:, i].sum())
        if total > 1 and column.min() < column.max():
            yield _values(feature, pooled[:, i], n)
            for level in () if feature.is_numeric else levels(np.unique(column)):
                yield _counted(LEVELS, feature, pooled[:, i] == level, n, two_sided=True)
        if 0 < total < len(pooled):
            yield _counted(MISSING, feature, ~known[:, i], n, two_sided=True)
        if feature.is_numeric:
            for tail in _tails(pooled[:, i], n):
                yield _counted(TAILS, feature, tail, n, two_sided=False)
        if feature.kind is Kind.NUMBER:
            whole = pooled[:, i] % ROUNDING_BASE == 0
            if 0 < whole.sum() < total:
                yield _counted(DIGIT_PREFERENCE, feature, whole, n, two_sided=True)


def _values(feature: Feature, column: Array, n: int) -> StatisticBlock:
    """Anderson-Darling for numbers, Pearson for categories, over the known values."""
    known = ~np.isnan(column)
    steps, inverse, counts = np.unique(column[known], return_inverse=True, return_counts=True)
    total = len(inverse)
    columns = np.zeros((len(column), 1))
    if feature.is_numeric:
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

    return StatisticBlock((Hypothesis(VALUES, (feature.name,)),), columns, neg_log_p)


def _counted(
    family: str, feature: Feature, marked: NDArray[np.bool_], n: int, *, two_sided: bool
) -> StatisticBlock:
    """Patients with something, missing or extreme: exactly hypergeometric."""
    table = hypergeometric_neg_log_p(
        int(marked.sum()), len(marked), n, two_sided=two_sided, mid=True
    )

    def neg_log_p(sums: Sums) -> Array:
        return np.asarray(table[np.rint(sums).astype(np.int64)])

    columns = marked[:, None].astype(float)
    return StatisticBlock((Hypothesis(family, (feature.name,)),), columns, neg_log_p)


def levels(steps: ArrayLike) -> Array:
    """Return the levels to count; of two, one is enough."""
    found = np.asarray(steps, dtype=float)
    return found[:1] if len(found) == 2 else found


def tukey_outer_fence(first: float, third: float) -> float:
    """Return the lower outer fence from the first and the third quartile.

    Source: Tukey, Exploratory Data Analysis (1977), outer fences.
    """
    return first - 3 * (third - first)


def _tails(column: Array, n: int) -> Iterator[NDArray[np.bool_]]:
    """Mark the lowest and the highest patients, no more than the share, never a part of a tie.

    Also those that are far out, however many: values in another unit are.
    """
    total = int((~np.isnan(column)).sum())
    for sign in (1.0, -1.0):
        ordered = np.sort(sign * column[~np.isnan(column)])
        previous = 0
        for share in TAIL_SHARES:
            size = min(int(np.ceil(share * n)), total // 10)
            if size < MIN_TAIL_COUNT:
                continue
            marked = sign * column < ordered[size]
            count = int(marked.sum())
            if count >= MIN_TAIL_COUNT and count != previous:
                previous = count
                yield marked
        if total:
            limit = tukey_outer_fence(float(ordered[total // 4]), float(ordered[3 * total // 4]))
            far = sign * column < limit
            if far.sum() >= MIN_TAIL_COUNT:
                yield far
