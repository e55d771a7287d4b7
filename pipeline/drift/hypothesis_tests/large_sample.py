"""The verdict over many patients: exact tests on value counts, and the normal limit for pairs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence

import numpy as np
from scipy import special

from pipeline.drift.contingency_tables import Array, ContingencyTable
from pipeline.drift.effect_sizes import pearson_chi_square
from pipeline.drift.hypothesis_tests.multivariate import multivariate_tests
from pipeline.drift.hypothesis_tests.null_distributions import (
    anderson_darling_cuts,
    anderson_darling_null,
    hypergeometric_neg_log_p,
    pearson_null,
)
from pipeline.drift.hypothesis_tests.permutation import (
    HOPELESS,
    AdjustedPValues,
    AdjustedTests,
    required_permutations,
)
from pipeline.drift.hypothesis_tests.test_families import (
    ALPHA_WEIGHTS,
    ATTRIBUTION_ALPHA_SHARE,
    ATTRIBUTION_WEIGHTS,
    COMBINED,
    CONDITIONAL,
    LEVELS,
    PAIRS,
    TAILS,
    VALUES,
    Hypothesis,
    StatisticBlock,
)
from pipeline.drift.hypothesis_tests.univariate import counted_tests

LARGE_SAMPLE_WEIGHTS = {
    **{family: weight for family, weight in ALPHA_WEIGHTS.items() if family != COMBINED},
    VALUES: ALPHA_WEIGHTS[VALUES] + ALPHA_WEIGHTS[COMBINED] / 2,
    CONDITIONAL: ALPHA_WEIGHTS[COMBINED] / 2,
}
"""`ALPHA_WEIGHTS` where values of all patients and relations of a sample cannot be added up."""


def large_sample_test(
    tables: tuple[ContingencyTable, ...],
    sizes: tuple[int, int],
    samples: tuple[Array, Array] | None,
    alpha: float,
    seed: int,
) -> AdjustedTests:
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
    found = [claim for table in tables for claim in _of_one(table, sizes)]
    draws = 0
    if samples is not None:
        of_samples, draws = _of_samples(*samples, alpha, seed)
        found += of_samples
    claims, level = _adjusted(found, LARGE_SAMPLE_WEIGHTS, alpha)
    p_value = min((p for _, p in claims), default=1.0)
    named, _ = _adjusted(found, ATTRIBUTION_WEIGHTS, alpha)
    names = tuple((h, min(1.0, max(p / ATTRIBUTION_ALPHA_SHARE, p_value))) for h, p in named)
    return AdjustedTests(claims, names, p_value, level, draws)


def _adjusted(
    claims: Sequence[tuple[Hypothesis, float]], weights: Mapping[str, float], alpha: float
) -> tuple[AdjustedPValues, float]:
    """Adjust the p-values of the families that have a weight; also what one feature's must reach.

    A family's weight is shared evenly; that of families without a claim goes to the others.
    """
    tested = [claim for claim in claims if claim[0].family in weights]
    sizes = Counter(h.family for h, _ in tested)
    used = sum(weights[family] for family in sizes) or 1.0
    shares = np.array([weights[h.family] / used / sizes[h.family] for h, _ in tested])
    p = np.array([p for _, p in tested])
    adjusted = _holm(p, shares) if tested else p
    level = alpha * weights[VALUES] / used / max(sizes[VALUES], 1)
    return tuple((h, float(q)) for (h, _), q in zip(tested, adjusted, strict=True)), level


def _holm(p: Array, weights: Array) -> Array:
    """Adjust weighted p-values. Source: Holm (1979), Scandinavian Journal of Statistics 6:65."""
    order = np.argsort(p / weights, kind="stable")
    remaining = np.cumsum(weights[order][::-1])[::-1]
    stepped = np.minimum(1.0, p[order] / weights[order] * remaining)
    adjusted = np.empty(len(p))
    adjusted[order] = np.maximum.accumulate(stepped)
    return adjusted


def _of_one(table: ContingencyTable, sizes: tuple[int, int]) -> Iterator[tuple[Hypothesis, float]]:
    feature, names = table.feature, (table.feature.name,)
    pooled = table.reference + table.current
    if all(table.known) and len(table.steps) > 1:
        yield Hypothesis(VALUES, names), _values_p(table)
    for test in counted_tests(feature, table.steps, pooled, sum(table.missing), sizes[1]):
        if test.family in (LEVELS, TAILS) and not all(table.known):
            continue  # that a side has no values is said by its missing ones
        marked, now = sum(table.missing), table.missing[1]
        if test.marked is not None:
            marked, now = int(pooled[test.marked].sum()), int(table.current[test.marked].sum())
        p = _exact_p(marked, now, sizes, two_sided=test.two_sided)
        yield Hypothesis(test.family, names), p


def _exact_p(pooled: int, current: int, sizes: tuple[int, int], *, two_sided: bool) -> float:
    """Test how many of the pooled patients with something are in the window."""
    log_p = hypergeometric_neg_log_p(pooled, sum(sizes), sizes[1], two_sided=two_sided, mid=False)
    return float(np.exp(-log_p[current]))


def _values_p(table: ContingencyTable) -> float:
    m, n = table.known
    pooled = (table.reference + table.current).astype(float)
    if not table.feature.is_numeric:
        if len(pooled) == 2:
            return _exact_p(int(pooled[1]), int(table.current[1]), (m, n), two_sided=True)
        null = pearson_null(pooled, n)
        return float(
            np.exp(-null.neg_log_p(pearson_chi_square(table.current.astype(float), pooled)))
        )
    cuts, weights = anderson_darling_cuts(pooled)
    h = np.cumsum(pooled)[cuts] / (m + n)
    apart = np.cumsum(table.current)[cuts] / n - np.cumsum(table.reference)[cuts] / m
    statistic = m * n / (m + n) * float((weights * apart**2).sum())
    return float(np.exp(-anderson_darling_null(h, weights, m + n).neg_log_p(statistic)))


def _of_samples(
    reference: Array, current: Array, alpha: float, seed: int
) -> tuple[list[tuple[Hypothesis, float]], int]:
    """Test what several features are together; sums over thousands of patients are normal."""
    pooled, n = np.vstack([reference, current]), len(current)
    draws = 0
    random = np.random.default_rng(seed)
    claims: list[tuple[Hypothesis, float]] = []
    for part in multivariate_tests(pooled, n):
        observed = part.neg_log_p(part.columns[len(reference) :].sum(axis=0)[None, :])[0]
        pairs = np.array([h.family == PAIRS for h in part.hypotheses])
        p = np.exp(-observed)
        if pairs.any():
            # Adjusted inside the family, whose whole weight then stands behind each.
            adjusted, draws = _normal_max(part, observed[pairs], n, alpha, random)
            p[pairs] = adjusted / pairs.sum()
        claims += zip(part.hypotheses, p.tolist(), strict=True)
    return claims, draws


def _normal_max(
    part: StatisticBlock, observed: Array, n: int, alpha: float, random: np.random.Generator
) -> tuple[Array, int]:
    """Adjust the p-values of linear statistics for their number, dependence kept.

    Returns
    -------
    The p-values, and the number of draws; fewer when the first put an alarm out of reach.
    """
    total = len(part.columns)
    covariance = part.columns.T @ part.columns * (n * (total - n) / (total * (total - 1)))
    values, vectors = np.linalg.eigh(covariance)
    root = vectors * np.sqrt(np.maximum(values, 0.0))
    strongest, p = np.empty(0), np.ones(len(observed))
    while len(strongest) < required_permutations(alpha):
        z = random.standard_normal((1000, len(values))) @ root.T
        strongest = np.sort(np.append(strongest, np.abs(z).max(axis=1)))
        limits = -np.log(2) - special.log_ndtr(-strongest)
        as_strong = len(strongest) - np.searchsorted(limits, observed)
        p = (1 + as_strong) / (1 + len(strongest))
        if p.min() > HOPELESS * alpha:
            break
    return p, len(strongest)
