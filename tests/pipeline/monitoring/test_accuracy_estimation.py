from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from pipeline.monitoring.accuracy_estimation import (
    ASSUMPTION,
    CalibrationCurve,
    calibration_curve,
    estimate_accuracy,
    measure_accuracy,
)

HONEST = CalibrationCurve(np.array([0.0, 1.0]), np.array([0.0, 1.0]))
"""A model whose probabilities are right."""


def test_the_estimate_is_the_mean_chance_of_being_right() -> None:
    # 30 patients at 90 % and 10 at 40 %, which are predicted as healthy: (30 * .9 + 10 * .6) / 40.
    probability = [0.9] * 30 + [0.4] * 10
    found = estimate_accuracy(probability, [1] * 30 + [0] * 10, HONEST)
    assert found.accuracy == pytest.approx(33 / 40)
    assert found.positive == 0.75
    assert found.disease == pytest.approx(31 / 40)
    assert found.note == ASSUMPTION


def test_an_overconfident_model_is_taken_down_by_its_curve() -> None:
    # Of those with 90 %, 70 % had the disease.
    curve = CalibrationCurve(np.array([0.1, 0.9]), np.array([0.3, 0.7]))
    assert estimate_accuracy([0.9] * 30, [1] * 30, curve).accuracy == pytest.approx(0.7)


def test_the_estimate_does_not_see_a_changed_disease() -> None:
    probability, prediction = [0.9] * 100, [1] * 100
    assert estimate_accuracy(probability, prediction, HONEST).accuracy == pytest.approx(0.9)
    assert measure_accuracy([0] * 100, prediction).accuracy == 0.0


def test_the_truth_is_the_share_of_right_answers_with_its_interval() -> None:
    found = measure_accuracy([1] * 30 + [0] * 10, [1] * 40)
    assert found.accuracy == 0.75
    # Wilson: center (.75 + 1.92/40) / (1 + 3.84/40) = .7281, half width .1315.
    assert found.interval == pytest.approx((0.5981, 0.8581), abs=5e-4)


@pytest.mark.parametrize("n", [0, 1, 29])
def test_few_patients_give_no_number(n: int) -> None:
    for found in (
        estimate_accuracy([0.9] * n, [1] * n, HONEST),
        measure_accuracy([1] * n, [1] * n),
    ):
        assert (found.n, found.enough_data, found.accuracy) == (n, False, None)
        json.dumps(found.to_dict(), allow_nan=False)


def test_training_keeps_a_rising_curve(model_dir: Path) -> None:
    evidence = json.loads((model_dir / "evidence.json").read_text())
    confidence = calibration_curve(evidence)
    assert confidence is not None
    assert (np.diff(confidence.share) >= 0).all()
    assert confidence.disease([0.5])[0] == pytest.approx(0.5, abs=0.1)


def test_a_model_without_the_curve_says_so() -> None:
    assert calibration_curve({}) is None
