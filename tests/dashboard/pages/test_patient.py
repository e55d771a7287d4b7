from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any, cast

import pytest
from streamlit.testing.v1 import AppTest

from dashboard.pages.patient import panels, texts
from dashboard.pages.patient.case import Case
from dashboard.shared import numbers
from dashboard.shared.prediction import record
from dashboard.shared.prediction.panels import Prediction
from db.reader.queries import Reader
from pipeline.model import load as load_model
from pipeline.schema import NAMES
from tests.dashboard.conftest import shown
from tests.programs import free_port

PAGE = "patient/page.py"
AGE_AND_SEX = {"age": "63", "sex": "male"}
WHOLE = AGE_AND_SEX | {
    "cp": "asymptomatic", "trestbps": "145", "chol": "233", "fbs": "yes", "restecg": "normal",
    "thalach": "150", "exang": "no", "oldpeak": "2,3", "slope": "flat", "ca": "0",
    "thal": "reversible defect",
}  # fmt: skip


def case_of(page: AppTest) -> Case:
    return cast("Case", page.session_state["case"])


def tell(case: Case, kind: str, entries: dict[str, str]) -> None:
    """Say what the form in the browser would say."""
    changed = entries != case.entries
    case.hear({"kind": kind, "revision": case.revision + changed, "entries": entries})


def estimate(page: AppTest, entries: dict[str, str], case: Case | None = None) -> None:
    tell(case or case_of(page), "estimate", entries)
    page.run()
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


def test_an_empty_form_never_gets_a_risk(served: AppTest, log_url: str) -> None:
    page = open_patient(served)
    estimate(page, {})
    assert case_of(page).said == "No estimate: Age and Sex are required."
    assert list(case_of(page).refused) == ["age", "sex"]
    assert not page.metric
    assert logged(log_url) == []


def test_age_and_sex_alone_are_estimated_and_the_rest_is_called_unknown(
    served: AppTest, log_url: str
) -> None:
    page = open_patient(served)
    estimate(page, AGE_AND_SEX)
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
    estimate(page, WHOLE)
    said = shown(page)
    (row,) = logged(log_url)
    count = round(row["probability"] * 100)
    assert (
        f"**About {count} of 100 such patients would be expected to have disease**, if they were "
        r"like the training patients: *303 patients of the Cleveland Clinic\, referred for" in said
    )
    assert "95 % interval of the estimate (bootstrap), not of this patient's outcome" in said
    assert "All 13 findings were entered." in said
    assert said.count("the estimated risk**.") == 3
    assert "0 = 50 %" in said


