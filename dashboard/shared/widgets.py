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
from streamlit.runtime.uploaded_file_manager import UploadedFile

from dashboard.auth import login
from dashboard.shared import address, components, data_access, numbers
from dashboard.shared import texts as shared_texts
from dashboard.shared.charts import Spec
from db.engine import DatabaseUnavailable

_UTC = "utc"
SOURCE = "source"
"""Address parameter, the same on every page."""

REFRESH_S = 30
"""Seconds between two refreshes of the Overview."""

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


def standby_note() -> None:
    """Draw how old what a page shows is, where it reads a standby of the database."""
    with suppress(DatabaseUnavailable):  # the page says so itself
        if (until := data_access.standby_time()) is not None:
            age = numbers.count_noun(round((now() - until).total_seconds()), "second")
            st.caption(shared_texts.STANDBY.format(format_time(until), age))


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
    """Return the time zone of the browser, or UTC if that is chosen or it is unknown."""
    if st.session_state.get(_UTC):
        return ZoneInfo("UTC")
    try:
        return ZoneInfo(st.context.timezone or "UTC")
    except (ZoneInfoNotFoundError, ValueError):
        return UTC


def zone_switch() -> None:
    """Draw the switch from the browser's time zone to UTC, at the end of every page; not in UTC."""
    if st.context.timezone == "UTC":
        return
    with st.container(horizontal=True, horizontal_alignment="right", key="zone"):
        st.toggle(f"Times in UTC instead of {st.context.timezone or 'local time'}", key=_UTC)


def now() -> datetime:
    """Return the time now, in the viewer's zone."""
    return datetime.now(zone())


def time_parameter(name: str) -> datetime | None:
    """Return the time that a query parameter holds; None = none, or not a valid one."""
    if name not in st.query_params:
        return None
    with suppress(ValueError):
        moment = datetime.fromisoformat(st.query_params[name])
        # Near the ends of the calendar, time zones and differences overflow.
        if moment.tzinfo and 1970 < moment.year < 9999:
            return moment
    address.mistaken(name)
    return None


def format_time(moment: datetime) -> str:
    """Return a time in the viewer's zone, for people."""
    return numbers.format_time(moment.astimezone(zone()), now())


def choice_selector(
    title: str, labels: Mapping[str, str], default: str, key: str, **options: Any
) -> str:
    """Draw a choice of one of the labels' keys, kept in the address and in this visit."""
    address.seed(key, labels)
    chosen = st.segmented_control(
        title, list(labels), default=default, required=True, format_func=labels.__getitem__,
        key=key, **options,
    )  # fmt: skip
    return address.keep(key, str(chosen or default), labels, default)


def window_selector(default: str, labels: Mapping[str, str] = WINDOWS, **options: Any) -> str:
    """Draw the selector of the window, kept in the address; return its key."""
    return choice_selector("Window", labels, default, "period", **options)


def source_selector() -> str | None:
    """Draw the selector of the source where the log has several; None = an empty log.

    What a visit was shown first stays: one live prediction hides no log of synthetic patients.
    """
    sources, first = data_access.sources_with_rows(), st.session_state.get("first_source")
    if first not in sources:
        st.session_state["first_source"] = first = data_access.default_source()
    if first is None or len(sources) == 1:
        return first
    labels = {name: shared_texts.SOURCES[name] for name in sources}
    return select("Source", labels, first, SOURCE, width=180)


def select(title: str, labels: Mapping[str, str], default: str, key: str, **options: Any) -> str:
    """Draw a list of the labels' keys, the choice kept in the address and in this visit."""
    address.seed(key, labels)
    chosen = st.selectbox(
        title, list(labels), index=list(labels).index(default), key=key,
        format_func=labels.__getitem__, **options,
    )  # fmt: skip
    return address.keep(key, chosen, labels, default)


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


_UPLOADER = components.Component("uploader", "<span hidden></span>", "uploader.js")


def file_uploader(
    title: str, types: Sequence[str], max_mb: int, key: str, **options: Any
) -> UploadedFile | None:
    """Draw a file uploader that screen readers understand."""
    _UPLOADER.draw(f"{key}_zone", {})
    chosen: UploadedFile | None = st.file_uploader(
        title, type=types, max_upload_size=max_mb, key=key, **options
    )
    return chosen


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
