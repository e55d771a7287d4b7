"""Widgets that several pages share: headings, notices, selectors, charts, tables."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, tzinfo
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import pandas as pd
import plotly.graph_objects as go
import streamlit as st

from dashboard.auth import login
from dashboard.shared import data_access, numbers
from dashboard.shared import texts as shared_texts
from dashboard.shared.charts import Spec
from db.engine import DatabaseUnavailable

REFRESH_S = 30
"""Seconds between two refreshes of the Overview."""

ROW_LIMITS = (50, 100, 300, 1_000)
"""Choices for the number of predictions; the largest is what one query returns."""

RETRY_S = 5
"""Seconds between two attempts to read a log that is unavailable."""


def heading(title: str, lead: str) -> None:
    """Draw the page's first-level heading and a line on its purpose."""
    st.title(title, anchor=False)
    st.markdown(f":gray[{lead}]")


def notice(title: str, text: str) -> None:
    """Draw what is missing or unavailable, and what to do."""
    with st.container(border=True, gap="small"):
        st.header(title, anchor=False)
        st.markdown(text)


@contextmanager
def log_errors_shown(title: str = "") -> Iterator[None]:
    """Show a notice, under a title if given, when the log cannot be read."""
    try:
        yield
    except DatabaseUnavailable:
        if title:
            st.title(title, anchor=False)
        notice(shared_texts.LOG_DOWN_TITLE, shared_texts.LOG_DOWN)
        _rerun_when_log_is_back()


@st.fragment(run_every=RETRY_S)
def _rerun_when_log_is_back() -> None:
    # Not in the run that has just failed: a log that answers only this ping would make the page
    # rerun endlessly.
    if not st.session_state.get("log_unavailable"):
        st.session_state["log_unavailable"] = True
        return
    with suppress(DatabaseUnavailable):
        data_access.reader().ping()
        st.session_state["log_unavailable"] = False
        st.rerun()


def empty_log() -> None:
    """Draw the notice of a log without rows, with a link to the form."""
    notice(shared_texts.EMPTY_TITLE, shared_texts.EMPTY)
    login.page_link("patient", "Enter a patient")


def model_unavailable(title: str, text: str) -> None:
    """Draw the notice of a page without the model card, or that the key was rejected."""
    if data_access.is_key_accepted():
        notice(title, text)
    else:
        notice(shared_texts.KEY_REJECTED_TITLE, shared_texts.KEY_REJECTED)


def zone() -> tzinfo:
    """Return the time zone of the browser, or UTC if unknown."""
    try:
        return ZoneInfo(st.context.timezone or "UTC")
    except (ZoneInfoNotFoundError, ValueError):
        return UTC


def now() -> datetime:
    """Return the time now, in the viewer's zone."""
    return datetime.now(zone())


def time_parameter(name: str) -> datetime | None:
    """Return the time that a query parameter holds; None = none, or not a valid one."""
    try:
        moment = datetime.fromisoformat(st.query_params[name])
    except (KeyError, ValueError):
        return None
    # Near the ends of the calendar, time zones and differences overflow.
    return moment if moment.tzinfo and 1970 < moment.year < 9999 else None


def format_time(moment: datetime) -> str:
    """Return a time in the viewer's zone, for people."""
    return numbers.format_time(moment.astimezone(zone()), now())


def window_selector(
    default: str, *, every: bool = False, on_change: Callable[[], None] | None = None
) -> str | None:
    """Draw the selector of the window, kept in the address; None = all time."""
    options = [*data_access.WINDOWS, *(["all"] if every else [])]
    chosen = st.segmented_control(
        "Window",
        options,
        default=default,
        required=True,
        format_func=lambda key: (
            data_access.WINDOWS[key].label if key in data_access.WINDOWS else "All time"
        ),
        key="period",
        bind="query-params",
        on_change=on_change or "rerun",
    )
    return None if chosen in (None, "all") else str(chosen)


def choice_selector(title: str, labels: Mapping[str, str], default: str, key: str) -> str:
    """Draw a choice of one of the labels' keys, kept in the address."""
    chosen = st.segmented_control(
        title, list(labels), default=default, required=True, format_func=labels.__getitem__,
        key=key, bind="query-params",
    )  # fmt: skip
    return chosen or default


def row_limit_selector() -> int:
    """Draw the selector of how many of the most recent predictions are read, if there are any."""
    if data_access.default_source() is None:
        return ROW_LIMITS[-1]
    chosen = st.segmented_control(
        "Most recent predictions",
        ROW_LIMITS,
        default=ROW_LIMITS[-1],
        required=True,
        format_func=lambda n: f"{n:,}",
        key="newest",
        bind="query-params",
    )
    return int(chosen or ROW_LIMITS[-1])


def echarts_chart(spec: Spec, alt: str, height: int, key: str) -> None:
    """Draw an ECharts chart with alternative text."""
    st.echarts_chart(spec, height=height, alt=alt, key=key, renderer="svg")


def plotly_chart(figure: go.Figure, alt: str, height: int, key: str) -> None:
    """Draw a Plotly figure with alternative text, without its toolbar."""
    st.plotly_chart(figure, height=height, alt=alt, key=key, config={"displayModeBar": False})


def table(rows: Sequence[Mapping[str, str]], alt: str) -> None:
    """Draw rows with the same keys as a table with alternative text."""
    columns = {name: [row[name] for row in rows] for name in rows[0]}
    st.table(columns, border="horizontal", hide_index=True, alt=alt)


def card(title: str) -> st.delta_generator.DeltaGenerator:
    """Return a bordered box with a heading."""
    box = st.container(border=True, height="stretch")
    box.header(title, anchor=False)
    return box


def csv_download(label: str, frame: pd.DataFrame, name: str) -> None:
    """Draw a button that saves a table as `cardiowatch-NAME.csv`."""
    st.download_button(
        label,
        frame.to_csv(index=False).encode(),
        file_name=f"cardiowatch-{name}.csv",
        mime="text/csv",
        on_click="ignore",
        key=f"download_{name}",
    )
