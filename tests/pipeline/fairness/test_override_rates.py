"""Override rates by band of risk, sex and age, that a reader can compute by hand."""

from __future__ import annotations

import numpy as np
import pytest

from pipeline.fairness.override_rates import override_rates
from pipeline.schema import EXAMPLE, NAMES


def patient(age: float, sex: int) -> list[float]:
    values = dict(zip(NAMES, EXAMPLE, strict=True)) | {"age": age, "sex": sex}
    return [float(value) for value in values.values()]


def test_the_rate_of_each_group_is_that_of_its_own_patients() -> None:
    rows = np.array([patient(40, 0)] * 20 + [patient(70, 1)] * 5)
    probability = np.array([0.2] * 20 + [0.9] * 5)
    overridden = np.array([True] * 5 + [False] * 15 + [True] * 5)
    found = {group: rate for _, group, rate in override_rates(rows, probability, overridden)}
    assert (found["all"].n, found["all"].value) == (25, 0.4)
    assert (found["20 to below 50 %"].n, found["20 to below 50 %"].value) == (20, 0.25)
    assert (found["80 % and above"].n, found["80 % and above"].value) == (5, 1.0)
    assert (found["female"].value, found["male"].value) == (0.25, 1.0)
    assert found["20 to below 50 %"].interval == pytest.approx(
        (0.1119, 0.4687), abs=1e-4
    )  # Wilson's


def test_a_group_of_fewer_than_twenty_responses_has_too_few_and_an_empty_one_no_rate() -> None:
    rows, no = np.array([patient(40, 0)] * 19), np.zeros(19, dtype=bool)
    found = {group: rate for _, group, rate in override_rates(rows, np.full(19, 0.5), no)}
    assert not found["50 to below 80 %"].enough_data
    assert found["male"].value is None


def test_no_responses_are_no_error() -> None:
    found = list(override_rates(np.empty((0, len(NAMES))), np.empty(0), np.empty(0, dtype=bool)))
    assert {rate.n for _, _, rate in found} == {0}
