"""Parts that more than one page shows: headings, calm screens, periods, times."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, tzinfo
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import plotly.graph_objects as go
import streamlit as st

from dashboard.auth import login
from dashboard.shared import data_access, numbers
from dashboard.shared import texts as shared_texts
from dashboard.shared.charts import Spec
from db.engine import DatabaseUnavailable

REFRESH_S = 30
"""Seconds between two looks of a page that watches the service."""

ROW_LIMITS = (50, 100, 300, 1_000)
"""Of so many newest predictions a page speaks; the largest is what one query returns."""

RETRY_S = 5
"""Seconds between two looks for a log that could not be read."""


def heading(title: str, lead: str) -> None:
    """Draw the page's one first-level heading and a line that says what the page is for."""
    st.title(title, anchor=False)
    st.markdown(f":gray[{lead}]")


def notice(title: str, text: str) -> None:
    """Draw the screen for what is missing or down: what it is, and what to do."""
    with st.container(border=True, gap="small"):
        st.header(title, anchor=False)
        st.markdown(text)


@contextmanager
def log_errors_shown(title: str = "") -> Iterator[None]:
    """Show the calm screen instead of what the log cannot give, under a title if it needs one."""
    try:
        yield
    except DatabaseUnavailable:
        if title:
            st.title(title, anchor=False)
        notice(shared_texts.LOG_DOWN_TITLE, shared_texts.LOG_DOWN)
        _draw_again_when_the_log_is_back()


@st.fragment(run_every=RETRY_S)
def _draw_again_when_the_log_is_back() -> None:
    # Not in the run that has just failed: a log that answers this and nothing else would keep the
    # page running in a circle.
    if not st.session_state.get("log_unavailable"):
        st.session_state["log_unavailable"] = True
        return
    with suppress(DatabaseUnavailable):
        data_access.reader().ping()
        st.session_state["log_unavailable"] = False
        st.rerun()


def empty_log() -> None:
    """Draw the screen of a log without rows, with the way to the first one."""
    notice(shared_texts.EMPTY_TITLE, shared_texts.EMPTY)
    login.page_link("patient", "Enter a patient")


def model_unavailable(title: str, text: str) -> None:
    """Draw the screen of a page without the model card, or say that the key is the reason."""
    if data_access.is_key_accepted():
        notice(title, text)
    else:
        notice(shared_texts.KEY_REJECTED_TITLE, shared_texts.KEY_REJECTED)


def zone() -> tzinfo:
    """Return the time zone of the browser, or UTC when it does not say."""
    try:
        return ZoneInfo(st.context.timezone or "UTC")
    except (ZoneInfoNotFoundError, ValueError):
        return UTC


def now() -> datetime:
    """Return the present in the viewer's zone."""
    return datetime.now(zone())


def time_parameter(name: str) -> datetime | None:
    """Return the moment in the address that another page linked to; None = none that can be."""
    try:
        moment = datetime.fromisoformat(st.query_params[name])
    except (KeyError, ValueError):
        return None
    # Near the ends of the calendar no zone and no length can be reckoned with.
    return moment if moment.tzinfo and 1970 < moment.year < 9999 else None


def format_time(moment: datetime) -> str:
    """Write a time in the viewer's zone."""
    return numbers.format_time(moment.astimezone(zone()), now())


def window_selector(
    default: str, *, every: bool = False, on_change: Callable[[], None] | None = None
) -> str | None:
    """Let the viewer choose a period, kept in the address; None = all times."""
    options = [*data_access.WINDOWS, *(["all"] if every else [])]
    chosen = st.segmented_control(
        "Period",
        options,
        default=default,
        required=True,
        format_func=lambda key: (
            data_access.WINDOWS[key].label if key in data_access.WINDOWS else "All"
        ),
        key="period",
        bind="query-params",
        on_change=on_change or "rerun",
    )
    return None if chosen in (None, "all") else str(chosen)


def row_limit_selector() -> int:
    """Let the viewer choose how many of the newest logged predictions are read, if any are."""
    if data_access.default_source() is None:
        return ROW_LIMITS[-1]
    chosen = st.segmented_control(
        "Newest logged predictions",
        ROW_LIMITS,
        default=ROW_LIMITS[-1],
        required=True,
        format_func=lambda n: f"{n:,}",
        key="newest",
        bind="query-params",
    )
    return int(chosen or ROW_LIMITS[-1])


def echarts_chart(spec: Spec, alt: str, height: int, key: str) -> None:
    """Draw a chart with a name for screen readers."""
    st.echarts_chart(spec, height=height, alt=alt, key=key, renderer="svg")


def plotly_chart(figure: go.Figure, alt: str, height: int, key: str) -> None:
    """Draw a Plotly figure with a name for screen readers, without its toolbar."""
    st.plotly_chart(figure, height=height, alt=alt, key=key, config={"displayModeBar": False})


def table(rows: Sequence[Mapping[str, str]], alt: str) -> None:
    """Draw rows with the same keys as a table with a name for screen readers."""
    columns = {name: [row[name] for row in rows] for name in rows[0]}
    st.table(columns, border="horizontal", hide_index=True, alt=alt)


def card(title: str) -> st.delta_generator.DeltaGenerator:
    """Return a bordered box with a heading."""
    box = st.container(border=True, height="stretch")
    box.header(title, anchor=False)
    return box
