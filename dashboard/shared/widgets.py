"""Widgets that several pages share: headings, notices, selectors, charts, tables."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, tzinfo
from typing import Any
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

ROW_LIMITS = {str(n): f"{n:,}" for n in (50, 100, 300, data_access.MAX_RECENT)}
"""Choices for the number of predictions."""

WINDOWS = {key: window.label for key, window in data_access.WINDOWS.items()}
"""Choices for the window."""

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


def choice_selector(
    title: str, labels: Mapping[str, str], default: str, key: str, **options: Any
) -> str:
    """Draw a choice of one of the labels' keys, kept in the address."""
    chosen = st.segmented_control(
        title, list(labels), default=default, required=True, format_func=labels.__getitem__,
        key=key, bind="query-params", **options,
    )  # fmt: skip
    return str(chosen or default)


def window_selector(default: str, labels: Mapping[str, str] = WINDOWS, **options: Any) -> str:
    """Draw the selector of the window, kept in the address; return its key."""
    return choice_selector("Window", labels, default, "period", **options)


def source_selector(key: str, sources: Sequence[str], default: str | None, **options: Any) -> str:
    """Draw the selector of the source of the rows, kept in the address."""
    index = sources.index(default) if default else 0
    chosen: str = st.selectbox(
        "Source", sources, index=index, key=key, width=180, bind="query-params",
        format_func=lambda name: shared_texts.SOURCES.get(name, "All"), **options,
    )  # fmt: skip
    return chosen


def row_limit_selector() -> int:
    """Draw the selector of how many of the most recent predictions are read, if there are any."""
    if data_access.default_source() is None:
        return data_access.MAX_RECENT
    return int(choice_selector("Most recent predictions", ROW_LIMITS, "1000", "newest"))


def echarts_chart(spec: Spec, alt: str, height: int, key: str) -> None:
    """Draw an ECharts chart with alternative text."""
    st.echarts_chart(spec, height=height, alt=alt, key=key, renderer="svg")


def plotly_chart(figure: go.Figure, alt: str, height: int, key: str) -> None:
    """Draw a Plotly figure with alternative text, without its toolbar."""
    st.plotly_chart(figure, height=height, alt=alt, key=key, config={"displayModeBar": False})


def columns(cells: Mapping[str, Sequence[str]], alt: str) -> None:
    """Draw columns of equal length as a table with alternative text."""
    st.table(dict(cells), border="horizontal", hide_index=True, alt=alt)


def table(rows: Sequence[Mapping[str, str]], alt: str) -> None:
    """Draw rows with the same keys as a table with alternative text."""
    columns({name: [row[name] for row in rows] for name in rows[0]}, alt)


def side_by_side(height: int, charts: Sequence[tuple[str, go.Figure, str, str]]) -> None:
    """Draw Plotly figures beside each other: heading, figure, alternative text and key of each."""
    panes = st.grid(len(charts), min_column_width=380, gap="small")
    for title, figure, alt, key in charts:
        with panes.cell():
            st.subheader(title, anchor=False)
            plotly_chart(figure, alt, height, key)


def card(title: str) -> st.delta_generator.DeltaGenerator:
    """Return a bordered box with a heading."""
    box = st.container(border=True, height="stretch")
    box.header(title, anchor=False)
    return box


def download(
    label: str, content: bytes | Callable[[], bytes], name: str, mime: str, **options: Any
) -> None:
    """Draw a button that saves `cardiowatch-NAME`; a function is called when it is pressed."""
    st.download_button(
        label, content, file_name=f"cardiowatch-{name}", mime=mime, on_click="ignore",
        key=f"download_{name}", **options,
    )  # fmt: skip


def csv_download(label: str, frame: pd.DataFrame, name: str) -> None:
    """Draw a button that saves a table as `cardiowatch-NAME.csv`."""
    download(label, frame.to_csv(index=False).encode(), f"{name}.csv", "text/csv")
