from __future__ import annotations

import json
import math

import numpy as np
import pytest

from pipeline.model import from_json
from pipeline.model.unknown_findings import MIN_KNOWN, JointPoints
from pipeline.schema import NAMES
from pipeline.training.evidence_unknown import RANDOM, evaluate_unknown_range
from tests.pipeline.conftest import C, Fitted, masked

CORRELATED = JointPoints(
    n=1_000_000, mean=np.array([0.0, 1.0, 0.0]),
    covariance=np.array([[1.0, 0.6, 0.0], [0.6, 1.0, 0.0], [0.0, 0.0, 0.25]]),
)  # fmt: skip


def test_what_is_unknown_is_expected_from_what_is_known() -> None:
    found = CORRELATED.unknown_sum(np.array([2.0, 9.0, 0.0]), np.array([False, True, False]))

    assert found is not None
    assert found.mean == pytest.approx(1.0 + 0.6 * 2.0, abs=1e-6)
    assert found.half_width == pytest.approx(1.96 * math.sqrt(1 - 0.36), abs=1e-4)


def test_the_finding_with_the_wider_spread_left_is_the_more_informative() -> None:
    # given the first: 0.64 of the second's variance is left, 0.25 of the third's
    found = CORRELATED.unknown_sum(np.zeros(3), np.array([False, True, True]))

    assert found is not None
    assert found.most_informative == 1
    assert found.half_width == pytest.approx(1.96 * math.sqrt(0.64 + 0.25), abs=1e-4)


def test_few_patients_widen_the_range() -> None:
    few = JointPoints(30, CORRELATED.mean, CORRELATED.covariance)
    unknown = np.array([False, True, False])
    many = CORRELATED.unknown_sum(np.zeros(3), unknown)

    found = few.unknown_sum(np.zeros(3), unknown)

    assert found is not None
    assert many is not None
    assert found.half_width > 1.05 * many.half_width


def test_a_finding_that_few_patients_had_is_not_described() -> None:
    points, known = np.random.default_rng(0).normal(size=(100, 3)), np.ones((100, 3), dtype=bool)
    known[MIN_KNOWN - 1 :, 2] = False

    found = JointPoints.of(points, known)

    assert found is not None
    assert np.isnan(found.mean).tolist() == [False, False, True]
    assert found.unknown_sum(np.zeros(3), np.array([False, False, True])) is None


def test_the_range_covers_the_full_estimate_of_patients_whom_the_fit_has_not_seen(
    fitted: Fitted,
) -> None:
    table = evaluate_unknown_range(fitted.data.rows, fitted.data.y, C)
    coverage = {row["pattern"]: row["coverage"] for row in table}

    assert len(coverage) == 13
    assert coverage.pop(RANDOM) >= 0.93
    assert min(coverage.values()) >= 0.90
    width = {row["pattern"]: row["width"] for row in table}
    assert width["no laboratory"] < width["no imaging"] < width["age and sex only"]


def test_the_range_holds_the_probability_and_only_unknown_findings_have_one(fitted: Fitted) -> None:
    for patient in masked(fitted.data.rows, 200).tolist():
        found = fitted.model.explain(patient)
        if all(value == value for value in patient):
            assert (found.unknown_range, found.most_informative) == (None, None)
            continue
        assert found.unknown_range is not None
        low, high = found.unknown_range
        assert 0 < low <= fitted.model.probability(patient) <= high < 1
        assert math.isnan(patient[NAMES.index(str(found.most_informative))])


def test_a_scorecard_of_the_first_edition_answers_without_it(fitted: Fitted) -> None:
    card = json.loads(fitted.model.scorecard)
    del card["joint_points"]
    patient = (*fitted.data.rows[0][:11].tolist(), None, None)

    found = from_json(json.dumps(card)).explain(patient)

    assert (found.unknown_range, found.most_informative) == (None, None)
    assert found.interval == fitted.model.explain(patient).interval
