from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from streamlit.testing.v1 import AppTest

from dashboard.auth import login
from dashboard.auth.roles import ROLES
from dashboard.pages.predictions import data
from dashboard.shared import data_access
from dashboard.shared.cohort import Cohort
from tests.dashboard.conftest import shown
from tests.dashboard.pages.test_patient import AGE_AND_SEX, WHOLE, estimate, logged, open_patient

Write = Callable[..., list[str]]
PAGE = "predictions/page.py"


def open_log(pages: AppTest) -> AppTest:
    pages.run()
    pages.switch_page(PAGE).run()
    assert not pages.exception
    return pages


def table(page: AppTest) -> Any:
    return page.dataframe[0].value


def press(page: AppTest, label: str) -> None:
    next(button for button in page.button if button.label == label).click().run()
    assert not page.exception


def test_an_empty_log_says_so(pages: AppTest) -> None:
    page = open_log(pages)
    assert "No predictions yet" in shown(page)
    assert not page.dataframe


def test_a_row_is_shown_in_words(pages: AppTest, write: Write) -> None:
    write(1, probability=0.25, prediction=0, ca=None)
    row = table(open_log(pages)).iloc[0]
    assert row["Source"] == "Live"
    assert row["Probability"] == 25
    assert row["Prediction"] == "negative"
    assert row["Chest pain"] == "typical angina"
    assert row["Serum cholesterol (mg/dl)"] == "233"
    assert row["Fasting blood sugar above 120 mg/dl"] == "yes"
    assert row["Major vessels coloured by fluoroscopy (vessels)"] == "–"


def test_a_thousand_rows_are_turned_over_twenty_at_a_time(pages: AppTest, write: Write) -> None:
    ids = write(1000)
    page = open_log(pages)
    assert page.session_state["listed_ids"] == ids[:-21:-1]
    press(page, "Older")
    assert page.session_state["listed_ids"] == ids[-21:-41:-1]
    assert page.query_params["before"] == ids[-20]
    press(page, "Newer")
    assert page.session_state["listed_ids"] == ids[:-21:-1]


def test_a_place_in_the_log_can_be_addressed(pages: AppTest, write: Write) -> None:
    ids = write(30)
    page = open_log(pages)
    page.query_params["before"] = ids[3]
    page.run()
    assert page.session_state["listed_ids"] == [ids[2], ids[1], ids[0]]


def test_an_address_that_makes_no_sense_shows_the_newest(pages: AppTest, write: Write) -> None:
    write(2)
    page = open_log(pages)
    page.query_params["before"] = "'; DROP TABLE predictions; --"
    page.run()
    assert not page.exception
    assert len(table(page)) == 2


def test_filters_choose_a_source_and_a_side_of_the_threshold(pages: AppTest, write: Write) -> None:
    write(3, source="live", prediction=0)
    write(2, source="live", prediction=1)
    write(4, source="synthetic", prediction=1)
    page = open_log(pages)
    assert len(table(page)) == 9
    page.selectbox(key="source").select("live").run()
    assert len(table(page)) == 5
    page.get_by_key("result").set_value("above").run()
    assert len(table(page)) == 2


def test_filters_that_nothing_matches_have_their_own_screen(pages: AppTest, write: Write) -> None:
    write(1, source="live")
    page = open_log(pages)
    page.selectbox(key="source").select("replay").run()
    assert "No matching predictions" in shown(page)


def test_a_missing_database_has_its_own_calm_screen(pages: AppTest, tmp_path: Path) -> None:
    (tmp_path / "log.db").unlink()
    page = open_log(pages)
    assert "The log cannot be read" in shown(page)


def open_drawer(page: AppTest, prediction_id: str) -> AppTest:
    page.query_params["id"] = prediction_id
    page.run()
    assert not page.exception
    return page


def test_a_prediction_is_explained_by_the_model_that_made_it(served: AppTest, log_url: str) -> None:
    page = open_patient(served)
    estimate(page, WHOLE)
    said = page.metric[0].value
    (row,) = logged(log_url)
    page = open_drawer(open_log(page), row["id"])
    assert f"Prediction {row['id']}" in shown(page)
    assert page.metric[0].value == said
    assert shown(page).count("the estimated risk**.") == 3
    patient = page.table[-1].value
    assert patient.loc["Thallium scan"].iloc[0] == "reversible defect"


def test_without_the_service_the_drawer_still_shows_what_was_logged(
    pages: AppTest, write: Write
) -> None:
    (prediction_id,) = write(1, probability=0.25)
    page = open_drawer(open_log(pages), prediction_id)
    assert page.metric[0].value == "25\u00a0%"
    assert "The explanation is unavailable at the moment" in shown(page)


