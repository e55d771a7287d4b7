"""The Python entry points take tables of any library, and answer what they cannot use in words."""

from __future__ import annotations

from collections import UserDict
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from pipeline.dataset.heart import HEART_CSV
from pipeline.drift import compare, compare_counts, risk_change
from pipeline.fairness import assess
from pipeline.model.global_explanation import count_values
from pipeline.model.inputs import InputError, check_counts, patients
from pipeline.model.reference import step_counts
from pipeline.poisoning import run as run_poisoning
from pipeline.quality import assess as assess_quality
from pipeline.schema import NAMES
from tests.pipeline.conftest import by_hand


class Polars(UserDict):  # type: ignore[type-arg]
    """What a polars frame looks like: columns are a list, a column is a sequence."""

    @property
    def columns(self) -> list[str]:
        return list(self.data)


@pytest.fixture(scope="module")
def frame() -> pd.DataFrame:
    return pd.read_csv(HEART_CSV)[list(NAMES)].astype(float)


def counted(frame: pd.DataFrame) -> dict[str, dict[float | None, int]]:
    return {
        name: {
            None if value != value else float(value): int(n)
            for value, n in frame[name].value_counts(dropna=False).items()
        }
        for name in frame
    }


def test_tables_of_all_libraries_are_the_same_patients(frame: pd.DataFrame) -> None:
    listed = [[None if v != v else v for v in row] for row in frame.to_numpy().tolist()]
    listed[0][11] = pd.NA  # type: ignore[call-overload]
    expected = frame.to_numpy().copy()
    expected[0, 11] = np.nan
    by_column = {name: [row[i] for row in listed] for i, name in enumerate(NAMES)}
    arrow = {
        name: [None if v is pd.NA else v for v in column] for name, column in by_column.items()
    }
    for rows in (
        listed, Polars(by_column), pa.table(arrow), pd.DataFrame(by_column),
        pd.DataFrame(arrow, dtype="Float64"), pd.DataFrame(arrow).convert_dtypes(),
        pd.DataFrame(arrow, dtype="double[pyarrow]"),
    ):  # fmt: skip
        assert np.array_equal(patients(rows), expected, equal_nan=True)


def test_columns_in_another_order_are_found_by_their_names(frame: pd.DataFrame) -> None:
    other = frame[list(reversed(NAMES))]
    of_columns = {name: other[name].tolist() for name in other}
    structured = np.array([*other.itertuples(index=False)], [(name, float) for name in other])
    expected = by_hand().score(frame).probability
    for rows in (other, Polars(of_columns), pa.table(of_columns), structured):
        assert np.array_equal(by_hand().score(rows).probability, expected)
    assert by_hand().score(other.iloc[0]).probability == expected[:1]


def test_masked_values_are_missing(frame: pd.DataFrame) -> None:
    expected = frame.to_numpy()
    known = np.nan_to_num(expected, nan=3.0)
    masked = np.ma.array(known, mask=np.isnan(expected))
    columns = Polars({name: masked[:, i] for i, name in enumerate(NAMES)})
    assert np.isnan(expected).any()
    for rows in (masked, [*masked], columns, np.ma.array(known.astype(int), mask=masked.mask)):
        found = patients(rows)
        assert np.array_equal(np.isnan(found), np.isnan(expected))
    assert np.array_equal(patients(masked), expected, equal_nan=True)


@pytest.mark.parametrize("name", ["compare", "quality", "score"])
@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda f: pd.concat([f, f[["age"]]], axis=1), "more than one column age"),
        (lambda f: f.drop(columns="thal"), "no column thal"),
        (lambda f: f.assign(chol="high"), "chol: a str where a number is expected"),
        (lambda f: f.to_numpy()[:, :12], "rows of 13 values"),
        (lambda f: [[1.0], [1.0, 2.0]], "rows of 13 values"),
    ],
)
def test_a_table_that_cannot_be_used_is_named(
    frame: pd.DataFrame, name: str, change: Any, reason: str
) -> None:
    entry = {
        "compare": lambda rows: compare(frame, rows),
        "quality": assess_quality,
        "score": lambda rows: by_hand().score(rows),
    }[name]
    with pytest.raises(InputError, match=reason):
        entry(change(frame))


