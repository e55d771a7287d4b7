from __future__ import annotations

import math

import numpy as np
import pytest

from pipeline.dataset.heart import PROFILES, apply_missingness
from pipeline.model.design_matrix import COLUMNS, FEATURE_SLICES, build_design_matrix, standardise
from pipeline.model.logistic_regression import (
    bootstrap_coefficients,
    fit_weighted,
    predict_probability,
)
from pipeline.train import LabelledPatients
from pipeline.training.imputation import (
    IMPUTATION_METHODS,
    MISSINGNESS_SCENARIOS,
    N_COPIES,
    CrossValidationFolds,
    augment_with_missingness,
    cross_validate,
    fit_missing_indicators,
    fit_pattern_submodels,
    simplest_within_one_se,
)
from tests.pipeline.conftest import SICK, WELL, row

ONE_ON = np.array([[0.0], [0.0], [1.0], [1.0]])


def test_without_a_used_column_the_intercept_is_the_log_odds_of_the_mean() -> None:
    y = np.array([0.0, 1.0, 1.0, 1.0])
    beta = fit_weighted(ONE_ON, y, np.ones((1, 4)), 1.0, used=np.array([[False]]))
    assert beta[0] == pytest.approx([math.log(3), 0.0], abs=1e-12)


def test_weights_count_patients() -> None:
    y = np.array([0.0, 1.0, 0.0, 1.0])
    # Twice the second patient is the second patient twice.
    weighted = fit_weighted(ONE_ON, y, np.array([1.0, 2.0, 1.0, 1.0]), 1.0)
    twice = fit_weighted(np.vstack([ONE_ON, ONE_ON[1]]), np.append(y, 1.0), np.ones(5), 1.0)
    assert weighted == pytest.approx(twice, abs=1e-12)


def test_the_gradient_is_zero_at_the_fit() -> None:
    y = np.array([0.0, 1.0, 1.0, 1.0])
    beta = fit_weighted(ONE_ON, y, np.ones(4), 2.0)
    p = predict_probability(ONE_ON, beta)
    assert (p - y).sum() == pytest.approx(0.0, abs=1e-11)
    assert (p - y) @ ONE_ON[:, 0] + beta[1] / 2.0 == pytest.approx(0.0, abs=1e-11)


def test_many_fits_at_once_equal_single_fits() -> None:
    y = np.array([0.0, 1.0, 1.0, 0.0])
    weights = np.array([[1.0, 1.0, 1.0, 1.0], [3.0, 1.0, 2.0, 1.0]])
    many = fit_weighted(ONE_ON, y, weights, 1.0)
    for beta, w in zip(many, weights, strict=True):
        assert beta == pytest.approx(fit_weighted(ONE_ON, y, w, 1.0), abs=1e-12)


def test_the_bootstrap_is_the_same_for_the_same_seed() -> None:
    y, start = np.array([0.0, 1.0, 1.0, 0.0]), np.zeros(2)
    draws = [
        bootstrap_coefficients(ONE_ON, y, np.ones(1), 1.0, start, 5, seed) for seed in (1, 1, 2)
    ]
    assert (draws[0] == draws[1]).all()
    assert (draws[0] != draws[2]).any()


def test_a_patient_becomes_standardised_numbers_and_one_hot_levels() -> None:
    rows = np.array([row(WELL), row(SICK)], dtype=float)
    center, scale = standardise(rows)
    values = dict(
        zip((c.name for c in COLUMNS), build_design_matrix(rows, center, scale)[0], strict=True)
    )
    assert values["age"] == pytest.approx(-1.0)  # mean 65, standard deviation 2
    assert values["cp: typical angina"] == 1.0
    assert values["cp: asymptomatic"] == 0.0
    assert values["ca: not known"] == 0.0
    assert len(FEATURE_SLICES) == 13


def test_an_unknown_number_has_no_value_and_an_unknown_level_no_level() -> None:
    rows = np.array([[*row()[:11], None, None]], dtype=float)
    matrix = build_design_matrix(rows, np.zeros(13), np.ones(13))
    values = dict(zip((c.name for c in COLUMNS), matrix[0], strict=True))
    assert (values["ca"], values["ca: not known"]) == (0.0, 1.0)
    assert values["thal: normal"] == values["thal: fixed defect"] == 0.0
    assert values["thal: not known"] == 1.0


def test_masks_blank_the_share_that_a_hospital_lacks(cleveland: LabelledPatients) -> None:
    rows = np.tile(cleveland.rows, (30, 1))
    by_name = {
        site.name: apply_missingness(rows, site, np.random.default_rng(0)) for site in PROFILES
    }
    assert np.isnan(by_name["Switzerland"][:, 4]).all()  # chol
    assert np.isnan(by_name["Hungarian"][:, 11]).mean() == pytest.approx(0.99, abs=0.005)
    flat = rows[:, 9] == 0
    assert np.isnan(by_name["Hungarian"][flat, 10]).all()  # slope where oldpeak is 0
    assert not np.isnan(by_name["Hungarian"][~flat, 10]).any()
    for masked in by_name.values():
        assert not np.isnan(masked[:, :2]).any()  # age and sex are always known


def test_each_patient_weighs_one_over_all_copies(cleveland: LabelledPatients) -> None:
    copies, weights = augment_with_missingness(cleveland.rows)
    assert len(copies) == len(cleveland.rows) * (1 + len(PROFILES) * N_COPIES)
    assert weights.sum() == pytest.approx(1.0)
    assert weights[0] == pytest.approx(1 / len(MISSINGNESS_SCENARIOS))
    assert np.array_equal(copies[: len(cleveland.rows)], cleveland.rows, equal_nan=True)


def test_complete_patients_get_the_same_from_a_pattern_submodel(
    cleveland: LabelledPatients,
) -> None:
    known = ~np.isnan(cleveland.rows).any(axis=1)
    rows, y = cleveland.rows[known], cleveland.y[known]
    with_indicators, patterns = (
        fit_missing_indicators(rows, y, 0.3),
        fit_pattern_submodels(rows, y, 0.3),
    )
    assert patterns(rows[:9]) == pytest.approx(with_indicators(rows[:9]), abs=1e-5)


def test_every_treatment_predicts_every_scenario(cleveland: LabelledPatients) -> None:
    fits = {
        name: (lambda rows, y, fit=fit: fit(rows, y, 0.3))
        for name, fit in IMPUTATION_METHODS.items()
    }
    for found in cross_validate(
        CrossValidationFolds(cleveland.rows, cleveland.y, 1), fits
    ).values():
        assert found.brier().shape == (5, len(MISSINGNESS_SCENARIOS))
        assert 0.09 < found.loss()[0] < 0.19


@pytest.mark.parametrize(
    ("losses", "chosen"),
    [
        ({"a": (0.150, 0.9), "b": (0.141, 0.9), "c": (0.135, 0.004)}, "c"),
        ({"a": (0.150, 0.9), "b": (0.138, 0.9), "c": (0.135, 0.004)}, "b"),
        ({"a": (0.139, 0.9), "b": (0.138, 0.9), "c": (0.135, 0.004)}, "a"),
    ],
)
def test_the_simplest_within_one_standard_error_of_the_best_is_chosen(
    losses: dict[str, tuple[float, float]], chosen: str
) -> None:
    assert simplest_within_one_se(losses) == chosen
