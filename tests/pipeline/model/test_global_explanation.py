from __future__ import annotations

import json

import numpy as np
import pytest
import shap

from pipeline.model.global_explanation import (
    contributions_of,
    count_values,
    explain_globally,
    top_contributions,
)
from pipeline.schema import NAMES
from tests.pipeline.conftest import SICK, WELL, Fitted, by_hand, masked, row


def test_a_contribution_is_the_points_less_their_training_mean() -> None:
    # slope .1 per year, center 0: training patients of 63 and 67 have 6.3 and 6.7 points
    model = by_hand(age=0.1)
    assert contributions_of(model, "age", [63, 67, 75]) == pytest.approx((-0.2, 0.2, 1.0))


def test_weight_and_average_are_means_over_the_patients() -> None:
    found = explain_globally(
        by_hand(age=0.1), count_values([row(WELL), row(WELL), row(WELL), row(SICK)])
    )
    age = found.effects["age"]
    assert (age.values, age.counts) == ((63.0, 67.0), (3, 1))
    assert age.mean_absolute_contribution == pytest.approx(0.2)
    assert age.mean_contribution == pytest.approx((3 * -0.2 + 0.2) / 4)
    assert found.n == 4
    assert found.ranking[0] == "age"


def test_a_value_that_is_not_known_comes_last_and_has_its_own_points() -> None:
    without = row(WELL.replace("63,1,1,145,233", "63,1,1,145,"))
    effect = explain_globally(
        by_hand(**{"chol: not known": 0.7}), count_values([row(SICK), without])
    ).effects["chol"]
    assert effect.values == (286.0, None)
    assert effect.contributions == pytest.approx((0.0, 0.7))


def test_counts_explain_exactly_what_scoring_every_row_does(fitted: Fitted) -> None:
    rows = masked(fitted.data.rows, 200)
    found = explain_globally(fitted.model, count_values(rows))
    contributions = fitted.model.score(rows).contributions
    for i, name in enumerate(NAMES):
        assert found.effects[name].mean_absolute_contribution == pytest.approx(
            np.abs(contributions[:, i]).mean()
        )
        assert found.effects[name].mean_contribution == pytest.approx(contributions[:, i].mean())


def test_the_bars_of_the_training_patients_are_those_of_shap(fitted: Fitted) -> None:
    rows = fitted.data.rows
    columns, regression = fitted.pipeline.named_steps.values()
    matrix = columns.transform(rows)
    masker = shap.maskers.Independent(matrix, max_samples=len(matrix))
    values = shap.LinearExplainer(regression, masker).shap_values(matrix)
    found = explain_globally(fitted.model, count_values(rows))
    ours = fitted.model.score(rows).contributions
    assert ours.sum(axis=1) == pytest.approx(values.sum(axis=1), abs=1e-9)
    age = NAMES.index("age")  # the one feature with a single column
    assert found.effects["age"].mean_absolute_contribution == pytest.approx(
        np.abs(values[:, age]).mean(), abs=1e-9
    )
    assert all(abs(effect.mean_contribution) < 1e-9 for effect in found.effects.values())


def test_no_patient_at_all_is_no_error(fitted: Fitted) -> None:
    found = explain_globally(fitted.model, count_values([]))
    assert found.n == 0
    assert found.effects["chol"].mean_absolute_contribution == 0.0


def test_what_is_exported_is_safe_for_json(fitted: Fitted) -> None:
    found = explain_globally(fitted.model, count_values(fitted.data.rows))
    written = json.loads(json.dumps(found.to_dict(), allow_nan=False))
    assert written["features"][0]["feature"] == found.ranking[0]
    assert found.frame()["patients"].sum() == 303 * 13


def test_the_strongest_findings_come_first_whatever_their_sign() -> None:
    found = [{"feature": str(i), "contribution": c} for i, c in enumerate((0.1, -0.9, 0.5))]
    assert [f["feature"] for f in top_contributions(found, 2)] == ["1", "2"]
