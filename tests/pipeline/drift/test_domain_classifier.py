"""A classifier that tries to tell a window from the reference."""

from __future__ import annotations

import json

import numpy as np
import pytest

from pipeline.dataset.synthetic import smoothed_bootstrap
from pipeline.drift import classify
from pipeline.schema import NAMES
from pipeline.train import LabelledPatients

THALACH = NAMES.index("thalach")


def test_a_shifted_column_gives_the_window_away(cleveland: LabelledPatients) -> None:
    before = smoothed_bootstrap(cleveland.rows, 150, seed=1)
    now = smoothed_bootstrap(cleveland.rows, 150, seed=2)
    now[:, THALACH] -= 40

    result = classify(before, now)

    assert result.p_value == 0.001  # (1 + 0) / (1 + 999)
    assert result.drift
    assert result.auc > 0.8
    assert result.auc_interval[0] > 0.7
    assert result.importances[0].feature == "thalach"
    assert result.roc[0] == (0.0, 0.0)
    assert result.roc[-1] == (1.0, 1.0)
    json.dumps(result.to_dict(), allow_nan=False)


@pytest.mark.parametrize("n", [0, 29])
def test_few_patients_are_not_enough(cleveland: LabelledPatients, n: int) -> None:
    result = classify(cleveland.rows, cleveland.rows[:n])

    assert (result.enough_data, result.drift, result.p_value) == (False, False, 1.0)
    assert list(result.frame().columns) == ["feature", "auc_lost"]


def test_patients_without_any_value_cannot_be_told_apart() -> None:
    nothing = np.full((60, 13), np.nan)

    result = classify(nothing, nothing, permutations=3)

    assert (result.auc, result.p_value, result.drift) == (0.5, 1.0, False)