def test_an_unknown_prediction_says_so(pages: AppTest, write: Write) -> None:
    write(1)
    page = open_drawer(open_log(pages), "01890000-0000-7000-8000-000000000000")
    assert "Prediction not found" in shown(page)


def test_an_outcome_is_recorded_through_the_api(served: AppTest, log_url: str) -> None:
    page = open_patient(served)
    estimate(page, AGE_AND_SEX)
    (row,) = logged(log_url)
    page = open_drawer(open_log(page), row["id"])
    assert "No outcome recorded." in shown(page)
    page.get_by_key(f"found_{row['id']}").set_value(1)
    page.get_by_key(f"day_{row['id']}").set_value("2026-01-31")
    press(page, "Record outcome")
    assert "Recorded outcome: **disease found**." in shown(page)
    (row,) = logged(log_url)
    assert row["outcome"] == 1
    assert row["observed_at"].isoformat() == "2026-01-31T00:00:00+00:00"


@pytest.mark.parametrize("role", ["reviewer", None])
def test_an_open_drawer_asks_again_who_may_record_an_outcome(
    served: AppTest, log_url: str, monkeypatch: pytest.MonkeyPatch, role: str | None
) -> None:
    page = open_patient(served)
    estimate(page, AGE_AND_SEX)
    (row,) = logged(log_url)
    page = open_drawer(open_log(page), row["id"])
    page.get_by_key(f"found_{row['id']}").set_value(1)
    # The script still let the visitor in; when the drawer is drawn, that has changed.
    answers = iter([ROLES["clinician"]])
    may_see = ROLES[role] if role else frozenset()
    monkeypatch.setattr(login, "allowed_pages", lambda: next(answers, may_see))
    press(page, "Record outcome")
    assert logged(log_url)[0]["outcome"] is None
    assert row["id"] not in shown(page)


NO_DAYS = {"31.1.2026": "Enter the date as 2026-01-31"} | dict.fromkeys(
    ("2999-01-31", "1899-12-31"), "must be between 1900 and today"
)


@pytest.mark.parametrize("day", NO_DAYS)
def test_a_day_on_which_nobody_was_examined_is_refused_in_plain_words(
    served: AppTest, log_url: str, day: str
) -> None:
    page = open_patient(served)
    estimate(page, AGE_AND_SEX)
    (row,) = logged(log_url)
    page = open_drawer(open_log(page), row["id"])
    page.get_by_key(f"found_{row['id']}").set_value(0)
    page.get_by_key(f"day_{row['id']}").set_value(day)
    press(page, "Record outcome")
    assert NO_DAYS[day] in shown(page)
    assert logged(log_url)[0]["outcome"] is None


def test_an_outcome_that_the_service_refuses_is_refused_with_its_reason(
    served: AppTest, log_url: str
) -> None:
    page = open_patient(served)
    estimate(page, AGE_AND_SEX)
    (row,) = logged(log_url)
    for number in range(100):  # what one key may record of a prediction, ending with disease
        data_access.client().record_outcome(row["id"], number % 2, None)
    page = open_drawer(open_log(page), row["id"])
    page.get_by_key(f"found_{row['id']}").set_value(1)
    page.get_by_key(f"day_{row['id']}").set_value("2026-01-31")
    press(page, "Record outcome")
    assert "the maximum of 100 outcomes for this prediction" in shown(page)


def test_a_response_is_recorded_in_two_clicks(served: AppTest, log_url: str) -> None:
    page = open_patient(served)
    estimate(page, AGE_AND_SEX)
    (row,) = logged(log_url)
    press(page, "Record response")
    assert "Choose Agree or Override." in shown(page)
    page.get_by_key(f"decision_{row['id']}").set_value("agree")
    press(page, "Record response")
    assert "Response recorded." in page.success[0].value
    (row,) = logged(log_url)
    assert (row["decision"], row["reason"], row["action"]) == ("agree", None, None)
    assert "but not your name" in shown(page)


def test_a_response_with_reason_and_next_step_is_recorded(served: AppTest, log_url: str) -> None:
    page = open_patient(served)
    estimate(page, AGE_AND_SEX)
    (row,) = logged(log_url)
    for field, code in (("decision", "override"), ("reason", "other"), ("action", "follow-up")):
        page.get_by_key(f"{field}_{row['id']}").set_value(code)
    press(page, "Record response")
    (row,) = logged(log_url)
    assert (row["decision"], row["reason"], row["action"]) == ("override", "other", "follow-up")


