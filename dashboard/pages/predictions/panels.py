"""The log as a table: filters kept in the address, pages, downloads, and one row in a drawer.

The address holds filters, a place in the log and a prediction's id; never a patient's value.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime, time
from typing import Any

import pandas as pd
import streamlit as st

from dashboard.auth import login
from dashboard.pages.patient import texts as patient_texts
from dashboard.pages.predictions import data, texts
from dashboard.shared import data_access, findings, numbers, widgets
from dashboard.shared import texts as shared_texts
from dashboard.shared.api_client import ApiDown, LogBusy, Missing, NotLetIn, Refused
from dashboard.shared.prediction import panels
from dashboard.shared.prediction.panels import Estimate
from db.export import no_formula
from pipeline.dataset.heart.codings import Coding, encode_row
from pipeline.schema import FEATURES, NAMES

_RESULTS = {"all": "All", "above": "At or above", "below": "Below"}
_BEFORE, _ID = "before", "id"
_SINCE, _UNTIL = "since", "until"
"""A stretch of time that another page links to; it takes the place of the period."""


@dataclass(frozen=True)
class Filters:
    """Which part of the log is shown; None = all. `period` is a key of `WINDOWS` or a stretch."""

    period: str | data_access.Stretch | None
    source: str | None
    positive: bool | None


def filters() -> Filters:
    """Draw the filters; they start a new reading at the newest row."""
    with st.container(horizontal=True, vertical_alignment="bottom", gap="medium"):
        stretch = _linked()
        period = stretch or widgets.period("all", every=True, on_change=_newest)
        result = st.segmented_control(
            "Compared with the threshold",
            list(_RESULTS),
            default="all",
            required=True,
            format_func=_RESULTS.__getitem__,
            key="result",
            bind="query-params",
            on_change=_newest,
        )
        source = st.selectbox(
            "Source",
            ["all", *shared_texts.SOURCES],
            format_func=lambda name: shared_texts.SOURCES.get(name, "All"),
            key="source",
            bind="query-params",
            on_change=_newest,
            width=180,
        )
    if stretch is not None:
        _say(stretch)
    return Filters(
        period=period,
        source=None if source == "all" else source,
        positive={"above": True, "below": False}.get(str(result)),
    )


def _linked() -> data_access.Stretch | None:
    """Return the stretch of time in the address; None when there is none that can be read."""
    since, until = widgets.linked(_SINCE), widgets.linked(_UNTIL)
    return (since, until) if since and until else None


def _say(stretch: data_access.Stretch) -> None:
    with st.container(horizontal=True, vertical_alignment="center"):
        st.markdown(texts.stretch(*map(widgets.when, stretch)))
        st.button("All times", on_click=_all_times)


def _all_times() -> None:
    for name in (_SINCE, _UNTIL):
        st.query_params.pop(name, None)
    st.session_state["period"] = "all"  # not the one that another page had
    _newest()


def _newest() -> None:
    st.session_state["turned"] = []
    st.query_params.pop(_BEFORE, None)


def table(chosen: Filters) -> None:
    """Draw one page of the log, and the way to the next."""
    cursor = st.query_params.get(_BEFORE)
    try:
        rows, following = data_access.page(chosen.period, chosen.source, chosen.positive, cursor)
    except ValueError:  # an address that somebody wrote by hand
        _newest()
        rows, following = data_access.page(chosen.period, chosen.source, chosen.positive, None)
    if not rows:
        _nothing(chosen)
        return
    st.session_state["shown"] = [row["id"] for row in rows]
    st.dataframe(
        _frame(rows),
        hide_index=True,
        column_config=_columns(),
        height=38 + 35 * len(rows),
        key="log",
        alt="The log, newest first; the first column opens a prediction",
    )
    with st.container(horizontal=True, vertical_alignment="center"):
        _turn_page(cursor, following)
        _downloads(chosen)


def _nothing(chosen: Filters) -> None:
    if chosen == Filters(None, None, None):
        widgets.empty_log()
    else:
        widgets.calm(texts.NO_MATCH_TITLE, texts.NO_MATCH)


def _frame(rows: list[dict[str, Any]]) -> pd.DataFrame:
    zone = widgets.zone()
    shown = []
    for coded in rows:
        row = encode_row(coded, Coding.LABELS)
        cells = {
            "open": "Open",
            "time": row["received_at"].astimezone(zone).replace(tzinfo=None),
            "source": shared_texts.SOURCES[row["source"]],
            "probability": 100 * row["probability"],
            "result": texts.side(row["prediction"]),
            "outcome": texts.outcome(row["outcome"]),
        }
        cells |= {f.title: findings.cell(f, row[f.name]) for f in FEATURES}
        shown.append(cells | {"model": no_formula(row["model_version"])})
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
        "result": column.TextColumn("Against threshold"),
        "outcome": column.TextColumn("Found later"),
        "model": column.TextColumn("Model"),
    }


def _open() -> None:
    st.query_params[_ID] = st.session_state["shown"][st.session_state["opened"].row]


def _turn_page(cursor: str | None, following: str | None) -> None:
    turned: list[str | None] = st.session_state.setdefault("turned", [])
    st.button("Newest", on_click=_newest, disabled=cursor is None)
    st.button("Newer", on_click=_newer, disabled=not turned)
    st.button("Older", on_click=_older, args=(cursor, following), disabled=following is None)


def _older(cursor: str | None, following: str) -> None:
    st.session_state["turned"].append(cursor)
    st.query_params[_BEFORE] = following


def _newer() -> None:
    cursor = st.session_state["turned"].pop()
    if cursor is None:
        st.query_params.pop(_BEFORE, None)
    else:
        st.query_params[_BEFORE] = cursor


def _downloads(chosen: Filters) -> None:
    for form, mime in (("csv", "text/csv"), ("jsonl", "application/jsonl")):
        write = data.download(form, chosen.period, chosen.source, chosen.positive)
        st.download_button(
            f"Download {form.upper()}",
            login.while_allowed("predictions", write),
            file_name=f"cardiowatch-predictions.{form}",
            mime=mime,
            on_click="ignore",
            help=texts.DOWNLOAD,
            key=f"download_{form}",
        )


def opened() -> str | None:
    """Return the id of the prediction that the address names."""
    return st.query_params.get(_ID)


def _close() -> None:
    st.query_params.pop(_ID, None)


@st.dialog("Prediction", width=880, position="right", on_dismiss=_close)
@login.only_for("predictions")
def drawer(prediction_id: str) -> None:
    """Draw one prediction beside the log: what was said, why, and what was found later."""
    with widgets.reading_the_log():
        row = data_access.prediction(prediction_id)
        if row is None:
            widgets.calm(texts.NOT_FOUND_TITLE, texts.NOT_FOUND)
            return
        st.markdown(texts.logged(row, widgets.when(row["received_at"])))
        found = _explained(row)
        if found is None:
            st.metric("Estimated probability of disease", numbers.probability(row["probability"]))
            st.warning(patient_texts.NOT_FOR_DIAGNOSIS)
            st.info(patient_texts.NO_REASONS)
        else:
            panels.show(found)
        _outcome(row)
        if found is not None:
            panels.why(found)
        _patient(row)


def _explained(row: Mapping[str, Any]) -> Estimate | None:
    """Return the estimate with its reasons, from the model version that made it."""
    patient = {name: row[name] for name in NAMES}
    missing = [name for name, value in patient.items() if value is None]
    try:
        reasons = data_access.explanation(row["id"])
    except (ApiDown, LogBusy, Missing, Refused):
        return None
    return Estimate(patient, {**row, **reasons, "missing": missing, "warnings": []})


def _patient(row: Mapping[str, Any]) -> None:
    with widgets.card("The patient as entered"):
        st.table(
            {f.title: findings.value_words(f, row[f.name]) for f in FEATURES},
            border="horizontal",
            alt="The thirteen findings of this patient",
        )


def _outcome(row: Mapping[str, Any]) -> None:
    """Draw what was found later, and its entry."""
    with widgets.card("What was found later"):
        known = st.empty()
        with st.form("outcome", border=False):
            found = st.segmented_control(
                "Result of the examination",
                list(texts.OUTCOMES),
                format_func=texts.OUTCOMES.__getitem__,
                default=row["outcome"],
                required=row["outcome"] is not None,
                key=f"found_{row['id']}",
            )
            day = st.text_input(
                "Day of the examination, if known", placeholder="2026-01-31", key=f"day_{row['id']}"
            )
            submitted = st.form_submit_button("Record", type="primary")
        recorded = submitted and _record(row["id"], found, day)
        outcome = found if recorded else row["outcome"]
        known.markdown(texts.outcome_known(outcome))


def _record(prediction_id: str, found: int | None, day: str) -> bool:
    if found is None:
        st.warning(texts.NO_OUTCOME)
        return False
    try:
        moment = _midnight(day)
    except ValueError:
        st.warning(texts.NO_DAY)
        return False
    if moment is not None and (moment.year < 1900 or moment > widgets.now()):
        st.warning(texts.DAY_NEVER)
        return False
    return _sent(prediction_id, found, moment)


def _sent(prediction_id: str, found: int, moment: datetime | None) -> bool:
    try:
        observed_at = None if moment is None else moment.isoformat()
        data_access.client().record_outcome(prediction_id, found, observed_at)
    except NotLetIn:
        st.warning(shared_texts.NOT_LET_IN, title=shared_texts.NOT_LET_IN_TITLE)
    except Refused as refusal:
        st.warning(patient_texts.refused(refusal.errors, refusal.detail))
    except (ApiDown, LogBusy):
        st.warning(shared_texts.API_DOWN, title=shared_texts.API_DOWN_TITLE)
    except Missing:
        st.warning(texts.NOT_FOUND, title=texts.NOT_FOUND_TITLE)
    else:
        data_access.forget()
        st.success(texts.RECORDED)
        return True
    return False


def _midnight(day: str) -> datetime | None:
    """Turn a day as entered into a moment with a zone; an empty one into None."""
    if not day.strip():
        return None
    return datetime.combine(date.fromisoformat(day.strip()), time(), widgets.zone())
