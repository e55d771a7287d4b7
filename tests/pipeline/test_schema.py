"""The one table of features: its limits, words and warnings."""

from __future__ import annotations

import math

import pytest

from pipeline.dataset.heart import Coding, decoder, encode, encode_row
from pipeline.dataset.heart.codings import KAGGLE_TO_UCI
from pipeline.schema import BY_NAME, FEATURES, NAMES, Kind, range_warnings

WELL = (50, 0, 3, 120, 200, 0, 0, 160, 0, 0.0, 1, 0, 3)


def changed(**values: float | None) -> tuple[float | None, ...]:
    return tuple(values.get(name, value) for name, value in zip(NAMES, WELL, strict=True))


def test_the_thirteen_features_stand_in_the_order_of_the_uci_files() -> None:
    assert " ".join(NAMES) == (
        "age sex cp trestbps chol fbs restecg thalach exang oldpeak slope ca thal"
    )


def test_age_and_sex_are_the_only_required_features() -> None:
    assert [feature.name for feature in FEATURES if feature.required] == ["age", "sex"]


def test_usual_lies_within_plausible() -> None:
    for feature in FEATURES:
        if feature.usual_low is not None:
            assert feature.low <= feature.usual_low
        if feature.usual_high is not None:
            assert feature.usual_high <= feature.high


def test_another_unit_never_overlaps_what_is_plausible() -> None:
    for feature in FEATURES:
        if feature.unit_hint is not None:
            assert feature.unit_hint.high < feature.low


@pytest.mark.parametrize(
    ("values", "warned"),
    [
        ({}, []),
        ({"age": 77}, []),
        ({"age": 78}, ["age"]),
        ({"trestbps": 79}, ["trestbps"]),
        ({"chol": 579}, ["chol"]),
        ({"oldpeak": -0.1}, ["oldpeak"]),
        ({"oldpeak": 6.3}, ["oldpeak"]),
        ({"thalach": 206}, []),  # 220 - 50 + 36 = 206
        ({"thalach": 207}, ["thalach"]),
        ({"age": 70, "thalach": 187}, ["thalach"]),  # 220 - 70 + 36 = 186
        ({"chol": None, "trestbps": None}, []),
    ],
)
def test_unusual_values_are_warned_of(values: dict[str, float | None], warned: list[str]) -> None:
    assert [name for name, _ in range_warnings(changed(**values))] == warned


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("thal", 7.0, "reversible defect"),
        ("fbs", 1.0, "yes"),
        ("chol", 233.0, "233 mg/dl"),
        ("oldpeak", 2.3, "2.3 mm"),
        ("ca", 2.0, "2 vessels"),
        ("ca", None, "unknown"),
        ("chol", math.nan, "unknown"),
    ],
)
def test_a_value_is_said_in_words_with_its_unit(name: str, value: float | None, words: str) -> None:
    assert BY_NAME[name].format_value(value) == words


@pytest.mark.parametrize("feature", FEATURES, ids=NAMES)
@pytest.mark.parametrize("coding", list(Coding))
def test_what_is_written_in_a_coding_is_read_back(feature: object, coding: Coding) -> None:
    assert feature in FEATURES
    table = decoder(feature, coding)  # type: ignore[arg-type]
    for uci in set((table or {}).values()) - {None}:
        wire = encode(feature, uci, coding)  # type: ignore[arg-type]
        assert table is not None
        assert table[wire] == uci  # type: ignore[index]


def test_each_uci_code_has_exactly_one_kaggle_code() -> None:
    for name, table in KAGGLE_TO_UCI.items():
        feature = BY_NAME[name]
        codes = set(feature.codes.values()) or set(range(4))
        known = [uci for uci in table.values() if uci is not None]
        assert sorted(known) == sorted(codes)


def test_typical_angina_is_1_in_uci_and_3_in_kaggle() -> None:
    row = {"id": "x", "cp": 1.0, "age": 63.0, "fbs": 1.0, "thal": None}

    assert encode_row(row, Coding.LABELS)["cp"] == "typical angina"
    assert encode_row(row, Coding.UCI)["cp"] == 1
    assert encode_row(row, Coding.KAGGLE) == {
        "id": "x", "cp": 3, "age": 63.0, "fbs": 1, "thal": None,
    }  # fmt: skip


def test_numbers_have_a_unit_and_categories_have_words() -> None:
    for feature in FEATURES:
        assert bool(feature.unit) == feature.is_numeric
        assert bool(feature.codes) == (feature.kind in (Kind.CATEGORY, Kind.BOOLEAN))
