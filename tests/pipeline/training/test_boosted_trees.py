from __future__ import annotations

import numpy as np
import pytest
import shap

from pipeline.train import LabelledPatients
from pipeline.training.boosted_trees import encoded_columns, numeric_splits
from pipeline.training.challengers import boosting
from tests.pipeline.conftest import masked


def test_the_values_of_the_boosting_add_up_to_its_log_odds(cleveland: LabelledPatients) -> None:
    trees = boosting(cleveland.rows, cleveland.y)
    patients = np.vstack([cleveland.rows, masked(cleveland.rows, 100)])
    seen = encoded_columns(trees, patients)
    explainer = shap.TreeExplainer(numeric_splits(trees), shap.maskers.Independent(seen[:50]))
    values = explainer.shap_values(seen, check_additivity=False)
    assert values.sum(axis=1) + explainer.expected_value == pytest.approx(
        trees.decision_function(patients), abs=1e-6
    )
