"""Every statistic as sums over the window: what is tested, and how a sum becomes evidence.

Each statistic is a function of sums of columns over the patients of the window. One matrix product
then gives every statistic for every relabelling, and the same relabellings serve all of them, so
that their dependence is kept. Whatever is computed here looks at the pooled patients only.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from numpy.typing import NDArray
from scipy import special

from pipeline.drift.exact import (
    Gamma,
    anderson_darling_cuts,
    anderson_darling_null,
    excess_log_p,
    pearson_null,
    three_moments,
)
from pipeline.drift.measures import TENS
from pipeline.drift.tables import Array, Integers
from pipeline.schema import FEATURES, NAMES, Feature, Kind

VALUES, MISSING, TAILS, DIGITS = "values", "missing", "tails", "digits"
"""Evidence of one feature alone."""
PAIRS, RELATIONS, GIVEN, TOGETHER = "pairs", "relations", "given the others", "together"
"""Evidence of several: each pair, one feature's twelve pairs, what it adds to the others, all."""
ALONE = (VALUES, MISSING, TAILS, DIGITS)

WEIGHTS = {
    VALUES: 0.33,
    MISSING: 0.04,
    TAILS: 0.09,
    DIGITS: 0.02,
    PAIRS: 0.02,
    RELATIONS: 0.12,
    GIVEN: 0.18,
    TOGETHER: 0.20,
}
"""Share of the alarm budget of each kind of evidence."""

TAIL_SHARES = (0.03, 0.1)
"""A tail is as many pooled patients as these shares of the window: a fault of 3 %, of 10 %."""
_TAIL_LEAST = 3  # patients; fewer cannot be told from chance
RIDGE = 0.05
"""Added to correlations before they are inverted: columns may depend on each other entirely."""


Sums = NDArray[np.floating]
"""Sums over the window, shape (b, c); single precision when there are many."""


@dataclass(frozen=True)
class Hypothesis:
    """Something that may have changed."""

    family: str
    names: tuple[str, ...]
    """A feature, a pair, or nothing for all together."""


@dataclass(frozen=True)
class Block:
    """Columns to be summed over the window, and the evidence that their sums are."""

    hypotheses: tuple[Hypothesis, ...]
    columns: Array
    """Shape (n, c)."""
    evidence: Callable[[Sums], Array]
    """Sums of shape (b, c) -> -log p of shape (b, number of hypotheses)."""


def blocks(pooled: Array, n: int, families: Collection[str] = tuple(WEIGHTS)) -> Iterator[Block]:
    """Say what is to be summed.

    Parameters
    ----------
    pooled
        Patients of both sides in steps, shape (total, 13), NaN = not known.
    n
        How many of them are the window.
    families
        Which kinds of evidence are wanted.
    """
    if set(ALONE) & set(families):
        yield from _single(pooled, n)
    scores = np.column_stack([ranks(pooled[:, i]) for i in range(len(FEATURES))])
    varied = [i for i in range(len(FEATURES)) if scores[:, i].any()]
    if PAIRS in families and len(varied) > 1:
        yield _pairs(scores, varied, n)
    if TOGETHER in families and varied:
        yield from _together(pooled, n)


def _single(pooled: Array, n: int) -> Iterator[Block]:
    known = ~np.isnan(pooled)
    for i, feature in enumerate(FEATURES):
        column, total = pooled[known[:, i], i], int(known[:, i].sum())
        if total > 1 and column.min() < column.max():
            yield _values(feature, pooled[:, i], n)
        if 0 < total < len(pooled):
            yield _counted(MISSING, feature, ~known[:, i], n, two_sided=True)
        if feature.is_numeric:
            for tail in _tails(pooled[:, i], n):
                yield _counted(TAILS, feature, tail, n, two_sided=False)
        if feature.kind is Kind.NUMBER:
            whole = pooled[:, i] % TENS == 0
            if 0 < whole.sum() < total:
                yield _counted(DIGITS, feature, whole, n, two_sided=True)


def _values(feature: Feature, column: Array, n: int) -> Block:
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

    def evidence(sums: Sums) -> Array:
        drawn = sums[:, 0].astype(float)
        both = np.maximum(drawn * (total - drawn), 1.0)
        squared = np.einsum("bc,bc->b", sums[:, 1:], sums[:, 1:])
        return null.log_p(squared * total / both)[:, None]

    return Block((Hypothesis(VALUES, (feature.name,)),), columns, evidence)


def _counted(family: str, feature: Feature, marked: Array, n: int, *, two_sided: bool) -> Block:
    """Patients with something, missing or extreme: exactly hypergeometric."""
    table = excess_log_p(int(marked.sum()), len(marked), n, two_sided=two_sided, mid=True)

    def evidence(sums: Sums) -> Array:
        return np.asarray(table[np.rint(sums).astype(np.int64)])

    columns = marked[:, None].astype(float)
    return Block((Hypothesis(family, (feature.name,)),), columns, evidence)


