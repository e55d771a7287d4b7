"""The monitoring history on the Drift page, and links to the predictions of each alarm."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

import streamlit as st

from dashboard.auth import login
from dashboard.pages.drift import charts, data, texts
from dashboard.pages.drift.data import MonitoringDay, Window
from dashboard.shared import escaping, numbers, widgets
from dashboard.shared import texts as shared_texts

UNTIL = "until"
"""Address parameter of the Drift page: when the window ends; now without it."""


def drifted_since(days: Sequence[MonitoringDay]) -> dict[str, str]:
    """Return the first day of the current unbroken drift of each finding."""
    found: dict[str, str] = {}
    still = set(days[-1].named) if days and days[-1].drift else set()
    for day in reversed(days):
        still &= set(day.named) if day.drift else set()
        found |= dict.fromkeys(still, numbers.day(day.since))
    return found


def prediction_filter(since: datetime, until: datetime, source: str) -> dict[str, str]:
    """Return the address parameters that show the rows of a window; never a patient's value."""
    return {
        "since": since.isoformat(),
        "until": until.isoformat(),
        "source": shared_texts.SOURCES[source],
    }


def scenario(of: Window) -> None:
    """Draw the simulated changes of replayed patients."""
    changes = data.drift_scenario() if of.source == "replay" else []
    if not changes:
        return
    with widgets.card("Simulated drift in the replayed patients"):
        for change in changes:
            begun, ended = (
                numbers.day(datetime.fromisoformat(change[key])) for key in ("since", "until")
            )
            title, said = (escaping.escape_markdown(change[key]) for key in ("title", "sentence"))
            st.markdown(f"- **{title}**, {begun} to {ended}: {said}")


def history(of: Window) -> None:
    """Draw the daily verdicts, and links from an alarm to its predictions."""
    days = data.history(of.source)
    with widgets.card("Monitoring history"):
        if not days:
            st.markdown(texts.NO_HISTORY)
            return
        st.markdown(texts.history(days))
        compared = days[-1].reference
        last = f" Last compared with {escaping.escape_markdown(compared)}." if compared else ""
        st.caption(f"{texts.HISTORY_NOTE}{last}")
        changes = data.drift_scenario() if of.source == "replay" else []
        figure = charts.monitoring_timeline(days, widgets.zone(), changes)
        height = charts.timeline_height(days)
        widgets.plotly_chart(figure, "Daily verdicts and drifted findings", height, "timeline")
        alarms = [day for day in reversed(days) if day.drift]
        if alarms:
            _alarm(alarms, of.source)
        st.subheader("Mean estimated risk, 7-day window", anchor=False)
        figure, said = charts.risk_over_time(days, widgets.zone()), "Mean risk by day, 7-day window"
        widgets.plotly_chart(figure, said, 220, "risk_over_time")


def _alarm(alarms: Sequence[MonitoringDay], source: str) -> None:
    """Draw links from an alarm to its predictions and to the comparison of that day."""
    with st.container(horizontal=True, vertical_alignment="bottom", gap="medium"):
        number = st.selectbox(
            "Alarm", range(len(alarms)), key="alarm", width=260,
            format_func=lambda i: numbers.day(alarms[i].since),
        )  # fmt: skip
        day = alarms[number]
        rows = prediction_filter(day.since, day.until, source)
        login.page_link("predictions", "View the predictions in this window →", rows)
        compared = {UNTIL: day.until.isoformat(), widgets.SOURCE: shared_texts.SOURCES[source]}
        login.page_link("drift", "View drift on this day →", compared)
    named = (
        f"{texts.join_labels(day.named)}." if day.named else escaping.escape_markdown(day.verdict)
    )
    st.caption(named)