def test_downloads_hold_the_selection_and_nothing_else(pages: AppTest, write: Write) -> None:
    write(3, source="live", prediction=0)
    above = write(2, source="live", prediction=1)
    write(4, source="synthetic", prediction=1)
    lines = data.download("jsonl", None, Cohort("live"), {"prediction": 1})().decode().splitlines()
    assert [json.loads(line)["id"] for line in lines] == above[::-1]
    chosen = data.download("csv", None, Cohort("live"), {"prediction": 1})()
    rows = list(csv.DictReader(io.StringIO(chosen.decode())))
    assert [row["id"] for row in rows] == above[::-1]
    assert {row["cp"] for row in rows} == {"typical angina"}


def test_no_cell_of_the_table_is_a_formula(pages: AppTest, write: Write) -> None:
    write(1, model_version='=HYPERLINK("https://x.example")')  # its toolbar writes CSV, too
    assert table(open_log(pages)).iloc[0]["Model"] == '\'=HYPERLINK("https://x.example")'


def test_a_link_to_a_stretch_of_time_shows_it_alone(pages: AppTest, write: Write) -> None:
    write(3, ago=timedelta(days=5))
    write(2, ago=timedelta(days=2))
    now = datetime.now(UTC)
    pages.query_params["since"] = (now - timedelta(days=6)).isoformat()
    pages.query_params["until"] = (now - timedelta(days=4)).isoformat()
    page = open_log(pages)
    assert len(table(page)) == 3
    assert "Window: " in shown(page)
    press(page, "Clear time filter")
    assert len(table(page)) == 5


@pytest.mark.parametrize(
    ("since", "until"),
    [("yesterday", "2026-01-01"), ("0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-12:00")],
)
def test_a_stretch_that_cannot_be_read_is_no_stretch(
    pages: AppTest, write: Write, since: str, until: str
) -> None:
    write(2)
    pages.query_params["since"] = since
    pages.query_params["until"] = until
    assert len(table(open_log(pages))) == 2


def test_a_cohort_and_the_columns_are_kept_in_the_address(pages: AppTest, write: Write) -> None:
    write(3, age=40)
    ids = write(2, age=50, sex=0)
    write(1, age=50, sex=1)
    page = open_log(pages)
    page.selectbox(key="age").select("45-54").run()
    page.selectbox(key="sex").select("female").run()
    page.multiselect(key="columns").set_value(["Time", "Model"]).run()
    assert page.session_state["listed_ids"] == ids[::-1]
    assert list(table(page).columns) == ["open", "Time", "Model"]


def test_a_search_by_id_opens_the_prediction(pages: AppTest, write: Write) -> None:
    (wanted,) = write(1)
    page = open_log(pages)
    page.text_input(key="wanted").set_value(wanted.upper())
    press(page, "Search")
    assert page.query_params["id"] == wanted


def test_a_search_by_reference_finds_the_patient_and_leaves_the_address(
    served: AppTest, log_url: str
) -> None:
    page = open_log(served)
    page.text_input(key="wanted").set_value("hospital-4711")
    press(page, "Search")
    assert "LOG_HMAC_KEY_FILE" in shown(page)  # this log has no key, so it keeps no references
    assert "hospital-4711" not in str(page.query_params)
    press(page, "Clear search")
    assert "LOG_HMAC_KEY_FILE" not in shown(page)


def test_a_prediction_is_opened_by_keyboard(pages: AppTest, write: Write) -> None:
    ids = write(2)
    page = open_log(pages)
    page.selectbox(key="chosen_row").select_index(1).run()
    assert page.query_params["id"] == ids[0]
    assert page.selectbox(key="chosen_row").value is None


def test_times_are_shown_in_utc_on_every_page_when_asked(pages: AppTest, write: Write) -> None:
    write(1)
    page = open_log(pages)
    page.toggle(key="utc").set_value(True).run()
    assert '"Time (UTC)"' in page.dataframe[0].proto.columns
    page.switch_page("drift/page.py").run()
    assert page.toggle(key="utc").value


def test_what_the_page_does_not_know_in_its_address_is_said(pages: AppTest, write: Write) -> None:
    write(1)
    page = open_log(pages)
    page.query_params["resul"], page.query_params["result"] = "Positive", "[x](http://x.example)"
    page.run()
    assert "does not know it: resul\\, result." in page.warning[0].value
    page.query_params.clear()
    page.run()
    assert not page.warning
