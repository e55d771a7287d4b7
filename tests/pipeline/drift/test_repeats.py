"""A patient who is in a window several times is tested once."""

from __future__ import annotations

import numpy as np
import pytest

from pipeline.dataset.synthetic import smoothed_bootstrap
from pipeline.drift import compare, compare_counts
from pipeline.drift.contingency_tables import Array
from pipeline.drift.repeats import MANY_NEAR_REPEATS
from pipeline.model.global_explanation import count_values
from pipeline.model.inputs import InputError
from pipeline.schema import NAMES
from pipeline.train import LabelledPatients


@pytest.fixture(scope="module")
def reference(cleveland: LabelledPatients) -> Array:
    return smoothed_bootstrap(cleveland.rows, 303, seed=1)


@pytest.fixture(scope="module")
def window(cleveland: LabelledPatients) -> Array:
    return smoothed_bootstrap(cleveland.rows, 100, seed=2)


def test_a_window_with_everybody_twice_gets_the_verdict_of_the_window(
    reference: Array, window: Array
) -> None:
    once, twice = compare(reference, window), compare(reference, np.repeat(window, 2, axis=0))

    assert (twice.p_value, twice.n_current, twice.repeats) == (once.p_value, 100, 100)
    assert once.repeats == 0


def test_everybody_five_times_raises_no_more_false_alarms_than_promised(
    cleveland: LabelledPatients,
) -> None:
    def alarm(seed: int) -> bool:
        drawn = smoothed_bootstrap(cleveland.rows, 343, seed=seed)
        return compare(drawn[:303], np.repeat(drawn[303:], 5, axis=0), seed=seed).drift

    # 5 % of 40 windows are 2; more than 6 have a probability of 0.3 %
    assert sum(alarm(seed) for seed in range(40)) <= 6


def test_rows_with_one_reference_are_one_patient_whatever_their_values(
    reference: Array, window: Array
) -> None:
    patients = [bytes([i // 2]) for i in range(100)]

    found = compare(reference, window, patients=patients)

    assert (found.n_current, found.repeats) == (50, 50)
    assert found == compare(reference, window, patients=patients)


def test_equal_rows_with_different_references_are_different_patients(
    reference: Array, window: Array
) -> None:
    both = np.vstack([window, window])

    assert compare(reference, both, patients=[str(i) for i in range(200)]).repeats == 0
    assert compare(reference, both, patients=[None] * 200).repeats == 100


@pytest.mark.parametrize(
    ("unknown", "repeats"),
    [
        (("sex", "cp", "fbs", "restecg", "exang"), 100),
        (("sex", "cp", "fbs", "restecg", "exang", "slope"), 0),
        (("age", "chol"), 100),
        (("age", "chol", "oldpeak"), 0),
    ],
)
def test_equal_rows_that_tell_little_are_different_patients(
    reference: Array, window: Array, unknown: tuple[str, ...], repeats: int
) -> None:
    known = np.nan_to_num(window)
    known[:, [NAMES.index("trestbps"), NAMES.index("thalach")]] += np.arange(100)[:, None]
    known[:, [NAMES.index(name) for name in unknown]] = np.nan

    assert compare(reference, np.vstack([known, known])).repeats == repeats


def test_one_reference_a_row_is_expected(reference: Array, window: Array) -> None:
    with pytest.raises(InputError, match="100 rows have 2 patient references"):
        compare(reference, window, patients=["a", "b"])


def test_many_rows_of_few_patients_are_tested_on_rows(
    cleveland: LabelledPatients, reference: Array
) -> None:
    everyone = smoothed_bootstrap(cleveland.rows, 6_000, seed=3)
    everyone = everyone[np.repeat(np.arange(600), 10)]

    found = compare_counts(
        count_values(reference), count_values(everyone),
        reference_sample=reference, sample=everyone[::2],
    )  # fmt: skip

    assert (found.method, found.n_current) == ("permutation", 600)


def test_groups_of_similar_patients_are_said(
    cleveland: LabelledPatients, reference: Array, window: Array
) -> None:
    drawn = smoothed_bootstrap(cleveland.rows, 25, seed=4)
    similar = np.repeat(drawn, 4, axis=0)
    similar[:, NAMES.index("chol")] += np.tile([0, 1, 2, 3], 25)

    assert compare(reference, similar).near_repeats > 0.5
    assert compare(reference, window).near_repeats < MANY_NEAR_REPEATS


def test_rows_that_tell_little_are_not_called_similar(reference: Array, window: Array) -> None:
    unknown = window.copy()
    unknown[:, 2:] = np.nan

    assert compare(reference, unknown).near_repeats == 0