def test_a_set_prevalence_gives_a_second_number_that_is_not_logged(
    served: AppTest, log_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = open_patient(served)
    estimate(page, WHOLE)
    assert "patients here have disease" not in shown(page)
    monkeypatch.setenv("CARDIOWATCH_PREVALENCE", "0.1")
    page.run()
    (row,) = logged(log_url)
    odds = row["probability"] / (1 - row["probability"]) * (0.1 / 0.9) * (164 / 139)
    said = numbers.probability(odds / (1 + odds))
    assert (
        f"If 10\u00a0% of the patients here have disease and only that differs from training "
        f"(46\u00a0%): about **{said}**. This number is not logged." in shown(page)
    )


def test_a_refused_entry_gives_no_estimate(served: AppTest, log_url: str) -> None:
    page = open_patient(served)
    estimate(page, AGE_AND_SEX | {"chol": "5,2", "oldpeak": "1,234"})
    said = case_of(page).said
    assert said == "No estimate: check serum cholesterol and ST depression by exercise."
    assert list(case_of(page).refused) == ["chol", "oldpeak"]
    assert not page.metric
    assert logged(log_url) == []


def test_what_the_model_has_not_seen_is_said_once_for_the_finding(served: AppTest) -> None:
    page = open_patient(served)
    estimate(page, {"age": "95", "sex": "female"})
    assert "Check age: an unusual value." in case_of(page).said
    found = case_of(page).estimate
    assert found is not None
    assert texts.warnings(found) == {
        "age": "Unusually high: above 77 years; the model has not seen such a value (trained on "
        "29-77 years)."
    }
    assert not [warning for warning in page.warning if "nusual" in warning.value]


def test_entries_survive_a_service_that_is_down(pages: AppTest) -> None:
    page = open_patient(pages)
    estimate(page, WHOLE)
    assert "The service is not responding" in case_of(page).said
    assert not page.metric
    assert case_of(page).entries == WHOLE


def test_entries_and_the_estimate_survive_a_look_at_another_page(served: AppTest) -> None:
    page = open_patient(served)
    estimate(page, WHOLE)
    before = page.metric[0].value
    page.switch_page("overview/page.py").run()
    page.switch_page(PAGE).run()
    assert page.metric[0].value == before
    assert case_of(page).entries == WHOLE


def test_after_fifteen_idle_minutes_nothing_of_the_patient_is_left(served: AppTest) -> None:
    page = open_patient(served)
    estimate(page, WHOLE)
    case_of(page).seen_at -= 15 * 60 - 5
    page.run()
    assert case_of(page).entries == WHOLE
    case_of(page).seen_at -= 10
    page.run()
    assert case_of(page).entries == {}
    assert not page.metric


def test_a_service_that_fails_leaves_no_older_estimate_beside_newer_entries(
    served: AppTest, monkeypatch: pytest.MonkeyPatch
) -> None:
    from dashboard.shared import data_access

    page = open_patient(served)
    estimate(page, AGE_AND_SEX)
    data_access.client().close()
    data_access.client.clear()
    monkeypatch.setenv("CARDIOWATCH_API_URL", f"http://127.0.0.1:{free_port()}")
    estimate(page, AGE_AND_SEX | {"age": "40"})
    assert not page.metric


def test_an_unchanged_request_gets_the_first_answer_and_a_changed_one_a_row(
    served: AppTest, log_url: str
) -> None:
    page = open_patient(served)
    for _ in range(3):
        estimate(page, WHOLE)
    assert len(logged(log_url)) == 1
    estimate(page, WHOLE | {"age": "64"})
    estimate(page, WHOLE)
    assert len(logged(log_url)) == 3


def test_what_if_starts_with_the_original_and_is_logged_as_what_if(
    served: AppTest, log_url: str
) -> None:
    page = open_patient(served)
    estimate(page, WHOLE)
    other = case_of(page).changed
    assert other is not None
    assert other.entries == WHOLE | {"oldpeak": "2.3"}
    estimate(page, other.entries | {"thal": "normal"}, other)
    changed, original = logged(log_url)
    assert (changed["source"], original["source"]) == ("what-if", "live")
    points = round(original["probability"] * 100) - round(changed["probability"] * 100)
    assert f"is **{points} percentage points lower**" in shown(page)
    assert page.table[-1].value["Finding"].tolist() == ["Thallium scan"]


def test_the_curve_of_a_finding_runs_through_the_patient(served: AppTest, model_dir: Path) -> None:
    page = open_patient(served)
    estimate(page, WHOLE)
    found, model = case_of(page).estimate, load_model(model_dir)
    assert found is not None
    for name in NAMES:
        points = panels.risk_curve(model, found.findings, name)
        assert points == sorted(points)
        assert min(abs(p - found.probability) for _, p in points) < 1e-12
    assert "**not logged**" in shown(page)


def test_what_the_unknown_findings_could_change_is_drawn_and_named_apart(served: AppTest) -> None:
    page = open_patient(served)
    estimate(page, AGE_AND_SEX)
    case = case_of(page)
    assert case.estimate is not None
    said = {"unknown_range": [0.12, 0.88], "most_informative": "thal"}
    case.estimate = Prediction(AGE_AND_SEX, {**case.estimate.response, **said})
    page.run()
    assert "expected between **12\u00a0% and 88\u00a0%** for 95 of 100" in shown(page)
    assert "The thallium scan would narrow this most." in shown(page)
    assert "With all findings known: 12\u00a0% to 88\u00a0%." in record.text(case.estimate, "now")


def test_the_record_has_at_most_600_characters_whatever_is_unknown(served: AppTest) -> None:
    page = open_patient(served)
    estimate(page, WHOLE)
    found = case_of(page).estimate
    assert found is not None
    assert "303 patients of the Cleveland Clinic, referred" in record.sheet(found, "now")
    for n in range(12):
        for missing in itertools.combinations(NAMES[2:], n):
            said = {"missing": list(missing), "unknown_range": [0.004, 0.999]}
            text = record.text(Prediction({}, {**found.response, **said}), "30 Nov 2026, 23:59")
            assert len(text) <= record.MAX_LENGTH, text


def test_no_patient_value_is_in_the_address(served: AppTest) -> None:
    page = open_patient(served)
    estimate(page, WHOLE)
    assert dict(page.query_params) == {}


def test_a_log_that_cannot_be_written_gives_no_estimate(
    served: AppTest, log_url: str, tmp_path: Path
) -> None:
    import sqlite3

    page = open_patient(served)
    blocker = sqlite3.connect(tmp_path / "log.db", isolation_level=None)
    blocker.execute("BEGIN IMMEDIATE")
    try:
        estimate(page, AGE_AND_SEX)
    finally:
        blocker.execute("ROLLBACK")
        blocker.close()
    assert "The prediction could not be logged" in case_of(page).said
    assert not page.metric
    assert case_of(page).entries == AGE_AND_SEX