def _tails(column: Array, n: int) -> Iterator[Array]:
    """Mark the lowest and the highest patients, no more than the share, never a part of a tie."""
    total = int((~np.isnan(column)).sum())
    for sign in (1.0, -1.0):
        ordered = np.sort(sign * column[~np.isnan(column)])
        previous = 0
        for share in TAIL_SHARES:
            size = min(int(np.ceil(share * n)), total // 10)
            if size < _TAIL_LEAST:
                continue
            marked = sign * column < ordered[size]
            count = int(marked.sum())
            if count >= _TAIL_LEAST and count != previous:
                previous = count
                yield marked


def ranks(column: Array) -> Array:
    """Mid-ranks, standardised; a value that is not known is in the middle."""
    known = ~np.isnan(column)
    ranks = np.zeros(len(column))
    if known.any():
        _, inverse, counts = np.unique(column[known], return_inverse=True, return_counts=True)
        middle = np.cumsum(counts) - (counts - 1) / 2
        ranks[known] = middle[inverse] - (known.sum() + 1) / 2
    spread = ranks.std()
    return np.asarray(ranks / spread) if spread > 0 else ranks


def _standardised(columns: Array, n: int) -> Array:
    """Scale columns so that their sums over a random window have mean 0 and variance 1."""
    total = len(columns)
    columns = columns - columns.mean(axis=0)
    variance = n * (total - n) / (total * (total - 1)) * (columns**2).sum(axis=0)
    scale = np.where(variance > 1e-12, np.maximum(variance, 1e-12), np.inf) ** 0.5
    return np.asarray(columns / scale)


def _pairs(scores: Array, varied: list[int], n: int) -> Block:
    """Products of standardised ranks: do high values of one go with high values of the other.

    One changed column changes its relation to all the others a little, so a feature's pairs are
    also taken together, as the sum of their squares.
    """
    pairs = list(combinations(varied, 2))
    products = _standardised(np.column_stack([scores[:, a] * scores[:, b] for a, b in pairs]), n)
    of = [np.array([i in pair for pair in pairs]) for i in varied]
    nulls = [_squares_null(products[:, members], n) for members in of]
    hypotheses = [Hypothesis(PAIRS, (NAMES[a], NAMES[b])) for a, b in pairs]
    hypotheses += [Hypothesis(RELATIONS, (NAMES[i],)) for i in varied]

    def evidence(sums: Sums) -> Array:
        alone = -np.log(2) - special.log_ndtr(-np.abs(sums.astype(float)))
        squared = sums**2 @ np.column_stack(of).astype(sums.dtype)
        shared = [null.log_p(column) for null, column in zip(nulls, squared.T, strict=True)]
        return np.column_stack([alone, *shared])

    return Block(tuple(hypotheses), products, evidence)


def _together(pooled: Array, n: int) -> Iterator[Block]:
    """All features at once, and each one given the others.

    The first is the sum of squares of all shifts: related features that move together, as when
    sicker patients come, weigh more in it than in Hotelling's statistic. The second is what a
    feature adds to Hotelling's: a fault in one column breaks its relations to the others, which
    makes it easier to see than in the column alone.
    """
    z, owner = _design(pooled, n)
    total = len(z)
    yield _squares(TOGETHER, (), z, n)
    correlations = z.T @ z * (n * (total - n) / (total * (total - 1)))
    precision = np.linalg.inv(correlations + RIDGE * np.eye(len(correlations)))
    adjusted = z @ precision
    for i in np.unique(owner):
        of = np.flatnonzero(owner == i)
        root = np.linalg.cholesky(np.linalg.inv(precision[np.ix_(of, of)]))
        yield _squares(GIVEN, (NAMES[i],), adjusted[:, of] @ root, n)


def _design(pooled: Array, n: int) -> tuple[Array, Integers]:
    """Return ranks of numbers and levels of the others, standardised, and whose they are."""
    columns, owner = [], []
    for i, feature in enumerate(FEATURES):
        found = ranks(pooled[:, i])[:, None]
        if not feature.is_numeric:
            levels, counts = np.unique(pooled[~np.isnan(pooled[:, i]), i], return_counts=True)
            usual = levels != levels[counts.argmax()] if len(levels) else []
            found = (pooled[:, i, None] == levels[usual]).astype(float)
        found = found[:, found.std(axis=0) > 0]
        columns.append(found)
        owner += [i] * found.shape[1]
    return _standardised(np.hstack(columns), n), np.array(owner)


def _squares(family: str, names: tuple[str, ...], columns: Array, n: int) -> Block:
    """Take the sum of the squares of sums that are normal in the limit."""
    null = _squares_null(columns, n)

    def evidence(sums: Sums) -> Array:
        return np.asarray(null.log_p(np.einsum("bc,bc->b", sums, sums))[:, None])

    return Block((Hypothesis(family, names),), columns, evidence)


def _squares_null(columns: Array, n: int) -> Gamma:
    """Match three cumulants of such a sum: traces of powers of the covariance of its parts."""
    total = len(columns)
    covariance = columns.T @ columns * (n * (total - n) / (total * (total - 1)))
    squared = covariance @ covariance
    return three_moments(
        float(np.trace(covariance)),
        2 * float(np.trace(squared)),
        8 * float((squared * covariance).sum()),
    )
