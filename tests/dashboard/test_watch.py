from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest
import streamlit as st
from streamlit.testing.v1 import AppTest

from dashboard.shared.escaping import escape_markdown
from db.writer.results import MonitoringRun, add_monitoring_run
from tests.dashboard.conftest import shown

Write = Callable[..., list[str]]
MIDNIGHT = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)


def add(url: str, status: str, verdict: str, days_ago: int = 0, source: str = "live") -> None:
    until = MIDNIGHT - timedelta(days=days_ago)
    done = MonitoringRun(source, "v1", until - timedelta(days=1), until, status, verdict)
    assert add_monitoring_run(url, {"format": 1}, done, version=1)


def test_an_empty_log_asks_for_a_patient_not_for_a_monitoring_run(pages: AppTest) -> None:
    pages.run()
    assert not pages.exception
    assert "No monitoring run" not in shown(pages)


def test_without_a_pass_the_command_is_named(pages: AppTest, write: Write) -> None:
    write(1)
    pages.run()
    assert not pages.exception
    assert "No monitoring run yet for live predictions. `make run` starts" in shown(pages)


@pytest.mark.parametrize(
    ("status", "said"), [("green", "● Green"), ("amber", "▲ Amber"), ("red", "■ Red")]
)
def test_the_status_has_a_word_a_shape_and_its_reason(
    pages: AppTest, write: Write, log_url: str, status: str, said: str
) -> None:
    write(1)
    add(log_url, status, "The reason in a sentence.")
    pages.run()
    assert not pages.exception
    assert f"{said}**] {escape_markdown('The reason in a sentence.')}" in shown(pages)
    links = [link.value for link in pages.page_link]
    assert links == ["Predictions →", "Drift →", "Fairness →", "Model card →"]


@pytest.mark.parametrize("logged", [3], indirect=True)
def test_the_headline_follows_the_worst_that_is_true(
    logged: int, served: AppTest, log_url: str
) -> None:
    add(log_url, "red", "Input drift detected (1-day window): age.")
    served.run()
    red = served.title[0].value
    assert red.startswith("The service is up, but monitoring is red. Input drift detected")
    assert f"{logged} live predictions in the last 24 hours" in shown(served)
    add(log_url, "green", "All well.", days_ago=-1)
    st.cache_data.clear()
    served.run()
    assert served.title[0].value == "The service is up, and monitoring found no changes."


def test_a_thousand_passes_are_shown_as_a_strip_of_two_months(
    pages: AppTest, write: Write, log_url: str
) -> None:
    write(1_000)
    for days_ago in range(70):
        add(log_url, "red" if days_ago == 3 else "green", f"Day {days_ago}.", days_ago)
    pages.run()
    assert not pages.exception
    assert f"● Green**] {escape_markdown('Day 0.')}" in shown(pages)


def test_a_pass_that_is_overdue_says_so(pages: AppTest, write: Write, log_url: str) -> None:
    write(1)
    add(log_url, "green", "All well.", days_ago=3)
    pages.run()
    assert "More than two days old" in shown(pages)


def test_passes_over_another_source_are_not_shown(
    pages: AppTest, write: Write, log_url: str
) -> None:
    write(1, source="live")
    add(log_url, "red", "Replayed.", source="replay")
    pages.run()
    assert "Replayed." not in shown(pages)
    assert "No monitoring run yet" in shown(pages)


def test_passes_over_synthetic_patients_say_that_they_are_not_real(
    pages: AppTest, write: Write, log_url: str
) -> None:
    write(1, source="synthetic")
    add(log_url, "green", "All well.", source="synthetic")
    pages.run()
    assert "synthetic patients (not real patients)" in shown(pages)
