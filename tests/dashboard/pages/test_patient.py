from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from streamlit.testing.v1 import AppTest

from dashboard.shared.escaping import escape_markdown
from db.reader.queries import Reader
from pipeline.schema import FEATURES, NAMES
from tests.dashboard.conftest import shown
from tests.programs import free_port

PAGE = "patient/page.py"
AGE_AND_SEX = {"age": 63.0, "sex": "male"}
WHOLE = AGE_AND_SEX | {
    "cp": "asymptomatic", "trestbps": 145.0, "chol": 233.0, "fbs": "yes", "restecg": "normal",
    "thalach": 150.0, "exang": "no", "oldpeak": 2.3, "slope": "flat", "ca": "0",
    "thal": "reversible defect",
}  # fmt: skip


def enter(page: AppTest, values: dict[str, Any], form: str = "patient") -> None:
    for name, value in values.items():
        page.get_by_key(f"{form}_{name}").set_value(value)


def submit(page: AppTest, form: str = "patient") -> None:
    page.button(key=f"{form}_submit").click().run()
    assert not page.exception


def open_patient(pages: AppTest) -> AppTest:
    pages.run()
    pages.switch_page(PAGE).run()
    assert not pages.exception
    return pages


def logged(log_url: str) -> list[dict[str, Any]]:
    reader = Reader(log_url)
    try:
        return reader.page()[0]
    finally:
        reader.close()


def test_the_form_asks_for_every_feature_and_nothing_is_filled_in(pages: AppTest) -> None:
    page = open_patient(pages)
    held = {name: page.get_by_key(f"patient_{name}").value for name in NAMES}
    assert {name for name, value in held.items() if value is None} == {
        f.name for f in FEATURES if f.required or f.kind == "number"
    }
    assert {value for value in held.values() if value is not None} == {"unknown"}


def test_units_and_limits_stand_in_the_labels(pages: AppTest) -> None:
    page = open_patient(pages)
    labels = [page.get_by_key(f"patient_{name}").label for name in ("age", "chol", "oldpeak", "ca")]
    assert labels == [
        "Age (18 to 120 years), required",
        "Serum cholesterol (30 to 1000 mg/dl)",
        "ST depression by exercise (-5 to 10 mm)",
        "Major vessels coloured by fluoroscopy (0 to 3 vessels)",
    ]


def test_an_empty_form_never_gets_a_risk(served: AppTest, log_url: str) -> None:
    page = open_patient(served)
    submit(page)
    assert "Age and Sex are required." in shown(page)
    assert not page.metric
    assert logged(log_url) == []


def test_age_and_sex_alone_are_estimated_and_the_rest_is_called_unknown(
    served: AppTest, log_url: str
) -> None:
    page = open_patient(served)
    enter(page, AGE_AND_SEX)
    submit(page)
    said = shown(page)
    assert "Unknown (11 of 13): chest pain," in said
    assert "The estimate is based on very few findings." in said
    assert "**Not for diagnosis.**" in said
    (row,) = logged(log_url)
    assert row["source"] == "live"
    assert page.metric[0].value == f"{row['probability']:.0%}".replace("%", "\u00a0%")


def test_the_result_says_what_it_means_for_a_hundred_patients_and_why(
    served: AppTest, log_url: str
) -> None:
    page = open_patient(served)
    enter(page, WHOLE)
    submit(page)
    said = shown(page)
    (row,) = logged(log_url)
    count = round(row["probability"] * 100)
    assert (
        f"**About {count} of 100 such patients would be expected to have disease**, if they were "
        "*referred for angiography in Cleveland in the 1980s*." in said
    )
    assert "95 % interval of the estimate (bootstrap), not of this patient's outcome" in said
    assert "All thirteen findings were entered." in said
    assert said.count("the estimated risk**.") == 3
    assert "0 = 50 %" in said


