from __future__ import annotations

import numpy as np
import pytest

from pipeline.statistics.metrics import (
    auc,
    calibration_intercept_slope,
    probability_metrics,
    reliability_curve,
)

Y = np.array([0.0, 0.0, 1.0, 1.0])


def test_the_auc_counts_won_pairs_and_half_of_the_ties() -> None:
    # pairs: .8 beats .1 and .4; .4 beats .1 and ties with .4: 3.5 of 4
    area, se = auc(Y, np.array([0.1, 0.4, 0.4, 0.8]))
    assert area == 0.875
    # shares won by the sick .75 and 1, by the well 1 and .75: both variances 1/32
    assert se == pytest.approx((1 / 32 / 2 + 1 / 32 / 2) ** 0.5)


def test_the_brier_score_is_the_mean_squared_error() -> None:
    # .01 + .09 + .16 + .04 = .30
    assert probability_metrics(Y, np.array([0.1, 0.3, 0.6, 0.8])).brier == pytest.approx(0.075)


def test_the_calibration_error_is_the_mean_distance_of_the_bins() -> None:
    y = np.array([0.0, 1.0, 1.0, 1.0])
    p = np.array([0.25, 0.25, 0.75, 0.75])
    # two bins of two: |.25 - .5| and |.75 - 1|
    assert reliability_curve(y, p) == (
        {"n": 2, "predicted": 0.25, "observed": 0.5},
        {"n": 2, "predicted": 0.75, "observed": 1.0},
    )
    assert probability_metrics(y, p).ece == pytest.approx(0.25)


def test_a_certain_prediction_falls_into_the_last_bin() -> None:
    assert reliability_curve(np.array([1.0]), np.array([1.0])) == (
        {"n": 1, "predicted": 1.0, "observed": 1.0},
    )


def test_calibrated_predictions_have_intercept_0_and_slope_1() -> None:
    y = np.array([0, 0, 0, 1, 0, 1, 1, 1], dtype=float)
    p = np.repeat([0.25, 0.75], 4)
    assert calibration_intercept_slope(y, p) == pytest.approx((0.0, 1.0), abs=1e-9)


def test_predictions_that_are_too_extreme_have_a_slope_below_1() -> None:
    y = np.array([0, 0, 0, 1, 0, 1, 1, 1], dtype=float)
    # log-odds -2 log 3 and 2 log 3 where -log 3 and log 3 are right: slope 1/2
    assert calibration_intercept_slope(y, np.repeat([0.1, 0.9], 4))[1] == pytest.approx(
        0.5, abs=1e-9
    )


def test_predictions_that_are_too_high_have_a_negative_intercept() -> None:
    y = np.array([0, 0, 0, 1], dtype=float)
    # says 1:1 where 1:3 is right; all equal, so there is no slope
    intercept, slope = calibration_intercept_slope(y, np.full(4, 0.5))
    assert intercept == pytest.approx(-np.log(3), abs=1e-9)
    assert np.isnan(slope)
