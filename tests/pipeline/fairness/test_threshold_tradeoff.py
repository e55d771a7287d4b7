from __future__ import annotations

import numpy as np
import pytest

from pipeline.fairness.threshold_tradeoff import (
    compare_threshold,
    compare_thresholds,
    rates_by_threshold,
)

# Two wards: in the east risks are said too low, in the west too high.
Y = np.array([1, 1, 0, 0, 1, 1, 0, 0], dtype=float)
P = np.array([0.9, 0.4, 0.3, 0.1, 0.9, 0.8, 0.6, 0.1])
WARD = np.array(["east"] * 4 + ["west"] * 4, dtype=object)


def test_each_ward_has_its_rates_at_every_threshold() -> None:
    found = rates_by_threshold(Y, P, WARD, [0.2, 0.5, 0.7])
    assert found["east"]["recall"] == [1.0, 0.5, 0.5]
    assert found["west"]["fpr"] == [0.5, 0.5, 0.0]
    assert found["west"]["selection_rate"] == [0.75, 0.75, 0.5]


def test_another_threshold_names_its_price() -> None:
    found = compare_threshold(Y, P, WARD, 0.7, 0.5)
    assert (
        found.changed_predictions,
        found.additional_false_negatives,
        found.additional_false_positives,
    ) == (1, 0, -1)
    assert found.accuracy == 7 / 8
    assert found.demographic_parity_difference == pytest.approx(0.25)  # 1 of 4 and 2 of 4
    assert found.equalized_odds_difference == pytest.approx(0.5)  # recall 1 of 2 and 2 of 2


def test_the_rule_in_service_costs_nothing() -> None:
    found = compare_thresholds(Y, P, WARD, 0.5)[0]
    assert found.thresholds == {"east": 0.5, "west": 0.5}
    assert (
        found.changed_predictions,
        found.additional_false_negatives,
        found.additional_false_positives,
    ) == (0, 0, 0)


def test_a_threshold_per_ward_can_bring_the_same_recall() -> None:
    found = compare_thresholds(Y, P, WARD, 0.5)[2]
    assert found.name == "Equal sensitivity (recall)"
    # Of all patients: 3 of 4, so that either ward misses it by a quarter.
    assert {rates["recall"] for rates in found.rates.values()} <= {0.5, 1.0}


def test_one_threshold_for_all_lies_where_the_wards_differ_least() -> None:
    found = compare_thresholds(Y, P, WARD, 0.5)[1]
    assert len(set(found.thresholds.values())) == 1
    assert (
        found.equalized_odds_difference
        <= compare_thresholds(Y, P, WARD, 0.5)[0].equalized_odds_difference
    )


def test_no_rule_is_random() -> None:
    assert compare_thresholds(Y, P, WARD, 0.5) == compare_thresholds(Y, P, WARD, 0.5)
