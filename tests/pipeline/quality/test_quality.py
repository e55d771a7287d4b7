from __future__ import annotations

import json

import numpy as np
import pytest

from pipeline.dataset.heart import HEART_CSV, read_patients
from pipeline.model.reference import step_counts
from pipeline.quality import DataQuality, assess
from pipeline.schema import NAMES

WELL = [63.0, 1.0, 1.0, 145.0, 233.0, 1.0, 2.0, 150.0, 0.0, 2.3, 3.0, 0.0, 6.0]


@pytest.fixture(scope="module")
def cleveland() -> np.ndarray:
    features = read_patients(HEART_CSV).features
    assert features is not None
    return features.to_numpy(dtype=float)


def changed(rows: np.ndarray, name: str, values: object, first: int | None = None) -> np.ndarray:
    rows = rows.copy()
    rows[:first, NAMES.index(name)] = values
    return rows


def kinds(found: DataQuality) -> list[tuple[str, str]]:
    return [(problem.field, problem.kind) for problem in found.problems]


def test_the_training_data_have_no_problem_by_their_own_measure(cleveland: np.ndarray) -> None:
    found = assess(cleveland, reference=step_counts(cleveland))
    assert found.problems == ()
    assert (found.n, found.enough_data, found.repeats, found.longest_run) == (303, True, 0, 1)
    assert found.features["ca"].missing == 4 / 303
    assert found.features["ca"].n_known == 299


def test_a_finding_that_is_no_longer_sent_is_serious(cleveland: np.ndarray) -> None:
    found = assess(changed(cleveland, "thal", np.nan), reference=step_counts(cleveland))
    assert kinds(found) == [("thal", "absent")]
    assert found.problems[0].serious
    assert found.problems[0].sentence == "Thallium scan: 100 % missing."
    assert found.features["thal"].distinct == 0


def test_a_finding_that_is_always_the_same_is_serious(cleveland: np.ndarray) -> None:
    assert kinds(assess(changed(cleveland, "fbs", 0.0), reference=step_counts(cleveland))) == [
        ("fbs", "constant")
    ]


def test_what_was_always_the_same_in_training_too_is_no_news(cleveland: np.ndarray) -> None:
    one_sex = changed(cleveland, "sex", 1.0)
    assert assess(one_sex, reference=step_counts(one_sex)).problems == ()


@pytest.mark.parametrize(
    ("name", "value"), [("chol", 5.2), ("cp", 9.0), ("thal", 4.0), ("ca", 1.5), ("age", -5.0)]
)
def test_a_value_that_cannot_be_is_named_but_not_repeated(
    cleveland: np.ndarray, name: str, value: float
) -> None:
    found = assess(changed(cleveland, name, value, first=2), reference=step_counts(cleveland))
    assert found.features[name].impossible == 2
    assert (name, "impossible") in kinds(found)
    assert found.problems[0].sentence.endswith("2 invalid values.")


def test_a_code_that_training_did_not_have_is_unseen(cleveland: np.ndarray) -> None:
    without = cleveland[cleveland[:, NAMES.index("restecg")] != 1]
    found = assess(cleveland, reference=step_counts(without))
    assert kinds(found) == [("restecg", "unseen")]
    assert found.features["restecg"].unseen == (1.0,)


def test_many_unusual_values_of_one_finding_are_told(cleveland: np.ndarray) -> None:
    found = assess(changed(cleveland, "trestbps", 70.0, first=61), reference=step_counts(cleveland))
    assert found.features["trestbps"].unusual == 61 / 303
    assert kinds(found) == [("trestbps", "unusual")]
    assert found.warned is not None
    assert found.warned >= 61 / 303


def test_a_heart_rate_is_unusual_for_an_age() -> None:
    # 220 - 63 + 36 = 193 beats/min.
    rows = np.array([WELL, WELL])
    rows[:, NAMES.index("thalach")] = 193, 194
    found = assess(rows)
    assert found.features["thalach"].unusual == 0.5
    assert found.warned == 0.5


def test_one_patient_sent_again_and_again_is_reported(cleveland: np.ndarray) -> None:
    rows = np.vstack([cleveland[:100], np.repeat(cleveland[:1], 6, axis=0)])
    found = assess(rows, reference=step_counts(cleveland))
    assert (found.repeats, found.longest_run) == (5, 6)
    assert kinds(found) == [("", "repeated")]


def test_repeats_are_not_looked_for_in_a_sample(cleveland: np.ndarray) -> None:
    found = assess(np.repeat(cleveland[:1], 40, axis=0), in_order=False)
    assert found.repeats is None
    assert ("", "repeated") not in kinds(found)


def test_refused_requests_are_told_by_field_and_reason(cleveland: np.ndarray) -> None:
    refusals = [{"field": "chol", "reason": "unit", "count": 95}]
    found = assess(cleveland, reference=step_counts(cleveland), refusals=refusals, n_requests=905)
    assert found.n_refused == 95
    assert found.problems[0].sentence == "10 % of requests rejected, mostly for chol (unit)."
    assert assess(cleveland, refusals=refusals, n_requests=9_905).problems == ()


@pytest.mark.parametrize("n", [0, 1, 29])
def test_too_few_patients_are_a_result(n: int) -> None:
    found = assess(np.array([WELL] * n), in_order=False)
    assert not found.enough_data
    assert found.problems == ()


def test_a_result_is_json_and_a_table() -> None:
    rows = np.full((40, 13), np.nan)
    rows[:, :2] = WELL[:2]
    found = assess(rows)
    json.dumps(found.to_dict(), allow_nan=False)
    assert list(found.frame()["name"]) == list(NAMES)
