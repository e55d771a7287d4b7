"""The gate on the Poisoning page: a file of one's own, and how often the gate refuses."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from typing import Any

import streamlit as st
from streamlit.runtime.uploaded_file_manager import UploadedFile

from dashboard.auth import login
from dashboard.jobs import pool as jobs_pool
from dashboard.jobs.pool import Job, State
from dashboard.pages.poisoning import data
from dashboard.pages.poisoning import texts as poisoning_texts
from dashboard.pages.poisoning import texts_gate as texts
from dashboard.shared import data_access, scorecards, widgets
from dashboard.shared import texts as shared_texts

_JOB = "gate_job"
_NAME = "gate_name"
_FUNCTION = "pipeline.gate.check:run_job"
_LOOK_S = 0.5
_MAX_MB = 5
"""About 80,000 patients; a study's table is smaller."""
_SHOWN = 20


def gate() -> None:
    """Draw what the gate does, the upload with its verdict, and false alarms and power."""
    with widgets.card(texts.TITLE):
        st.markdown(texts.GATE)
        with widgets.reading_the_log():
            _upload()
        _power()


def _upload() -> None:
    trained_on = data.trained_elsewhere()
    if trained_on is not None:
        st.info(texts.elsewhere(trained_on))
        return
    job: Job | None = st.session_state.get(_JOB)
    if job is not None and not job.ended:
        _wait(job)
        return
    with st.form("gate", border=False, clear_on_submit=True):  # the server lets go of the file
        file = st.file_uploader(
            texts.UPLOAD, type=["csv", "data", "txt", "tsv"], max_upload_size=_MAX_MB,
            help=texts.UPLOAD_HELP, key="gate_file",
        )  # fmt: skip
        coding = st.selectbox(
            "Coding", list(texts.CODINGS), format_func=texts.CODINGS.__getitem__,
            key="gate_coding", width=260,
        )  # fmt: skip
        if st.form_submit_button("Judge"):
            _start(file, str(coding))
    if job is not None:
        _answer(job)


def _start(file: UploadedFile | None, coding: str) -> None:
    if file is None:
        st.warning(texts.NO_FILE)
        return
    if file.size > _MAX_MB * 2**20:  # the uploader's limit is the browser's alone
        st.warning(texts.too_large(_MAX_MB))
        return
    model = scorecards.model_in_use()
    if model is None:
        st.warning(texts.NO_MODEL)
        return
    content = base64.b64encode(file.getvalue()).decode()
    try:
        st.session_state[_JOB] = jobs_pool.pool.submit(
            _FUNCTION, content=content, name=file.name, coding=coding, scorecard=model.scorecard
        )
    except jobs_pool.PoolFull:
        st.warning(shared_texts.CALCULATING)
        return
    st.session_state[_NAME] = file.name
    st.rerun()


@st.fragment(run_every=_LOOK_S)
@login.requires_page("poisoning")
def _wait(job: Job) -> None:
    if job.ended:
        st.rerun()
    st.progress(job.progress, text=texts.RUNNING)
    st.button("Cancel", on_click=job.cancel, key="gate_cancel")


def _answer(job: Job) -> None:
    if job.state is State.CANCELLED:
        st.info(texts.CANCELLED)
    elif job.state is State.FAILED:
        st.warning(poisoning_texts.FAILED)
    elif "problem" in job.result:
        st.warning(texts.unreadable(job.result["problem"]))
    else:
        _verdict(st.session_state[_NAME], job.result["verdict"])


def _verdict(name: str, found: Mapping[str, Any]) -> None:
    said = texts.verdict(name, found)
    (st.success if found["accept"] else st.warning)(said)
    if found["loss"] is None:
        return
    st.markdown(f"{texts.measured(found)} {texts.expects(found, _measured())}")
    if found["rows"]:
        st.markdown(texts.LISTED)
        rows = [texts.row(row) for row in found["rows"][:_SHOWN]]
        widgets.table(rows, "Patients whose labels are suspicious")
        if len(found["rows"]) > _SHOWN:
            st.caption(texts.more(len(found["rows"]) - _SHOWN))


def _measured() -> Mapping[str, Any] | None:
    card = data_access.model()
    return card["evidence"].get("gate") if card else None


def _power() -> None:
    power = _measured()
    if power is None:
        st.caption(texts.NO_POWER)
        return
    st.markdown(f"**{texts.POWER_TITLE}**")
    rows = [texts.power_row(name, shares) for name, shares in power["refused"].items()]
    widgets.table(rows, "Share of batches that the gate refuses, by what was done to the labels")
    st.caption(texts.power_note(power))
