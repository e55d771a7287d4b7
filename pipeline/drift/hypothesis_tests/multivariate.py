"""Multivariate tests: pairs, a feature's pairs, a feature given the others, and all together.

Whatever is computed here looks at the pooled patients only, never at who is in the window.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import combinations

import numpy as np
from scipy import special

from pipeline.drift.contingency_tables import Array, Integers
from pipeline.drift.hypothesis_tests.null_distributions import ShiftedGamma, gamma_three_moments
from pipeline.drift.hypothesis_tests.test_families import (
    CONDITIONAL,
    DEPENDENCE,
    FEATURE_CORRELATIONS,
    MULTIVARIATE,
    PAIRS,
    Hypothesis,
    StatisticBlock,
    Sums,
)
from pipeline.drift.hypothesis_tests.univariate import MIN_TAIL_COUNT
from pipeline.schema import FEATURES, NAMES, Kind

RIDGE = 0.05
"""Added to correlations before they are inverted: columns may depend on each other entirely."""
_CONSTANT = 1e-9  # a spread below it is rounding


def multivariate_tests(pooled: Array, n: int) -> Iterator[StatisticBlock]:
    """Yield the statistics of several features together.

    Parameters
    ----------
    pooled
        Patients of both sides in steps, shape (total, 13), NaN = missing.
    n
        How many of them are the window.
    """
    scores = np.column_stack([standardised_ranks(pooled[:, i]) for i in range(len(FEATURES))])
    varied = [i for i in range(len(FEATURES)) if scores[:, i].any()]
    if len(varied) > 1:
        yield _pairs(scores, varied, n)
        yield from _dependence(pooled, scores, varied, n)
    if varied:
        yield from _all_and_each(pooled, scores, n)


def standardised_ranks(column: Array) -> Array:
    """Return standardised mid-ranks; a missing value is in the middle."""
    known = ~np.isnan(column)
    standardised_ranks = np.zeros(len(column))
    if known.any():
        _, inverse, counts = np.unique(column[known], return_inverse=True, return_counts=True)
        middle = np.cumsum(counts) - (counts - 1) / 2
        standardised_ranks[known] = middle[inverse] - (known.sum() + 1) / 2
    spread = standardised_ranks.std()
    return np.asarray(standardised_ranks / spread) if spread > 0 else standardised_ranks


def _standardised(columns: Array, n: int) -> Array:
    """Scale columns so that their sums over a random window have mean 0 and variance 1."""
    total = len(columns)
    columns = columns - columns.mean(axis=0)
    variance = n * (total - n) / (total * (total - 1)) * (columns**2).sum(axis=0)
    scale = np.where(variance > 1e-12, np.maximum(variance, 1e-12), np.inf) ** 0.5
    return np.asarray(columns / scale)


def _pairs(scores: Array, varied: list[int], n: int) -> StatisticBlock:
    """Products of standardised ranks: do high values of one go with high values of the other.

    One changed column changes its relation to all the others a little, so a feature's pairs are
    also taken together, as the sum of their squares.
    """
    pairs = list(combinations(varied, 2))
    products = _standardised(np.column_stack([scores[:, a] * scores[:, b] for a, b in pairs]), n)
    of = [np.array([i in pair for pair in pairs]) for i in varied]
    nulls = [_squares_null(products[:, members], n) for members in of]
    hypotheses = [Hypothesis(PAIRS, (NAMES[a], NAMES[b])) for a, b in pairs]
    hypotheses += [Hypothesis(FEATURE_CORRELATIONS, (NAMES[i],)) for i in varied]

    def neg_log_p(sums: Sums) -> Array:
        alone = -np.log(2) - special.log_ndtr(-np.abs(sums.astype(float)))
        squared = sums**2 @ np.column_stack(of).astype(sums.dtype)
        shared = [null.neg_log_p(column) for null, column in zip(nulls, squared.T, strict=True)]
        return np.column_stack([alone, *shared])

    return StatisticBlock(tuple(hypotheses), products, neg_log_p)


def _dependence(
    pooled: Array, scores: Array, varied: list[int], n: int
) -> Iterator[StatisticBlock]:
    """Products with the others' ranks: of distances from the middle, and of missing values.

    They see a spread that grows with age, and values that are missing for other patients than
    before. A missing value is also multiplied by the others' distances: as of the middle-aged.
    """
    missing = np.isnan(pooled)
    distances = np.abs(scores)
    distances -= distances.mean(axis=0)
    for i in varied:
        others = [j for j in varied if j != i]
        found = []
        if FEATURES[i].kind is Kind.NUMBER:
            found.append(distances[:, i, None] * scores[:, others])
        if missing[:, i].sum() >= MIN_TAIL_COUNT:
            lost = missing[:, i, None] - missing[:, i].mean()
            found.append(lost * np.hstack([scores[:, others], distances[:, others]]))
        for columns in found:
            varying = columns[:, columns.std(axis=0) > _CONSTANT]
            if varying.shape[1]:
                yield _each_and_squares(DEPENDENCE, (NAMES[i],), _standardised(varying, n), n)


def _all_and_each(pooled: Array, scores: Array, n: int) -> Iterator[StatisticBlock]:
    """All features at once, and each one given the others.

    The first is the sum of squares of all shifts: related features that move together, as when
    sicker patients come, weigh more in it than in Hotelling's statistic. The second is what a
    feature adds to Hotelling's: a fault in one column breaks its relations to the others, which
    makes it easier to see than in the column alone.
    """
    z, owner = _design(pooled, scores, n)
    total = len(z)
    yield _squares(MULTIVARIATE, (), z, n)
    correlations = z.T @ z * (n * (total - n) / (total * (total - 1)))
    precision = np.linalg.inv(correlations + RIDGE * np.eye(len(correlations)))
    adjusted = z @ precision
    for i in np.unique(owner):
        of = np.flatnonzero(owner == i)
        root = np.linalg.cholesky(np.linalg.inv(precision[np.ix_(of, of)]))
        yield _squares(CONDITIONAL, (NAMES[i],), adjusted[:, of] @ root, n)


def _design(pooled: Array, scores: Array, n: int) -> tuple[Array, Integers]:
    """Return ranks, squared ranks and levels, standardised, and whose they are.

    Ranks see a shift, their squares a spread that became wider or narrower.
    """
    columns, owner = [], []
    for i, feature in enumerate(FEATURES):
        found = scores[:, i, None]
        if not feature.is_numeric:
            levels, counts = np.unique(pooled[~np.isnan(pooled[:, i]), i], return_counts=True)
            usual = levels != levels[counts.argmax()] if len(levels) else []
            found = (pooled[:, i, None] == levels[usual]).astype(float)
        elif feature.kind is Kind.NUMBER:
            found = np.column_stack([found, _squared(pooled[:, i], found[:, 0])])
        found = found[:, found.std(axis=0) > _CONSTANT]
        columns.append(found)
        owner += [i] * found.shape[1]
    return _standardised(np.hstack(columns), n), np.array(owner)


def _squared(column: Array, scores: Array) -> Array:
    """Square the ranks and take out what the ranks themselves tell; 0 where nothing is known."""
    known, total = ~np.isnan(column), float(scores @ scores)
    squares = np.where(known, scores**2, 0.0)
    if not total:
        return squares * 0.0
    squares[known] -= squares[known].mean()
    return np.asarray(squares - scores * (squares @ scores) / total)


def _squares(family: str, names: tuple[str, ...], columns: Array, n: int) -> StatisticBlock:
    """Take the sum of the squares of sums that are normal in the limit."""
    null = _squares_null(columns, n)

    def neg_log_p(sums: Sums) -> Array:
        return np.asarray(null.neg_log_p(np.einsum("bc,bc->b", sums, sums))[:, None])

    return StatisticBlock((Hypothesis(family, names),), columns, neg_log_p)


def _each_and_squares(
    family: str, names: tuple[str, ...], columns: Array, n: int
) -> StatisticBlock:
    """Take each sum by itself, too: one that stands out is lost among the squares of many."""
    null = _squares_null(columns, n)

    def neg_log_p(sums: Sums) -> Array:
        alone = -np.log(2) - special.log_ndtr(-np.abs(sums.astype(float)))
        return np.column_stack([alone, null.neg_log_p(np.einsum("bc,bc->b", sums, sums))])

    return StatisticBlock((Hypothesis(family, names),) * (columns.shape[1] + 1), columns, neg_log_p)


def _squares_null(columns: Array, n: int) -> ShiftedGamma:
    """Match three cumulants of such a sum: traces of powers of the covariance of its parts."""
    total = len(columns)
    covariance = columns.T @ columns * (n * (total - n) / (total * (total - 1)))
    squared = covariance @ covariance
    return gamma_three_moments(
        float(np.trace(covariance)),
        2 * float(np.trace(squared)),
        8 * float((squared * covariance).sum()),
    )
