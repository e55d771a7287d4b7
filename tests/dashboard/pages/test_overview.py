from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import insert
from streamlit.testing.v1 import AppTest
from streamlit.testing.v1.element_tree import Button

from dashboard.pages.overview import texts
from dashboard.shared import data_access
from db.engine import open_engine, transaction
from db.ids import new_id
from db.reader import queries
from db.reader.queries import Reader
from db.schema import alert_messages
from db.writer.results import MonitoringRun, add_monitoring_run
from tests.dashboard.conftest import log_in, shown
from tests.db.rows import running_log

Write = Callable[..., list[str]]
GROUP_AND_RATE = "Group", "Override rate"


def verdict(page: AppTest) -> str:
    assert not page.exception
    return page.title[0].value


def figures(page: AppTest) -> dict[str, str]:
    return {metric.label: metric.value for metric in page.metric}


def test_an_empty_log_says_so_and_leads_to_the_first_patient(pages: AppTest) -> None:
    pages.run()
    assert verdict(pages) == "The service is not responding. No predictions yet."
    assert "No predictions yet" in shown(pages)
    assert [link.value for link in pages.page_link] == ["Enter a patient"]
    assert not pages.metric


def test_one_live_prediction_is_counted_without_a_percentage(pages: AppTest, write: Write) -> None:
    write(1, probability=0.75, prediction=1)
    pages.run()
    assert verdict(pages) == (
        "The service is not responding: 1 live prediction in the last 24 hours, 1 positive."
    )


