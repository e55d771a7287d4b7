"""The verdict over many patients: exact tests on value counts, and the normal limit for pairs."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from scipy import special

from pipeline.drift.blocks import (
    DIGITS,
    MISSING,
    PAIRS,
    TAIL_SHARES,
    TAILS,
    TOGETHER,
    VALUES,
    WEIGHTS,
    Block,
    Hypothesis,
    blocks,
)
from pipeline.drift.exact import (
    anderson_darling_cuts,
    anderson_darling_null,
    excess_log_p,
    pearson_null,
)
from pipeline.drift.measures import TENS, pearson
from pipeline.drift.permute import Tested, permutations_for
from pipeline.drift.tables import Array, Table
from pipeline.schema import Kind

Claim = tuple[str, tuple[str, ...], float]
"""Family, names, p-value."""


def counted_test(
    tables: tuple[Table, ...],
    sizes: tuple[int, int],
    samples: tuple[Array, Array] | None,
    alpha: float,
    seed: int,
) -> Tested:
    """Test every feature on all patients and, when samples are given, pairs on those.

    Parameters
    ----------
    tables
        Value counts of both sides.
    sizes
        Patients of the reference and of the window.
    samples
        Random patients of both sides in steps, at most a few thousand.
    alpha, seed
        As in `pipeline.drift.compare`.
    """
    claims = [claim for table in tables for claim in _of_one(table, sizes)]
    draws = 0
    if samples is not None:
        found, draws = _of_samples(*samples, alpha, seed)
        claims += found
    sizes_of: dict[str, int] = {}
    for family, *_ in claims:
        sizes_of[family] = sizes_of.get(family, 0) + 1
    used = sum(WEIGHTS[family] for family in sizes_of) or 1.0
    hypotheses = tuple(Hypothesis(family, names) for family, names, *_ in claims)
    weights = np.array([WEIGHTS[h.family] / used / sizes_of[h.family] for h in hypotheses])
    p = np.array([claim[2] for claim in claims])
    adjusted = _holm(p, weights) if len(p) else p
    level = alpha * WEIGHTS[VALUES] / used / max(sizes_of.get(VALUES, 1), 1)
    return Tested(hypotheses, adjusted, float(adjusted.min(initial=1.0)), level, draws)


def _holm(p: Array, weights: Array) -> Array:
    """Adjust weighted p-values. Source: Holm (1979), Scandinavian Journal of Statistics 6:65."""
    order = np.argsort(p / weights, kind="stable")
    remaining = np.cumsum(weights[order][::-1])[::-1]
    stepped = np.minimum(1.0, p[order] / weights[order] * remaining)
    adjusted = np.empty(len(p))
    adjusted[order] = np.maximum.accumulate(stepped)
    return adjusted


def _of_one(table: Table, sizes: tuple[int, int]) -> Iterator[Claim]:
    name = (table.feature.name,)
    m, n = table.known
    pooled = table.reference + table.current
    if m and n and len(pooled) > 1:
        yield VALUES, name, _values_p(table)
    if sum(table.missing) and m + n:
        total = sum(sizes)
        log_p = excess_log_p(sum(table.missing), total, sizes[1], two_sided=True, mid=False)
        yield MISSING, name, float(np.exp(-log_p[table.missing[1]]))
    if table.feature.is_numeric and m and n:
        for p in _tail_ps(table, sizes):
            yield TAILS, name, p
    whole = table.steps % TENS == 0
    if table.feature.kind is Kind.NUMBER and 0 < pooled[whole].sum() < m + n:
        log_p = excess_log_p(
            int(pooled[whole].sum()), sum(sizes), sizes[1], two_sided=True, mid=False
        )
        yield DIGITS, name, float(np.exp(-log_p[int(table.current[whole].sum())]))


def _values_p(table: Table) -> float:
    m, n = table.known
    pooled = (table.reference + table.current).astype(float)
    if not table.feature.is_numeric:
        if len(pooled) == 2:
            log_p = excess_log_p(int(pooled[1]), m + n, n, two_sided=True, mid=False)
            return float(np.exp(-log_p[int(table.current[1])]))
        null = pearson_null(pooled, n)
        return float(np.exp(-null.log_p(pearson(table.current.astype(float), pooled))))
    cuts, weights = anderson_darling_cuts(pooled)
    h = np.cumsum(pooled)[cuts] / (m + n)
    apart = np.cumsum(table.current)[cuts] / n - np.cumsum(table.reference)[cuts] / m
    statistic = m * n / (m + n) * float((weights * apart**2).sum())
    return float(np.exp(-anderson_darling_null(h, weights, m + n).log_p(statistic)))


def _tail_ps(table: Table, sizes: tuple[int, int]) -> Iterator[float]:
    pooled = table.reference + table.current
    for step in (1, -1):
        cumulative, current = np.cumsum(pooled[::step]), np.cumsum(table.current[::step])
        previous = 0
        for share in TAIL_SHARES:
            size = min(int(np.ceil(share * sizes[1])), int(cumulative[-1]) // 10)
            last = int(np.searchsorted(cumulative, size, side="right")) - 1
            if size < 3 or last < 0 or cumulative[last] < 3 or cumulative[last] == previous:
                continue
            previous = int(cumulative[last])
            log_p = excess_log_p(previous, sum(sizes), sizes[1], two_sided=False, mid=False)
            yield float(np.exp(-log_p[int(current[last])]))


def _of_samples(
    reference: Array, current: Array, alpha: float, seed: int
) -> tuple[list[Claim], int]:
    """Test what several features are together; sums over thousands of patients are normal."""
    pooled, n = np.vstack([reference, current]), len(current)
    draws = permutations_for(alpha)
    random = np.random.default_rng(seed)
    claims: list[Claim] = []
    for part in blocks(pooled, n, families=(PAIRS, TOGETHER)):
        observed = part.evidence(part.columns[len(reference) :].sum(axis=0)[None, :])[0]
        pairs = np.array([h.family == PAIRS for h in part.hypotheses])
        p = np.exp(-observed)
        if pairs.any():
            # Adjusted inside the family, whose whole weight then stands behind each.
            p[pairs] = _normal_max(part, observed[pairs], n, draws, random) / pairs.sum()
        claims += [
            (h.family, h.names, float(value)) for h, value in zip(part.hypotheses, p, strict=True)
        ]
    return claims, draws


def _normal_max(
    part: Block, observed: Array, n: int, draws: int, random: np.random.Generator
) -> Array:
    """Adjust the p-values of linear statistics for their number, dependence kept."""
    total = len(part.columns)
    covariance = part.columns.T @ part.columns * (n * (total - n) / (total * (total - 1)))
    values, vectors = np.linalg.eigh(covariance)
    root = vectors * np.sqrt(np.maximum(values, 0.0))
    strongest = np.empty(draws)
    for start in range(0, draws, 1000):
        stop = min(start + 1000, draws)
        z = random.standard_normal((stop - start, len(values))) @ root.T
        strongest[start:stop] = np.abs(z).max(axis=1)
    limits = -np.log(2) - special.log_ndtr(-np.sort(strongest))
    as_strong = draws - np.searchsorted(limits, observed)
    return np.asarray((1 + as_strong) / (1 + draws))
