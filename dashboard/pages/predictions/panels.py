"""The log as a table: filters kept in the address, pages, and downloads.

The address holds filters, a place in the log and a prediction's id; never a patient's value.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC
from typing import Any

import pandas as pd
import streamlit as st

from dashboard.auth import login
from dashboard.pages.predictions import data, texts
from dashboard.shared import address, cohort, data_access, findings, widgets
from dashboard.shared import texts as shared_texts
from dashboard.shared.cohort import Cohort
from dashboard.shared.prediction import drawer
from dashboard.shared.prediction.texts import OUTCOMES
from db.export import escape_formula
from db.ids import is_id
from pipeline.dataset.heart import Coding, encode_row
from pipeline.schema import FEATURES

_RESULTS = {"all": "All", "above": "Positive", "below": "Negative"}
_WINDOWS = {**widgets.WINDOWS, "all": "All time"}
_COLUMNS = [
    "Time", "Source", "Probability", "Prediction", "Outcome", *(f.title for f in FEATURES), "Model",
    "API key",
]  # fmt: skip
_FOUND = "found_rows"
"""What a search has found, in this visit alone: no address holds a patient's reference."""
_SOURCES = {"all": "All", **shared_texts.SOURCES}
_BEFORE = "before"
_SINCE, _UNTIL = "since", "until"
"""A time range that another page links to; it replaces the window selector."""


@dataclass(frozen=True)
class Filters:
    """Which part of the log is shown; None = all. `window` is a key of `WINDOWS` or a range."""

    window: str | data_access.TimeRange | None
    cohort: Cohort
    positive: bool | None

    @property
    def only(self) -> dict[str, Any]:
        """The filters as `Reader.page` takes them, but for window and source."""
        result = {} if self.positive is None else {"prediction": int(self.positive)}
        return self.cohort.only | result


def filters() -> Filters:
    """Draw the filters; a change returns to the first page."""
    with st.container(horizontal=True, vertical_alignment="bottom", gap="medium"):
        time_range = _linked()
        window = time_range or widgets.window_selector("all", _WINDOWS, on_change=_first_page)
        result = widgets.choice_selector(
            "Prediction", _RESULTS, "all", "result", help=shared_texts.POSITIVE_HELP,
            on_change=_first_page,
        )  # fmt: skip
        source = widgets.select(
            "Source", _SOURCES, "all", widgets.SOURCE, width=150, on_change=_first_page
        )
        found = cohort.selector(None if source == "all" else source, _first_page)
        with st.popover("Columns"):
            st.multiselect(
                "Columns", _COLUMNS, default=_COLUMNS, key="columns", bind="query-params"
            )
    if time_range is not None:
        _time_filter(time_range)
    cohort.size(found)
    return Filters(
        None if window == "all" else window, found, {"above": True, "below": False}.get(result)
    )


def search() -> None:
    """Draw the search by id, which opens the prediction, or by the patient's reference."""
    with st.form("search", border=False, enter_to_submit=True):
        row = st.container(horizontal=True, vertical_alignment="bottom")
        wanted = row.text_input(
            texts.SEARCH, max_chars=64, key="wanted", width=420, help=texts.SEARCH_HELP
        ).strip()
        asked = row.form_submit_button("Search")
    if asked:
        st.session_state.pop(_FOUND, None)
        if is_id(wanted.lower()):
            st.query_params[drawer.ID] = wanted.lower()
        elif wanted:
            st.session_state[_FOUND] = data.of_patient(wanted)


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
    """Draw one page of the log, with pagination and downloads, or what a search has found."""
    found = st.session_state.get(_FOUND)
    if found is not None:
        if isinstance(found, str):
            st.warning(found)
        else:
            st.markdown(texts.found(len(found)))
            _rows(found)
        st.button("Clear search", on_click=lambda: st.session_state.pop(_FOUND))
        return
    cursor, where = st.query_params.get(_BEFORE), (chosen.window, chosen.cohort.source)
    try:
        rows, following = data_access.log_page(*where, chosen.only, cursor)
    except ValueError:  # an address written by hand
        address.mistaken(_BEFORE)
        _first_page()
        rows, following = data_access.log_page(*where, chosen.only, None)
    if not rows:
        _no_match(chosen)
        return
    _rows(rows)
    with st.container(horizontal=True, vertical_alignment="center"):
        _pagination(cursor, following)
        _downloads(chosen)


def _rows(rows: list[dict[str, Any]]) -> None:
    st.session_state["listed_ids"] = [row["id"] for row in rows]
    wanted = st.session_state.get("columns", _COLUMNS)
    st.dataframe(
        _frame(rows)[["open", *(name for name in _COLUMNS if name in wanted)]],
        hide_index=True,
        column_config=_columns(),
        height=38 + 35 * len(rows),
        key="log",
        alt="Logged predictions, newest first; the first column opens the details",
    )
    st.selectbox(  # the table's buttons answer to a pointer alone
        "Open details of", rows, index=None, placeholder="Choose a prediction of this page",
        key="chosen_row", on_change=_open_chosen, width=420,
        format_func=lambda row: f"{widgets.format_time(row['received_at'])} · {row['id']}",
    )  # fmt: skip


def _open_chosen() -> None:
    chosen = st.session_state["chosen_row"]
    if chosen is not None:
        st.query_params[drawer.ID] = chosen["id"]
        st.session_state["chosen_row"] = None


def _no_match(chosen: Filters) -> None:
    if chosen == Filters(None, cohort.ALL, None):
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
            "Time": row["received_at"].astimezone(zone).replace(tzinfo=None),
            "Source": shared_texts.SOURCES[row["source"]],
            "Probability": 100 * row["probability"],
            "Prediction": "positive" if row["prediction"] else "negative",
            "Outcome": OUTCOMES.get(row["outcome"], "").lower(),
        }
        cells |= {f.title: findings.table_cell(f, row[f.name]) for f in FEATURES}
        key = escape_formula(row["key_id"] or "")
        shown.append(cells | {"Model": escape_formula(row["model_version"]), "API key": key})
    return pd.DataFrame(shown)


def _columns() -> dict[str, Any]:
    column = st.column_config
    return {
        "open": column.ButtonColumn(
            "Details", key="opened", on_click=_open, type="secondary", pinned=True
        ),
        "Time": column.DatetimeColumn(
            f"Time ({widgets.zone()})", format="D MMM YYYY, HH:mm:ss", pinned=True
        ),
        "Probability": column.ProgressColumn(format="%.1f %%", min_value=0, max_value=100),
        "Prediction": column.TextColumn(help=shared_texts.POSITIVE_HELP),
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
        write = data.download(form, chosen.window, chosen.cohort, chosen.only)
        guarded = login.guard_download("predictions", write)
        name = f"predictions{_file_part(chosen)}.{form}"
        widgets.download(f"Download {form.upper()}", guarded, name, mime, help=texts.DOWNLOAD)
    units = pd.DataFrame([{"column": f.name, "finding": f.label, "unit": f.unit} for f in FEATURES])
    widgets.csv_download("Units (CSV)", units, "units")


def _file_part(chosen: Filters) -> str:
    """Return source and window for the name of a file."""
    window = chosen.window or "all"
    if not isinstance(window, str):
        window = "-to-".join(f"{end.astimezone(UTC):%Y%m%dT%H%MZ}" for end in window)
    return f"-{chosen.cohort.source or 'all-sources'}-{window}"


def selected_id() -> str | None:
    """Return the ID of the prediction in the address."""
    return st.query_params.get(drawer.ID)
