from __future__ import annotations

from functools import partial

import pytest

from pipeline.statistics.proportions import (
    Z95,
    at_prevalence,
    auc_interval,
    auc_variance,
    difference_interval,
    holm_adjust,
    required_sample_size,
    wilson_interval,
)


def test_wilsons_interval_of_none_of_ten_ends_where_the_formula_says() -> None:
    # z^2 / (n + z^2) = 3.8415 / 13.8415
    assert wilson_interval(0, 10) == pytest.approx((0.0, 0.2775), abs=1e-4)
    assert wilson_interval(0, 0) == (0.0, 1.0)


def test_newcombes_published_example_is_reproduced() -> None:
    # Newcombe 1998, table II, example (a): 56/70 - 48/80, method 10
    found, _ = difference_interval(
        56 / 70, partial(wilson_interval, 56, 70), 48 / 80, partial(wilson_interval, 48, 80)
    )
    assert found == pytest.approx((0.0524, 0.3339), abs=5e-5)


@pytest.mark.parametrize("count", range(21))
def test_the_p_value_is_below_5_percent_exactly_when_the_interval_excludes_0(count: int) -> None:
    (low, high), p = difference_interval(
        count / 20, partial(wilson_interval, count, 20), 0.5, partial(wilson_interval, 15, 30)
    )
    assert (p < 0.05) == (low > 0 or high < 0)


def test_the_smallest_p_value_is_multiplied_by_the_size_of_the_family() -> None:
    assert holm_adjust([0.04, 0.01, 0.5]) == [0.08, 0.03, 0.5]
    assert holm_adjust([]) == []


def test_an_area_of_1_has_an_interval_of_its_smaller_class() -> None:
    assert auc_interval(1.0, 0.0, 25) == wilson_interval(25, 25)
    low, high = auc_interval(0.5, 0.1, 25, Z95)
    assert low == pytest.approx(1 - high)  # symmetric around one half


def test_half_as_much_variance_needs_half_as_many_patients() -> None:
    assert required_sample_size(0.25) == 526  # 2 * .25 * (3.2415 / .1)^2 = 525.4
    assert required_sample_size(0.125) == 263


def test_an_area_of_one_half_has_the_variance_of_ranks() -> None:
    assert auc_variance(0.5) == pytest.approx(1 / 6)  # 1/12 from either class


@pytest.mark.parametrize(
    ("probability", "here", "expected"),
    [(0.5, 0.5, 0.5), (0.5, 0.1, 0.1), (0.8, 0.2, 0.5), (0.0, 0.1, 0.0), (1.0, 0.1, 1.0)],
)
def test_where_disease_is_rarer_the_odds_shrink_by_the_ratio_of_the_prior_odds(
    probability: float, here: float, expected: float
) -> None:
    assert at_prevalence(probability, 0.5, here) == pytest.approx(expected)