def test_a_value_in_another_unit_is_refused_with_the_reason(served: AppTest, log_url: str) -> None:
    page = open_patient(served)
    enter(page, AGE_AND_SEX | {"chol": 5.2})
    submit(page)
    said = escape_markdown("looks like mmol/l; mg/dl is expected")
    assert f"**Serum cholesterol**: {said}" in shown(page)
    assert not page.metric
    assert page.get_by_key("patient_chol").value == 5.2
    assert logged(log_url) == []


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        (
            "chol",
            0.0,
            "0 is not a measurement; enter a value from 30 to 1000 mg/dl, or leave it empty",
        ),
        (
            "trestbps",
            400.0,
            "outside the plausible range; enter a value from 50 to 300 mm Hg, or leave it",
        ),
        ("age", 17.0, "outside the plausible range; enter a value from 18 to 120 years"),
    ],
)
def test_a_refused_number_is_explained_to_a_clinician_not_to_a_programmer(
    served: AppTest, name: str, value: float, said: str
) -> None:
    page = open_patient(served)
    enter(page, AGE_AND_SEX | {name: value})
    submit(page)
    assert escape_markdown(said) in shown(page)
    assert "null" not in shown(page)


def test_what_the_model_has_not_seen_is_a_warning(served: AppTest) -> None:
    page = open_patient(served)
    enter(page, {"age": 95.0, "sex": "female"})
    submit(page)
    assert "**Age**: " in "\n".join(warning.value for warning in page.warning)


def test_entries_survive_a_service_that_is_down(pages: AppTest) -> None:
    page = open_patient(pages)
    enter(page, WHOLE)
    submit(page)
    assert "The service is not responding" in shown(page)
    assert not page.metric
    assert {name: page.get_by_key(f"patient_{name}").value for name in WHOLE} == WHOLE


def test_entries_and_the_estimate_survive_a_look_at_another_page(served: AppTest) -> None:
    page = open_patient(served)
    enter(page, WHOLE)
    submit(page)
    before = page.metric[0].value
    page.switch_page("overview/page.py").run()
    page.switch_page(PAGE).run()
    assert page.metric[0].value == before
    assert {name: page.get_by_key(f"patient_{name}").value for name in WHOLE} == WHOLE


def test_a_service_that_fails_leaves_no_older_estimate_beside_newer_entries(
    served: AppTest, monkeypatch: pytest.MonkeyPatch
) -> None:
    from dashboard.shared import data_access

    page = open_patient(served)
    enter(page, AGE_AND_SEX)
    submit(page)
    data_access.client().close()
    data_access.client.clear()
    monkeypatch.setenv("CARDIOWATCH_API_URL", f"http://127.0.0.1:{free_port()}")
    enter(page, {"age": 40.0})
    submit(page)
    assert not page.metric


def test_clear_empties_the_form_and_takes_the_estimate_away(served: AppTest) -> None:
    page = open_patient(served)
    enter(page, WHOLE)
    submit(page)
    page.button(key="patient_clear").click().run()
    assert not page.metric
    assert page.get_by_key("patient_age").value is None
    assert page.get_by_key("patient_thal").value == "unknown"


def test_what_if_starts_with_the_original_and_is_logged_as_what_if(
    served: AppTest, log_url: str
) -> None:
    page = open_patient(served)
    enter(page, WHOLE)
    submit(page)
    assert {name: page.get_by_key(f"changed_{name}").value for name in WHOLE} == WHOLE
    enter(page, {"thal": "normal"}, "changed")
    submit(page, "changed")
    changed, original = logged(log_url)
    assert (changed["source"], original["source"]) == ("what-if", "live")
    points = round(original["probability"] * 100) - round(changed["probability"] * 100)
    assert f"is **{points} percentage points lower**" in shown(page)
    assert page.table[0].value["Finding"].tolist() == ["Thallium scan"]


def test_no_patient_value_is_in_the_address(served: AppTest) -> None:
    page = open_patient(served)
    enter(page, WHOLE)
    submit(page)
    assert dict(page.query_params) == {}


def test_a_log_that_cannot_be_written_gives_no_estimate(
    served: AppTest, log_url: str, tmp_path: Path
) -> None:
    import sqlite3

    page = open_patient(served)
    enter(page, AGE_AND_SEX)
    blocker = sqlite3.connect(tmp_path / "log.db", isolation_level=None)
    blocker.execute("BEGIN IMMEDIATE")
    try:
        submit(page)
    finally:
        blocker.execute("ROLLBACK")
        blocker.close()
    assert "The prediction could not be logged" in shown(page)
    assert not page.metric
    assert page.get_by_key("patient_age").value == 63.0
