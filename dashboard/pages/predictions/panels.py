"""The log as a table: filters kept in the address, pages, and downloads.

The address holds filters, a place in the log and a prediction's id; never a patient's value.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pandas as pd
import streamlit as st

from dashboard.auth import login
from dashboard.pages.predictions import data, texts
from dashboard.shared import data_access, findings, widgets
from dashboard.shared import texts as shared_texts
from dashboard.shared.prediction import drawer
from dashboard.shared.prediction.texts import OUTCOMES
from db.export import escape_formula
from pipeline.dataset.heart import Coding, encode_row
from pipeline.schema import FEATURES

_RESULTS = {"all": "All", "above": "Positive", "below": "Negative"}
_WINDOWS = {**widgets.WINDOWS, "all": "All time"}
_BEFORE = "before"
_SINCE, _UNTIL = "since", "until"
"""A time range that another page links to; it replaces the window selector."""


@dataclass(frozen=True)
class Filters:
    """Which part of the log is shown; None = all. `window` is a key of `WINDOWS` or a range."""

    window: str | data_access.TimeRange | None
    source: str | None
    positive: bool | None


def filters() -> Filters:
    """Draw the filters; a change returns to the first page."""
    with st.container(horizontal=True, vertical_alignment="bottom", gap="medium"):
        time_range = _linked()
        window = time_range or widgets.window_selector("all", _WINDOWS, on_change=_first_page)
        result = widgets.choice_selector(
            "Prediction", _RESULTS, "all", "result", on_change=_first_page,
            help=shared_texts.POSITIVE_HELP,
        )  # fmt: skip
        source = widgets.source_selector(
            "source", ["all", *shared_texts.SOURCES], "all", on_change=_first_page
        )
    if time_range is not None:
        _time_filter(time_range)
    return Filters(
        window=None if window == "all" else window,
        source=None if source == "all" else source,
        positive={"above": True, "below": False}.get(result),
    )


def _linked() -> data_access.TimeRange | None:
    """Return the time range in the address; None = none, or not a valid one."""
    since, until = widgets.time_parameter(_SINCE), widgets.time_parameter(_UNTIL)
    return (since, until) if since and until else None


def _time_filter(time_range: data_access.TimeRange) -> None:
    with st.container(horizontal=True, vertical_alignment="center"):
        st.markdown("Window: {} to {}.".format(*map(widgets.format_time, time_range)))
        st.button("Clear time filter", on_click=_all_times)


def _all_times() -> None:
    for name in (_SINCE, _UNTIL):
        st.query_params.pop(name, None)
    st.session_state["period"] = "all"  # not the one that another page had
    _first_page()


def _first_page() -> None:
    st.session_state["previous_cursors"] = []
    st.query_params.pop(_BEFORE, None)


def table(chosen: Filters) -> None:
    """Draw one page of the log, with pagination and downloads."""
    cursor = st.query_params.get(_BEFORE)
    try:
        rows, following = data_access.log_page(
            chosen.window, chosen.source, chosen.positive, cursor
        )
    except ValueError:  # an address written by hand
        _first_page()
        rows, following = data_access.log_page(chosen.window, chosen.source, chosen.positive, None)
    if not rows:
        _no_match(chosen)
        return
    st.session_state["listed_ids"] = [row["id"] for row in rows]
    st.dataframe(
        _frame(rows),
        hide_index=True,
        column_config=_columns(),
        height=38 + 35 * len(rows),
        key="log",
        alt="Logged predictions, newest first; the first column opens the details",
    )
    with st.container(horizontal=True, vertical_alignment="center"):
        _pagination(cursor, following)
        _downloads(chosen)


def _no_match(chosen: Filters) -> None:
    if chosen == Filters(None, None, None):
        widgets.empty_log()
    else:
        widgets.notice(texts.NO_MATCH_TITLE, texts.NO_MATCH)


def _frame(rows: list[dict[str, Any]]) -> pd.DataFrame:
    zone = widgets.zone()
    shown = []
    for coded in rows:
        row = encode_row(coded, Coding.LABELS)
        cells = {
            "open": "Details",
            "time": row["received_at"].astimezone(zone).replace(tzinfo=None),
            "source": shared_texts.SOURCES[row["source"]],
            "probability": 100 * row["probability"],
            "result": "positive" if row["prediction"] else "negative",
            "outcome": OUTCOMES.get(row["outcome"], "").lower(),
        }
        cells |= {f.title: findings.table_cell(f, row[f.name]) for f in FEATURES}
        shown.append(cells | {"model": escape_formula(row["model_version"])})
    return pd.DataFrame(shown)


def _columns() -> dict[str, Any]:
    column = st.column_config
    return {
        "open": column.ButtonColumn(
            "Details", key="opened", on_click=_open, type="secondary", pinned=True
        ),
        "time": column.DatetimeColumn("Time", format="D MMM YYYY, HH:mm:ss", pinned=True),
        "source": column.TextColumn("Source"),
        "probability": column.ProgressColumn(
            "Probability", format="%.1f %%", min_value=0, max_value=100
        ),
        "result": column.TextColumn("Prediction", help=shared_texts.POSITIVE_HELP),
        "outcome": column.TextColumn("Outcome"),
        "model": column.TextColumn("Model"),
    }


def _open() -> None:
    st.query_params[drawer.ID] = st.session_state["listed_ids"][st.session_state["opened"].row]


def _pagination(cursor: str | None, following: str | None) -> None:
    previous: list[str | None] = st.session_state.setdefault("previous_cursors", [])
    st.button("Latest", on_click=_first_page, disabled=cursor is None)
    st.button("Newer", on_click=_previous_page, disabled=not previous)
    st.button("Older", on_click=_next_page, args=(cursor, following), disabled=following is None)


def _next_page(cursor: str | None, following: str) -> None:
    st.session_state["previous_cursors"].append(cursor)
    st.query_params[_BEFORE] = following


def _previous_page() -> None:
    cursor = st.session_state["previous_cursors"].pop()
    if cursor is None:
        st.query_params.pop(_BEFORE, None)
    else:
        st.query_params[_BEFORE] = cursor


def _downloads(chosen: Filters) -> None:
    for form, mime in (("csv", "text/csv"), ("jsonl", "application/jsonl")):
        write = data.download(form, chosen.window, chosen.source, chosen.positive)
        guarded = login.guard_download("predictions", write)
        name = f"predictions.{form}"
        widgets.download(f"Download {form.upper()}", guarded, name, mime, help=texts.DOWNLOAD)


def selected_id() -> str | None:
    """Return the ID of the prediction in the address."""
    return st.query_params.get(drawer.ID)
