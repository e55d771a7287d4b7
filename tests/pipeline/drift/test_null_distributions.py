"""Distributions over relabellings against what can be counted by hand or by brute force."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
from scipy import stats

from pipeline.drift.contingency_tables import ContingencyTable, tables_from_counts
from pipeline.drift.effect_sizes import classical_test, effect_size, pearson_chi_square
from pipeline.drift.hypothesis_tests.null_distributions import (
    anderson_darling_cuts,
    anderson_darling_null,
    hypergeometric_neg_log_p,
    pearson_null,
)
from pipeline.drift.hypothesis_tests.permutation import permute_labels
from pipeline.schema import NAMES

pytestmark = pytest.mark.slow


def table(
    name: str, before: dict[float | None, int], now: dict[float | None, int]
) -> ContingencyTable:
    return tables_from_counts({name: before}, {name: now})[NAMES.index(name)]


def test_two_marked_of_four_are_both_drawn_once_in_six() -> None:
    # of the 6 pairs one has both marked, four have one, one has none
    p = np.exp(-hypergeometric_neg_log_p(2, 4, 2, two_sided=False, mid=False))

    assert p == pytest.approx([1, 5 / 6, 1 / 6])


def test_a_two_sided_p_value_counts_all_that_is_no_likelier() -> None:
    p = np.exp(-hypergeometric_neg_log_p(2, 4, 2, two_sided=True, mid=False))

    assert p == pytest.approx([1 / 3, 1, 1 / 3])


def test_the_exact_tails_are_those_of_the_hypergeometric_distribution() -> None:
    p = np.exp(-hypergeometric_neg_log_p(40, 803, 500, two_sided=False, mid=False))

    assert p[30] == pytest.approx(stats.hypergeom.sf(29, 803, 40, 500), rel=1e-9)


def test_a_million_patients_need_no_million_probabilities() -> None:
    p = np.exp(-hypergeometric_neg_log_p(100_000, 1_000_303, 303, two_sided=True, mid=False))

    chance = stats.hypergeom.pmf(np.arange(304), 1_000_303, 100_000, 303)
    assert p[60] == pytest.approx(chance[chance <= chance[60]].sum(), rel=1e-4)


def test_a_two_sided_p_value_is_fishers() -> None:
    p = np.exp(-hypergeometric_neg_log_p(5, 403, 100, two_sided=True, mid=False))

    fisher = [stats.fisher_exact([[k, 5 - k], [100 - k, 298 + k]])[1] for k in range(6)]
    assert p == pytest.approx(fisher, rel=1e-6)


def every_choice(statistic: object, pooled: list[int], n: int) -> np.ndarray:
    """The statistic of every choice of `n` of the patients."""
    levels = np.repeat(np.arange(len(pooled)), pooled)
    found = []
    for chosen in combinations(range(len(levels)), n):
        drawn = np.bincount(levels[list(chosen)], minlength=len(pooled)).astype(float)
        found.append(statistic(drawn))  # type: ignore[operator]
    return np.array(found)


def test_pearsons_moments_are_those_of_all_relabellings() -> None:
    pooled = [2, 3, 7]
    every = every_choice(
        lambda drawn: pearson_chi_square(drawn, np.array(pooled, dtype=float)), pooled, 5
    )

    null = pearson_null(pooled, 5)

    assert null.shape * null.scale == pytest.approx(every.mean())
    assert null.shape * null.scale**2 == pytest.approx(every.var())


def test_the_mean_of_anderson_darling_is_that_of_all_relabellings() -> None:
    pooled = np.array([2.0, 3, 1, 4, 2])
    cuts, weights = anderson_darling_cuts(pooled)
    h = np.cumsum(pooled)[cuts] / pooled.sum()

    def statistic(drawn: np.ndarray) -> float:
        apart = np.cumsum(drawn)[cuts] / 5 - np.cumsum(pooled - drawn)[cuts] / 7
        return float(5 * 7 / 12 * (weights * apart**2).sum())

    every = every_choice(statistic, [2, 3, 1, 4, 2], 5)
    null = anderson_darling_null(h, weights, 12)

    assert null.shift + null.shape * null.scale == pytest.approx(every.mean())


def test_a_scale_may_be_turned_round() -> None:
    _, weights = anderson_darling_cuts(np.array([5, 1, 9, 2]))
    _, turned = anderson_darling_cuts(np.array([2, 9, 1, 5]))

    assert weights == pytest.approx(turned[::-1])


def test_kolmogorov_smirnov_and_chi_square_are_the_textbooks() -> None:
    # shares below 1: .75 and .25
    ks = classical_test(table("ca", {0: 3, 1: 1}, {0: 1, 1: 3}))
    assert ks.statistic == pytest.approx(0.5)
    # expected 20 and 20 on both sides: 4 * 100 / 20
    chi = classical_test(table("sex", {0: 10, 1: 30}, {0: 30, 1: 10}))
    assert chi.statistic == pytest.approx(20)
    assert chi.p_value == pytest.approx(stats.chi2.sf(20, 1))


def test_a_shift_by_ten_is_ten_in_the_features_unit() -> None:
    apart = effect_size(table("chol", {200: 5, 220: 5}, {210: 5, 230: 5}))

    assert (apart.wasserstein, apart.difference) == (10, 10)
    assert apart.effect == 1.0  # the reference's spread is 10


def test_a_share_that_moves_is_named_by_its_level() -> None:
    apart = effect_size(table("cp", {1: 4, 3: 4, 4: 2}, {1: 6, 4: 4}))

    # +.2, -.4, +.2: four tenths of the patients would have to change
    assert apart.effect == pytest.approx(0.4)
    assert (apart.level, apart.share_difference) == (3, pytest.approx(-0.4))


def test_equal_counts_have_no_population_shift() -> None:
    assert effect_size(table("thal", {3: 9, 7: 4}, {3: 9, 7: 4})).psi == 0.0


def test_permutation_p_values_are_uniform_when_nothing_changed() -> None:
    random = np.random.default_rng(0)
    steps = random.integers(0, 4, size=(150, 80, 13)).astype(float)

    p = [
        permute_labels(rows[:40], rows[40:], 0.05, seed).p_value for seed, rows in enumerate(steps)
    ]

    # of 150, 7.5 below .05 and 75 below .5 are expected; the bounds are missed once in 10,000
    assert sum(value <= 0.05 for value in p) <= 20
    assert 52 <= sum(value <= 0.5 for value in p) <= 98
