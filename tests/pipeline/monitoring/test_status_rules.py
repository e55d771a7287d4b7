from __future__ import annotations

import numpy as np
import pytest

from pipeline.fairness import assess
from pipeline.monitoring.accuracy_estimation import Accuracy, measure_accuracy
from pipeline.monitoring.status_rules import (
    CheckResult,
    Status,
    check_accuracy,
    check_data,
    check_fairness,
    check_quality,
    overall_status,
)
from pipeline.quality.result import DataQuality, QualityIssue


def finding(status: Status, sentence: str = "Something.") -> CheckResult:
    return CheckResult("data", status, sentence)


def test_the_worst_finding_gives_the_status_and_the_reason() -> None:
    found = [finding(Status.AMBER, "A."), finding(Status.RED, "B."), finding(Status.RED, "C.")]
    assert overall_status(found) == (Status.RED, "B. 1 more reason applies.")
    assert overall_status(found[:1]) == (Status.AMBER, "A.")


def test_no_finding_is_green() -> None:
    assert overall_status([]) == (Status.GREEN, "No changes detected.")


def test_too_few_patients_are_amber_not_green() -> None:
    (found,) = check_data(3, enough=False, n_week=12)
    assert found.status is Status.AMBER
    assert "12 predictions in 7 days" in found.sentence
    assert check_data(0, enough=False, n_week=0)[0].sentence.startswith("No predictions")
    assert check_data(60, enough=True, n_week=400) == []


def test_a_serious_problem_with_the_values_is_red() -> None:
    problems = (
        QualityIssue("thal", "absent", True, "Gone."),
        QualityIssue("", "repeated", False, "Again."),
    )
    found = check_quality(DataQuality(40, True, {}, None, None, None, 0, (), problems))
    assert [f.status for f in found] == [Status.RED, Status.AMBER]


def test_measured_accuracy_clearly_below_training_is_red() -> None:
    # 60 of 100 right: the interval ends at .69, more than five points below .84.
    (found,) = check_accuracy(None, measure_accuracy([1] * 100, [1] * 60 + [0] * 40), 0.84)
    assert (found.status, found.check) == (Status.RED, "accuracy")
    assert "60 %" in found.sentence


def test_accuracy_that_may_be_as_in_training_is_no_finding() -> None:
    # 24 of 30 right: the interval reaches .90.
    assert check_accuracy(None, measure_accuracy([1] * 30, [1] * 24 + [0] * 6), 0.84) == []


def test_low_estimated_accuracy_is_amber_because_it_is_an_estimate() -> None:
    estimated = Accuracy(400, True, 0.7, (0.66, 0.74), 0.5, 0.5, "")
    (found,) = check_accuracy(estimated, measure_accuracy([], []), 0.84)
    assert found.status is Status.AMBER


def people(women_selected: int, men_selected: int, of: int = 100) -> tuple[np.ndarray, dict]:
    """Women first, then men, `of` each, so many of them predicted to have the disease."""
    predicted = np.zeros(2 * of)
    predicted[:women_selected] = 1
    predicted[of : of + men_selected] = 1
    return predicted, {"sex": np.array(["female"] * of + ["male"] * of, dtype=object)}


@pytest.mark.parametrize(("women", "men", "found"), [(20, 50, 0), (70, 50, 1)])
def test_a_gap_is_reported_when_it_differs_from_training(women: int, men: int, found: int) -> None:
    predicted, groups = people(20, 50)
    trained = assess(None, predicted, groups | {"age": groups["sex"]})
    predicted, groups = people(women, men)
    told = check_fairness(assess(None, predicted, groups), trained)
    assert len(told) == found
    assert all(f.status is Status.AMBER for f in told)


def test_a_gap_between_few_patients_is_not_told() -> None:
    predicted, groups = people(20, 50)
    trained = assess(None, predicted, groups | {"age": groups["sex"]})
    predicted, groups = people(19, 0, of=19)
    assert check_fairness(assess(None, predicted, groups), trained) == []