def test_a_large_window_is_counted_whole_and_says_what_is_of_the_newest(
    pages: AppTest, write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(queries, "MAX_ROWS", 100)
    write(250, probability=0.75, prediction=1, latency_ms=2.0)
    write(750, probability=0.25, prediction=0, latency_ms=2.0)
    pages.run()
    assert "1,000 live predictions in the last 24 hours, 25\u00a0% positive" in verdict(pages)
    assert (figures(pages)["Predictions"], figures(pages)["Positive"]) == ("1,000", "25\u00a0%")
    details = {metric.label: metric.delta for metric in pages.metric}
    assert details["Scoring latency (p95)"] == "median (p50) 2\u00a0ms of the newest 100"
    assert details["Model"] == "only version of the newest 100"
    assert "Only the newest 100 predictions are read for this" in shown(pages)


def test_a_thousand_predictions_are_summarised(pages: AppTest, write: Write) -> None:
    write(250, probability=0.75, prediction=1, latency_ms=2.0)
    write(750, probability=0.25, prediction=0, latency_ms=2.0)
    pages.run()
    assert "1,000 live predictions in the last 24 hours, 25\u00a0% positive" in verdict(pages)
    assert figures(pages) == {
        "Predictions": "1,000",
        "Positive": "25\u00a0%",
        "Scoring latency (p95)": "2\u00a0ms",
        "Model": "44136fa355b3",
    }


def test_override_rates_of_groups_with_too_few_responses_say_so(
    pages: AppTest, write: Write, log_url: str
) -> None:
    women, men = write(25, sex=0, probability=0.1), write(3, sex=1, probability=0.9)

    async def respond() -> None:
        async with running_log(log_url) as log:
            for id_ in women + men:
                await log.record_response(id_, "agree")
            for id_ in women[:5] + men[:1]:
                await log.record_response(id_, "override", "other")

    asyncio.run(respond())
    pages.run()
    assert "28 predictions in the last 24 hours with a response, 6 overridden (21" in shown(pages)
    rates = dict(zip(*(list(pages.table[0].value[name]) for name in GROUP_AND_RATE), strict=True))
    assert rates["Sex: female"].startswith("5 overridden (20\u00a0%, 95 % interval 9\u00a0% to ")
    assert rates["Sex: male"] == rates["Estimated risk: 80 % and above"] == "too few"
    assert rates["Estimated risk: below 20 %"] == rates["Sex: female"]


def test_without_responses_the_overview_says_so(pages: AppTest, write: Write) -> None:
    write(3)
    pages.run()
    assert "No responses to predictions in the last 24 hours." in shown(pages)


def test_synthetic_patients_are_never_taken_for_real_ones(pages: AppTest, write: Write) -> None:
    write(100, source="synthetic")
    pages.run()
    assert "100 synthetic patients (not real patients) in the last 24 hours" in verdict(pages)


def test_live_predictions_are_shown_alone_where_there_are_any(pages: AppTest, write: Write) -> None:
    write(100, source="synthetic")
    write(2, source="live")
    write(5, source="what-if")
    write(5, source="load-test")
    pages.run()
    assert "2 live predictions" in verdict(pages)


def test_what_if_and_load_tests_alone_leave_the_overview_empty(
    pages: AppTest, write: Write
) -> None:
    write(3, source="what-if")
    write(3, source="load-test")
    pages.run()
    assert "No predictions yet" in verdict(pages)


def test_another_source_can_be_chosen_where_there_are_several(pages: AppTest, write: Write) -> None:
    write(100, source="replay")
    write(1, source="live")
    pages.run()
    assert "1 live prediction in" in verdict(pages)
    pages.get_by_key("source").set_value("replay").run()
    assert "100 replayed patients (not live patients) in" in verdict(pages)
    assert "No monitoring run yet for replayed patients (not live patients)" in shown(pages)


def test_one_live_prediction_does_not_hide_the_patients_shown_before(
    pages: AppTest, write: Write
) -> None:
    write(100, source="synthetic")
    pages.run()
    write(1, source="live")
    data_access.sources_with_rows.clear()
    pages.run()
    assert "100 synthetic patients" in verdict(pages)
    pages.get_by_key("source").set_value("live").run()
    pages.switch_page("explanations/page.py").run()  # the choice is kept
    assert pages.get_by_key("source").value == "live"


def check(name: str, status: str, sentence: str) -> dict[str, str]:
    return {"check": name, "status": status, "sentence": sentence}


def test_four_lines_say_what_works_and_what_monitoring_found() -> None:
    gap = {"n": [59, 41]}
    report = {
        "findings": [
            check("drift", "red", "Input drift detected (1-day window): age."),
            check("quality", "amber", "12 % of chol missing."),
            check("accuracy", "red", "Accuracy 60 %."),
        ],
        "n_week": 100,
        "accuracy": {"true": {"accuracy": 0.6}, "estimated": None, "training": 0.83},
        "fairness": {"rates": {"groupings": {"sex": {"gaps": [gap]}}}},
    }  # fmt: skip
    assert texts.monitoring_lines({}, report, [(0.75, 1), (0.5, 0)]) == [
        ("red", "Input drift detected (1-day window): age."),
        ("green", "Selection rates differ between groups no more than in training."),
        (
            "red",
            "Accuracy 60 %. Of 2 patients with an outcome, 1 had disease; the model expected 1.",
        ),
    ]
    few = report | {"findings": [], "fairness": {"rates": {"groupings": {}}}}
    assert [status for status, _ in texts.monitoring_lines({}, few, [])] == [
        "green",
        "unknown",
        "green",
    ]
    assert [status for status, _ in texts.monitoring_lines(None, None, [])] == ["unknown"] * 3


@pytest.mark.parametrize(
    ("ready", "status", "said"),
    [
        (False, "red", "The service is not responding: 3 live"),
        (True, "red", "The service is up, but monitoring is red. Drift."),
        (True, "amber", "The service is up, but monitoring is amber. Drift."),
        (True, "green", "The service is up, and monitoring found no changes."),
        (True, None, "The service is up: 3 live"),
    ],
)
def test_the_headline_is_the_worst_that_is_true(ready: bool, status: str | None, said: str) -> None:
    run = None if status is None else {"status": status, "verdict": "Drift."}
    found = texts.headline(ready=ready, run=run, activity="3 live", source="live")
    assert found.replace("\\", "") == said


def test_a_log_of_one_source_offers_no_choice(pages: AppTest, write: Write) -> None:
    write(1, source="synthetic")
    pages.run()
    assert not pages.selectbox


def test_a_stale_log_says_when_the_newest_prediction_was(pages: AppTest, write: Write) -> None:
    write(1, ago=timedelta(days=3))
    pages.run()
    assert "No predictions in the last 24 hours" in verdict(pages)
    assert "Choose a longer window" in shown(pages)
    assert not pages.metric


def test_a_longer_period_shows_what_is_older(pages: AppTest, write: Write) -> None:
    write(1, ago=timedelta(days=3))
    pages.run()
    pages.get_by_key("period").set_value("7d").run()
    assert "1 live prediction in the last 7 days" in verdict(pages)


def test_a_missing_database_has_its_own_calm_screen(pages: AppTest, tmp_path: Path) -> None:
    (tmp_path / "log.db").unlink()
    pages.run()
    assert not pages.exception
    assert "The log cannot be read" in shown(pages)


def test_a_service_that_responds_is_shown_as_up(served: AppTest, write: Write) -> None:
    served.run()
    assert verdict(served) == "The service is up. No predictions yet."


def test_refusals_are_counted_by_reason(pages: AppTest, write: Write, tmp_path: Path) -> None:
    write(1)
    with sqlite3.connect(tmp_path / "log.db") as log:
        log.execute(
            "INSERT INTO rejections (minute, route, status, field, reason, source, count) VALUES"
            " (strftime('%Y-%m-%d %H:%M:00.000000'), '/predict', 422, 'chol', 'unit', 'live', 3)"
        )
    log.close()
    pages.run()
    assert "3 rejections" in verdict(pages)
    table = pages.table[0].value
    assert table["Reason"].tolist() == ["Serum cholesterol: looks like another unit"]
    assert table["Count"].tolist() == ["3"]


def button(page: AppTest, label: str) -> Button:
    return next(each for each in page.button if each.label == label)


def red(url: str) -> None:
    """A red monitoring run of the last day, and the alert that it opens."""
    until = datetime.now(UTC).replace(microsecond=0)
    done = MonitoringRun("live", "m", until - timedelta(days=1), until, "red", "Input drift.")
    add_monitoring_run(url, {}, done, version=1)


@pytest.mark.parametrize("logged", [3], indirect=True)
def test_an_alert_is_acknowledged_on_the_page(logged: int, served: AppTest, log_url: str) -> None:
    red(log_url)
    served.run()
    assert "not acknowledged" in shown(served)
    served.text_input[0].set_value("asked the *laboratory*")
    button(served, "Acknowledge").click().run()
    assert not served.exception
    assert "acknowledged by this machine" in shown(served)
    assert "laboratory" in shown(served)
    assert "Acknowledge" not in [b.label for b in served.button]
    reader = Reader(log_url)
    alert = reader.open_alert("live")
    reader.close()
    assert alert is not None
    assert alert["note"] == "asked the *laboratory*"


def test_an_alert_stays_open_while_the_service_is_down(
    pages: AppTest, write: Write, log_url: str
) -> None:
    write(3)
    red(log_url)
    pages.run()
    button(pages, "Acknowledge").click().run()
    assert "was not acknowledged" in pages.error[0].value


@pytest.mark.usefixtures("people")
def test_only_operators_acknowledge(pages: AppTest, write: Write, log_url: str) -> None:
    write(3)
    red(log_url)
    for role, offered in ("clinician", False), ("operator", True):
        log_in(pages, role)
        pages.run()
        assert "not acknowledged" in shown(pages)
        assert ("Acknowledge" in [b.label for b in pages.button]) is offered


def test_a_message_that_could_not_be_sent_is_said(
    pages: AppTest, write: Write, log_url: str
) -> None:
    write(3)
    red(log_url)
    message = {
        "id": new_id(), "alert_id": new_id(), "event": "opened", "receiver": "r", "facts": "{}",
        "attempts": 3, "due_at": datetime.now(UTC), "error": "ConnectTimeout",
    }  # fmt: skip
    with transaction(open_engine(log_url)) as connection:
        connection.execute(insert(alert_messages), message)
    pages.run()
    assert "1 alert message could not be sent (ConnectTimeout)" in pages.warning[0].value
