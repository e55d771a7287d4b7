"""One prediction in a drawer beside a page: what was predicted, why, and the outcome.

The address holds its id.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, datetime, time
from typing import Any

import streamlit as st

from dashboard.auth import login
from dashboard.shared import data_access, findings, numbers, widgets
from dashboard.shared.api_client import ApiError
from dashboard.shared.prediction import panels, texts
from dashboard.shared.prediction.panels import Prediction
from pipeline.schema import FEATURES, NAMES

ID = "id"


def _close() -> None:
    st.query_params.pop(ID, None)


@st.dialog("Prediction", width=880, position="right", on_dismiss=_close)
@login.requires_page("predictions")
def prediction_drawer(prediction_id: str) -> None:
    """Draw one prediction beside the page: risk, explanation, findings and outcome."""
    with widgets.log_errors_shown():
        row = data_access.prediction(prediction_id)
        if row is None:
            widgets.notice(texts.NOT_FOUND_TITLE, texts.NOT_FOUND)
            return
        st.markdown(texts.prediction_header(row, widgets.format_time(row["received_at"])))
        found = _explained(row)
        if found is None:
            st.metric("Estimated risk of disease", numbers.probability(row["probability"]))
            st.warning(texts.NOT_FOR_DIAGNOSIS)
            st.info(texts.NO_REASONS)
        else:
            panels.estimated_risk(found)
        _outcome(row)
        if found is not None:
            panels.explanation(found)
        _patient(row)


def _explained(row: Mapping[str, Any]) -> Prediction | None:
    """Return the prediction with its explanation, by the version that made it; None = none."""
    patient = {name: row[name] for name in NAMES}
    missing = [name for name, value in patient.items() if value is None]
    try:
        reasons = data_access.explanation(row["id"])
    except ApiError:
        return None
    return Prediction(patient, {**row, **reasons, "missing": missing, "warnings": []})


def _patient(row: Mapping[str, Any]) -> None:
    with widgets.card("Findings as entered"):
        st.table(
            {f.label: findings.format_value(f, row[f.name]) for f in FEATURES},
            border="horizontal",
            alt="The findings of this patient",
        )


def _outcome(row: Mapping[str, Any]) -> None:
    """Draw the recorded outcome, and the form to record one."""
    with widgets.card("Outcome"):
        known = st.empty()
        with st.form("outcome", border=False):
            found = st.segmented_control(
                "Outcome (angiography)",
                list(texts.OUTCOMES),
                format_func=texts.OUTCOMES.__getitem__,
                default=row["outcome"],
                required=row["outcome"] is not None,
                key=f"found_{row['id']}",
            )
            day = st.text_input(
                "Examination date (optional)", placeholder="2026-01-31", key=f"day_{row['id']}"
            )
            submitted = st.form_submit_button("Record outcome", type="primary")
        recorded = submitted and _record(row["id"], found, day)
        outcome = found if recorded else row["outcome"]
        known.markdown(texts.recorded_outcome(outcome))


def _record(prediction_id: str, found: int | None, day: str) -> bool:
    if found is None:
        st.warning(texts.NO_OUTCOME)
        return False
    try:
        moment = _midnight(day)
    except ValueError:
        st.warning(texts.INVALID_DATE)
        return False
    if moment is not None and (moment.year < 1900 or moment > widgets.now()):
        st.warning(texts.DATE_OUT_OF_RANGE)
        return False
    observed_at = None if moment is None else moment.isoformat()
    client = data_access.client()
    return panels.recorded(
        lambda: client.record_outcome(prediction_id, found, observed_at), texts.RECORDED
    )


def _midnight(day: str) -> datetime | None:
    """Return midnight of an entered date in the viewer's zone; None = empty."""
    if not day.strip():
        return None
    return datetime.combine(date.fromisoformat(day.strip()), time(), widgets.zone())
