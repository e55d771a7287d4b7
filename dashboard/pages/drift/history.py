"""The history on the Drift page: what the monitor found day by day, and the requests behind it."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

import streamlit as st

from dashboard.auth import login
from dashboard.pages.drift import charts, data, texts
from dashboard.pages.drift.data import Day, Span
from dashboard.shared import escaping, widgets
from dashboard.shared import texts as shared_texts

UNTIL = "until"
"""Address parameter of the Drift page: when the window ends; without it, now."""


def since_when(days: Sequence[Day]) -> dict[str, str]:
    """Return since when each finding that the newest pass names has been named without a break."""
    found: dict[str, str] = {}
    still = set(days[-1].named) if days and days[-1].drift else set()
    for day in reversed(days):
        still &= set(day.named) if day.drift else set()
        found |= dict.fromkeys(still, texts.day_of(day.since))
    return found


def rows_of(since: datetime, until: datetime, source: str) -> dict[str, str]:
    """Return the address parameters that show a window's rows; never a patient's value."""
    return {
        "since": since.isoformat(),
        "until": until.isoformat(),
        "source": shared_texts.SOURCES[source],
    }


def story(of: Span) -> None:
    """Say what was done to replayed patients."""
    changes = data.story() if of.source == "replay" else []
    if not changes:
        return
    with widgets.card("What was done here"):
        st.markdown(texts.STORY_NOTE)
        for change in changes:
            begun, ended = (datetime.fromisoformat(change[key]) for key in ("since", "until"))
            st.markdown(
                f"- **{escaping.markdown(change['title'])}**, {texts.day_of(begun)} to "
                f"{texts.day_of(ended)}: {escaping.markdown(change['sentence'])}"
            )


def history(of: Span) -> None:
    """Draw one verdict a day, and lead from an alarm to its requests."""
    days = data.history(of.source)
    with widgets.card("Day by day"):
        if not days:
            st.markdown(texts.NO_HISTORY)
            return
        st.markdown(texts.history(days))
        st.caption(texts.HISTORY_NOTE)
        changes = data.story() if of.source == "replay" else []
        figure = charts.timeline(days, widgets.zone(), changes)
        height = charts.timeline_height(days)
        widgets.over_time(figure, "Verdict of each day and what had changed", height, "timeline")
        alarms = [day for day in reversed(days) if day.drift]
        if alarms:
            _alarm(alarms, of.source)
        st.subheader("Predicted risk in the week before each day", anchor=False)
        figure = charts.risk_over_time(days, widgets.zone())
        widgets.over_time(figure, "Mean predicted risk over time", 220, "risk_over_time")


def _alarm(alarms: Sequence[Day], source: str) -> None:
    """Lead from an alarm to the requests behind it and to the comparison of that day."""
    with st.container(horizontal=True, vertical_alignment="bottom", gap="medium"):
        number = st.selectbox(
            "Alarm", range(len(alarms)), key="alarm", width=260,
            format_func=lambda i: texts.day_of(alarms[i].since),
        )  # fmt: skip
        day = alarms[number]
        rows = rows_of(day.since, day.until, source)
        login.page_link("predictions", "Requests behind this alarm →", rows)
        compared = {UNTIL: day.until.isoformat(), "drift_source": shared_texts.SOURCES[source]}
        login.page_link("drift", "Compare this day →", compared)
    named = f"{texts.join_labels(day.named)}." if day.named else escaping.markdown(day.verdict)
    st.caption(named)
