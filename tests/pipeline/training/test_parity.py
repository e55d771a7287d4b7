"""The scorecard is the scikit-learn pipeline, and its contributions are SHAP's."""

from __future__ import annotations

import os
import subprocess
import sys
import warnings
from dataclasses import replace

import numpy as np
import pytest
from threadpoolctl import threadpool_limits

from pipeline import train
from pipeline.dataset.heart import read_patients
from pipeline.model.design_matrix import COLUMNS, FEATURE_SLICES, Array
from pipeline.schema import NAMES
from pipeline.training.sklearn_pipeline import coefficients
from tests.conftest import ROOT
from tests.foreign_files import HUNGARIAN_CSV
from tests.pipeline.conftest import C, Fitted, masked


def hungarian() -> Array:
    features = read_patients(HUNGARIAN_CSV).features
    assert features is not None
    return features.to_numpy()


def differences(fitted: Fitted, rows: Array) -> tuple[float, float]:
    """Largest difference to scikit-learn in probability, of the array and the pure scorer."""
    expected = fitted.pipeline.predict_proba(rows)[:, 1]
    pure = np.array([fitted.model.probability(patient) for patient in rows.tolist()])
    array = fitted.model.score(rows).probability
    return float(np.abs(array - expected).max()), float(np.abs(pure - expected).max())


def test_serving_equals_scikit_learn_on_cleveland(fitted: Fitted) -> None:
    assert max(differences(fitted, fitted.data.rows)) <= 1e-12


def test_serving_equals_scikit_learn_on_hungarian(fitted: Fitted) -> None:
    assert max(differences(fitted, hungarian())) <= 1e-12


def test_serving_equals_scikit_learn_whatever_is_missing(fitted: Fitted) -> None:
    assert max(differences(fitted, masked(fitted.data.rows, 3000))) <= 1e-12


def test_contributions_equal_shap_on_the_full_background(fitted: Fitted) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # shap's own imports
        shap = pytest.importorskip("shap")
    columns, regression = fitted.pipeline.named_steps.values()
    background = columns.transform(fitted.data.rows)
    masker = shap.maskers.Independent(background, max_samples=len(background))
    explainer = shap.LinearExplainer(regression, masker)
    rows = np.vstack([fitted.data.rows, masked(fitted.data.rows, 500)])
    by_column = explainer.shap_values(columns.transform(rows))
    by_feature = np.column_stack([by_column[:, part].sum(axis=1) for part in FEATURE_SLICES])
    assert np.abs(fitted.model.score(rows).contributions - by_feature).max() <= 1e-9
    assert fitted.model.base_value == pytest.approx(explainer.expected_value, abs=1e-9)


def test_an_unknown_value_can_contribute(fitted: Fitted) -> None:
    unknown = masked(fitted.data.rows, 300)
    contributions = fitted.model.score(unknown).contributions
    assert (contributions[np.isnan(unknown)] != 0).all()


def test_the_design_columns_are_scikit_learns(fitted: Fitted) -> None:
    assert len(coefficients(fitted.pipeline)) == len(COLUMNS) + 1


def test_fitting_twice_gives_the_same_version(fitted: Fitted) -> None:
    with threadpool_limits(1):
        assert train.fit(fitted.data, C).version == fitted.model.version


@pytest.mark.slow
def test_the_number_of_threads_does_not_change_the_version(
    fitted: Fitted, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(train, "N_BOOTSTRAP", 20)
    program = (
        "from pipeline import train; train.N_BOOTSTRAP = 20;"
        f"print(train.fit(train.load_labelled(train.HEART_CSV), {C}).version)"
    )
    environment = os.environ | {"OMP_NUM_THREADS": "2", "OPENBLAS_NUM_THREADS": "2"}
    found = subprocess.run(
        [sys.executable, "-c", program],
        cwd=ROOT, env=environment, capture_output=True, text=True, check=True,
    )  # fmt: skip
    with threadpool_limits(1):
        assert found.stdout.strip() == train.fit(fitted.data, C).version


def test_a_finding_that_the_hospital_never_has_is_not_in_its_model(fitted: Fitted) -> None:
    rows, (patient, three_vessels, no_scan) = fitted.data.rows.copy(), fitted.data.rows[[0, 0, 0]]
    rows[:, NAMES.index("ca")], rows[:, NAMES.index("fbs")] = np.nan, 0.0
    three_vessels[NAMES.index("ca")], no_scan[NAMES.index("thal")] = 3.0, np.nan

    with threadpool_limits(1):
        model = train.fit(train._trainable(replace(fitted.data, rows=rows)), C)

    assert set(NAMES) - set(model.features) == {"ca", "fbs"}
    p = model.probability(patient.tolist())
    assert model.probability(three_vessels.tolist()) == p
    assert model.score([patient]).probability[0] == pytest.approx(p, abs=1e-12)
    found = model.explain(no_scan.tolist())
    assert found.contributions[NAMES.index("ca")] == 0.0
    assert found.most_informative == "thal"
