"""The training data gate on the Poisoning page: check a file, false positive rate and power."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from typing import Any

import streamlit as st
from streamlit.runtime.uploaded_file_manager import UploadedFile

from dashboard.pages.poisoning import texts_gate as texts
from dashboard.shared import data_access, job_panel, reference, scorecards, widgets
from pipeline.dataset.heart import CODINGS, FILE_HELP
from pipeline.model import ModelError
from pipeline.model.reference import Reference

_JOB = "gate_job"
_NAME = "gate_name"
_FUNCTION = "pipeline.gate.check:run_job"
_MAX_MB = 5
"""About 80,000 patients; a study's table is smaller."""
_MAX_ROWS = 20


def gate() -> None:
    """Draw the gate: explanation, upload with its verdict, false positive rate and power."""
    with widgets.card(texts.TITLE):
        st.markdown(texts.GATE)
        with widgets.log_errors_shown():
            _upload()
        _power_table()


def _upload() -> None:
    try:
        trusted = reference.current("the losses of clean patients")
    except ModelError as error:
        st.info(reference.said(error))
        return
    with st.form("gate", border=False):  # drawn during a check, too: that keeps the file
        file = widgets.file_uploader(
            texts.UPLOAD, ["csv", "data", "txt", "tsv"], _MAX_MB, "gate_file",
            help=f"{FILE_HELP} {texts.NOT_STORED}",
        )  # fmt: skip
        coding = st.selectbox(
            "Coding", list(CODINGS), format_func=CODINGS.__getitem__,
            key="gate_coding", width=260,
        )  # fmt: skip
        mapping = st.text_area(
            "Mapping (JSON, optional)", help=texts.MAPPING, key="gate_mapping", height=68
        )
        if st.form_submit_button("Check file"):
            _start(file, str(coding), str(mapping), trusted)
    if job_panel.unfinished(_JOB, "poisoning", texts.RUNNING):
        return
    result = job_panel.result(_JOB)
    if result is None:
        return
    if "problem" in result:
        st.warning(texts.unreadable(result["problem"]))
    else:
        _verdict(st.session_state[_NAME], result["verdict"])


def _start(file: UploadedFile | None, coding: str, mapping: str, trusted: Reference) -> None:
    if file is None:
        st.warning(texts.NO_FILE)
        return
    if file.size > _MAX_MB * 2**20:  # the uploader's limit is the browser's alone
        st.warning(texts.too_large(_MAX_MB))
        return
    model = scorecards.current_model()
    if model is None:
        st.warning(texts.NO_MODEL)
        return
    assert trusted.rows is not None and trusted.disease is not None  # noqa: S101, PT018
    content = base64.b64encode(file.getvalue()).decode()
    patients = {"rows": reference.plain(trusted.rows), "disease": trusted.disease.tolist()}
    if job_panel.submit(
        _JOB, _FUNCTION, content=content, name=file.name, coding=coding, mapping=mapping,
        scorecard=model.scorecard, **patients,
    ):  # fmt: skip
        st.session_state[_NAME] = file.name


def _verdict(name: str, found: Mapping[str, Any]) -> None:
    said = texts.verdict(name, found)
    (st.success if found["accept"] else st.warning)(said)
    if found["loss"] is None:
        return
    st.markdown(
        f"{texts.loss_summary(found)} {texts.expected_rejection_rate(found, _gate_evidence())}"
    )
    if found["rows"]:
        st.markdown(texts.LISTED)
        rows = [texts.row(row) for row in found["rows"][:_MAX_ROWS]]
        widgets.table(rows, "Patients with suspicious labels")
        if len(found["rows"]) > _MAX_ROWS:
            st.caption(texts.more_rows(len(found["rows"]) - _MAX_ROWS))


def _gate_evidence() -> Mapping[str, Any] | None:
    card = data_access.model_card()
    return card["evidence"].get("gate") if card else None


def _power_table() -> None:
    power = _gate_evidence()
    if power is None:
        st.caption(texts.NO_POWER)
        return
    st.markdown(f"**{texts.POWER_TITLE}**")
    rows = [texts.power_row(name, shares) for name, shares in power["refused"].items()]
    widgets.table(rows, "Rejection rate of the gate by label error")
    st.caption(texts.power_note(power))