@pytest.mark.parametrize("gone", ["trestbps", "thal"])
def test_a_feature_without_counts_is_not_compared(frame: pd.DataFrame, gone: str) -> None:
    counts = counted(frame)
    found = compare_counts(counts, {n: v for n, v in counts.items() if n != gone})
    assert (found.drift, found.p_value > 0.9) == (False, True)
    assert found.features[gone].reason == "not compared: absent from the counts"


@pytest.mark.parametrize(
    ("table", "reason"),
    [
        ({63.0: -1}, "age: a count is negative"),
        ({63.0: 1.5}, "age: a count is negative or no whole number"),
        ({"63": 1}, "age: a str where a number is expected"),
        ({63.0: None}, "age: a count is negative or no whole number"),
    ],
)
def test_counts_that_are_none_are_named(
    frame: pd.DataFrame, table: dict[Any, Any], reason: str
) -> None:
    with pytest.raises(InputError, match=reason):
        compare_counts(counted(frame), counted(frame) | {"age": table})
    with pytest.raises(InputError, match="bmi is not a feature"):
        compare_counts(counted(frame), counted(frame) | {"bmi": {20.0: 303}})


def test_outcomes_predictions_and_probabilities_are_numbers_from_0_to_1() -> None:
    y, groups = [0, 1] * 60, {"sex": ["f", "m"] * 60}
    for wrong in (np.nan, 1.2, -0.1, None, pd.NA):
        with pytest.raises(ValueError, match="probabilities must lie between 0 and 1"):
            assess(y, y, groups, probability=[wrong, *[0.5] * 119])
    with pytest.raises(ValueError, match="predictions and known outcomes must be 0 or 1"):
        assess(y, [pd.NA, *y[1:]], groups)
    with pytest.raises(InputError, match="predictions: a str"):
        assess(y, ["sick", *y[1:]], groups)
    assert assess([pd.NA, None, *y[2:]], y, groups).n_known == 118


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda f: step_counts(f[:, :5]), "rows of 13 values"),
        (lambda f: step_counts(np.full((1, 13), np.inf)), "a value is infinite"),
        (lambda f: count_values(pd.DataFrame(f)), "no column age"),
        (lambda f: run_poisoning(pd.DataFrame(f), np.ones(len(f))), "no column age"),
        (lambda f: run_poisoning(f, np.ones(len(f))), "some of both"),
        (lambda f: run_poisoning(f, [0, 1]), "for each of 303 patients"),
        (lambda f: run_poisoning(f, np.full(len(f), np.nan)), "a label 0 or 1"),
        (lambda f: run_poisoning(f, f[:, 1], doses=["a"]), "doses: a str"),
        (lambda f: risk_change([0.1], [np.nan]), "between 0 and 1"),
        (lambda f: risk_change([1.1], [0.2]), "between 0 and 1"),
        (lambda f: assess(None, [0, 1], ["a", "b"]), "a mapping from attributes"),  # type: ignore[arg-type]
        (lambda f: assess(None, [0, 1], {"s": np.ones((2, 2))}), "one group is expected"),
        (lambda f: check_counts([1], "reference"), "a mapping from features"),
        (lambda f: check_counts({"age": [1]}, "reference"), "a mapping from values"),
        (lambda f: check_counts({"ca": {np.nan: 4}}, "reference"), "None = missing"),
        (lambda f: check_counts({"ca": {1.0: 10**30}}, "reference"), "no whole number"),
        (lambda f: check_counts({"age": {}}, "counts", whole=True), "no counts of sex, cp"),
    ],
)
def test_what_an_entry_point_cannot_use_is_a_sentence(
    frame: pd.DataFrame, call: Callable[[np.ndarray], object], said: str
) -> None:
    with pytest.raises(InputError, match=said):
        call(frame.to_numpy())


def test_a_reference_without_patients_is_no_error(frame: pd.DataFrame) -> None:
    nobody = {name: {None: 0} for name in NAMES}
    assert assess_quality(frame, reference=nobody).features["ca"].missing_reference == 0
