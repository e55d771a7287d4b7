from __future__ import annotations

import numpy as np
import pytest

from pipeline.train import LabelledPatients
from pipeline.training.challengers import boosting
from pipeline.training.evidence_explanations import explain_boosting
from tests.pipeline.conftest import masked


def test_the_values_of_the_boosting_add_up_to_its_log_odds(cleveland: LabelledPatients) -> None:
    trees = boosting(cleveland.rows, cleveland.y)
    patients = np.vstack([cleveland.rows, masked(cleveland.rows, 100)])
    values, base = explain_boosting(trees, patients[:50], patients)
    assert values.sum(axis=1) + base == pytest.approx(trees.decision_function(patients), abs=1e-6)
