"""Panels of the Batch page: the template, the file with its errors or a preview, the results."""

from __future__ import annotations

import secrets
from typing import Any

import streamlit as st

from dashboard.auth import login
from dashboard.pages.batch import data, texts
from dashboard.pages.batch.data import Batch
from dashboard.shared import data_access, widgets
from dashboard.shared import texts as shared_texts
from dashboard.shared.api_client import (
    ApiUnavailable,
    AuthenticationFailed,
    LogUnavailable,
    RequestRejected,
)
from dashboard.shared.escaping import escape_markdown
from dashboard.shared.prediction import entries
from dashboard.shared.prediction import texts as prediction_texts
from pipeline.schema import FEATURES, Kind

_MAX_MB = 1
_SHOWN_ERRORS = 50
_PREVIEWED = 5


def template() -> None:
    """Draw the template's download and what each column takes."""
    st.markdown(texts.TEMPLATE)
    st.download_button(
        "Download the template",
        data.template(),
        file_name="cardiowatch-batch-template.csv",
        mime="text/csv",
        on_click="ignore",
    )
    with st.expander("Columns and their values"):
        rows = [
            {
                "Column": feature.name,
                "Finding": feature.label,
                "Values": f"{feature.low:g} to {feature.high:g} {feature.unit}"
                if feature.kind is Kind.NUMBER
                else ", ".join(entries.words(feature)),
            }
            for feature in FEATURES
        ]
        reference = {"Column": data.REFERENCE, "Finding": "Patient reference (optional)"}
        widgets.table(
            [*rows, reference | {"Values": "your number for the patient; kept as a keyed hash"}],
            "Columns of the file and the values each takes",
        )


def upload() -> None:
    """Draw the file, its errors or a preview, and what came of sending it."""
    file = widgets.file_uploader("CSV file", ["csv"], _MAX_MB, "batch_file")
    if file is None:
        st.session_state.pop("batch", None)
        return
    kept = st.session_state.get("batch")
    if kept is None or kept["file"] != file.file_id:
        # Random for each upload: the same patients in two files are two batches.
        kept = {"file": file.file_id, "key": secrets.token_urlsafe(16), "answers": None}
        st.session_state["batch"] = kept
    batch = data.read(file.getvalue())
    if batch.errors:
        _errors(batch)
    elif kept["answers"] is None:
        _preview(batch, kept)
    else:
        _results(batch, kept["answers"])


def _errors(batch: Batch) -> None:
    st.warning(texts.errors(len(batch.errors), _SHOWN_ERRORS))
    rows = [
        {
            "Line": str(error.line or "file"),
            "Column": escape_markdown(error.column[:40]),
            "What to do": escape_markdown(error.message),
        }
        for error in batch.errors[:_SHOWN_ERRORS]
    ]
    widgets.table(rows, "Errors in the file, by line and column")


def _preview(batch: Batch, kept: dict[str, Any]) -> None:
    n = len(batch.patients)
    st.markdown(texts.ready(n, batch.unusual, batch.unknown))
    with st.expander("Preview", expanded=True):
        st.dataframe(batch.rows[:_PREVIEWED], hide_index=True, alt="The first patients of the file")
    said = st.container()
    if st.button(f"Estimate {n:,} patients", type="primary"):
        with said, st.spinner(texts.SENDING, show_time=True):
            kept["answers"] = _send(batch, kept["key"])
        if kept["answers"] is not None:
            data_access.clear_cache()
            st.rerun()


def _send(batch: Batch, key: str) -> list[dict[str, Any]] | None:
    try:
        return data_access.client().predict_batch(batch.patients, key=key, user=login.acting_user())
    except ApiUnavailable:
        widgets.notice(shared_texts.API_DOWN_TITLE, shared_texts.API_DOWN)
    except LogUnavailable:
        widgets.notice(shared_texts.LOG_UNAVAILABLE_TITLE, shared_texts.LOG_UNAVAILABLE)
    except AuthenticationFailed:
        widgets.notice(shared_texts.KEY_REJECTED_TITLE, shared_texts.KEY_REJECTED)
    except RequestRejected as refusal:
        st.warning(prediction_texts.rejection_message(refusal.errors, refusal.detail))
    return None


def _results(batch: Batch, answers: list[dict[str, Any]]) -> None:
    st.success(texts.done(len(answers), sum(answer["prediction"] for answer in answers)))
    frame = data.results(batch, answers)
    st.dataframe(frame, hide_index=True, height=300, alt="Patients with their predictions")
    widgets.csv_download("Download the results", frame, "batch-results")
