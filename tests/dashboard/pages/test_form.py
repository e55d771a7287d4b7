from __future__ import annotations

import re

import pytest

from dashboard.pages.patient import form
from dashboard.pages.patient.case import Case
from dashboard.shared.prediction import entries
from pipeline.dataset.heart import Coding, encode
from pipeline.schema import FEATURES, NAMES, Feature

HTML = form.html("patient", "Estimate risk", whole=True)


@pytest.mark.parametrize("feature", FEATURES, ids=lambda f: f.name)
def test_every_value_survives_the_way_into_the_form_and_back(feature: Feature) -> None:
    codes = feature.codes.values() or [feature.low, feature.high]
    for code in codes:
        value = encode(feature, float(code), Coding.LABELS)
        assert entries.read(entries.write({feature.name: value})).findings == {feature.name: value}


def test_a_number_with_three_decimals_survives_as_well() -> None:
    assert entries.read(entries.write({"chol": 101.234})).findings == {"chol": 101.234}


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("0,5", 0.5), ("0.5", 0.5), (" 5,2 ", 5.2), (",5", 0.5), ("137", 137), ("0,500", 0.5),
        ("-1,5", -1.5), ("\u22121.5", -1.5), ("\u0662\u066b\u0665", 2.5), ("1,2340", 1.234),
        ("1234,567", 1234.567),
    ],
)  # fmt: skip
def test_a_number_is_read_as_a_person_in_any_locale_writes_it(text: str, number: float) -> None:
    assert entries.read_number(text) == number


@pytest.mark.parametrize("text", ["1,234", "1.234", "-1,234", "123,456"])
def test_what_may_be_thousands_or_decimals_is_never_guessed(text: str) -> None:
    with pytest.raises(ValueError, match="Thousands or decimals"):
        entries.read_number(text)


@pytest.mark.parametrize(
    "text", ["", "5,", "-", "1 000", "1.234,5", "2,3 mm", "1e3", "nan", "0x10"]
)
def test_what_is_no_number_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="Write a number"):
        entries.read_number(text)


@pytest.mark.parametrize(
    ("sent", "said"),
    [
        ({"chol": "0"}, "0 is not a measurement; enter a value from 30 to 1000 mg/dl, or leave"),
        ({"trestbps": "400"}, "Outside the plausible range; enter a value from 50 to 300 mm Hg"),
        ({"age": "17"}, "Outside the plausible range; enter a value from 18 to 120 years."),
        ({"chol": "5,2"}, "Looks like mmol/l; mg/dl is expected"),
        ({"chol": "233", "chol_unit": "mmol/l"}, "Looks like mg/dl; 0.8 to 25.9 mmol/l"),
        ({"chol": "28", "chol_unit": "mmol/l"}, "Not plausible in mmol/l; 0.8 to 25.9 mmol/l is"),
        ({"thal": "normall"}, "Choose one of: normal, fixed defect, reversible defect."),
    ],
)  # fmt: skip
def test_a_refused_entry_is_explained_to_a_clinician(sent: dict[str, str], said: str) -> None:
    reading = entries.read(sent)
    assert [text[: len(said)] for text in reading.refused.values()] == [said]
    assert reading.findings == {}


def test_cholesterol_is_shown_in_both_units_and_kept_in_mg() -> None:
    second = entries.read({"chol": "5,2", "chol_unit": "mmol/l"})
    assert (second.findings, second.converted) == ({"chol": 201.1}, {"chol": "= 201.1 mg/dl"})
    own = entries.read({"chol": "201.1", "chol_unit": "mg/dl"})
    assert (own.findings, own.converted) == ({"chol": 201.1}, {"chol": "= 5.20 mmol/l"})


def test_age_and_sex_are_what_is_needed() -> None:
    assert list(entries.read({}).missing) == ["age", "sex"]
    assert entries.read({"age": "50", "sex": "female"}).missing == {}


def test_the_form_has_an_input_for_every_feature_under_the_heading_of_its_section() -> None:
    assert re.findall(r'data-name="(\w+)"', HTML) == [*NAMES, "reference"]
    assert re.findall("<h2>(.*?)</h2>", HTML) == list(dict.fromkeys(f.section for f in FEATURES))
    for feature in FEATURES:
        assert feature.section
        choices = re.findall(rf'name="{feature.name}" value="(.*?)"', HTML)
        expected = [] if feature.kind == "number" else list(entries.words(feature))
        assert choices == ([""] if expected and not feature.required else []) + expected


def test_units_and_limits_stand_beside_the_inputs() -> None:
    for text in (
        "Age (years), required",
        "18 to 120 years.",
        "\u22125 to 10 mm. Relative to rest.",
    ):
        assert text in HTML


def test_a_changed_entry_renews_the_key_and_repeating_it_does_not() -> None:
    case = Case()
    case.hear({"kind": "entries", "revision": 1, "entries": {"age": "63"}})
    first = case.key
    case.hear({"kind": "estimate", "revision": 1, "entries": {"age": "63"}})
    assert (case.key, case.asked) == (first, True)
    case.hear({"kind": "entries", "revision": 3, "entries": {"age": "63"}})  # changed and back
    assert case.key != first


def test_no_key_says_anything_about_the_entries() -> None:
    cases = [Case(), Case()]
    for case in cases:
        case.hear({"kind": "entries", "revision": 1, "entries": {"age": "63"}})
    assert cases[0].key != cases[1].key


def test_a_form_takes_only_its_own_entries() -> None:
    case = Case()
    sent = {"age": "6" * 1000, "other": "x", "thal": ""}
    case.hear({"kind": "entries", "revision": 1, "entries": sent})
    assert case.entries == {"age": "6" * 64}
