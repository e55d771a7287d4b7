"""The domain classifier test of the Drift page: started by a button, run in a worker process."""

from __future__ import annotations

from typing import Any

import numpy as np
import streamlit as st

from dashboard.auth import login
from dashboard.jobs import pool as jobs_pool
from dashboard.jobs.pool import Job, State
from dashboard.pages.drift import charts, texts
from dashboard.pages.drift.data import Array, Comparison, Window
from dashboard.shared import texts as shared_texts
from dashboard.shared import widgets

_FUNCTION = "pipeline.drift.domain_classifier:run_job"
_PERMUTATIONS = 99
"""The smallest p-value is then 0.01, enough for a page in half the time."""
_REFRESH_S = 1.0


def classifier(found: Comparison, of: Window, reference: str) -> None:
    """Draw the button, the progress or the result."""
    with widgets.card("Domain classifier test"):
        st.caption(texts.CLASSIFIER_NOTE)
        asked = (of, reference)
        job: Job | None = st.session_state.get("classifier_job")
        if job is not None and st.session_state.get("classifier_of") != asked:
            job.cancel()  # its window is no longer shown
            job = None
        if job is None:
            st.button("Run the classifier test", on_click=_start, args=(found, asked))
        elif job.ended:
            _show(job)
        else:
            _progress(job)


def _start(found: Comparison, asked: tuple[Window, str]) -> None:
    try:
        job = jobs_pool.pool.submit(
            _FUNCTION,
            reference=_plain(found.reference.rows),
            current=_plain(found.current.rows),
            permutations=_PERMUTATIONS,
        )
    except jobs_pool.PoolFull:
        st.session_state["classifier_job"] = None
        st.toast(shared_texts.POOL_BUSY)
        return
    st.session_state["classifier_job"], st.session_state["classifier_of"] = job, asked


def _plain(rows: Array) -> list[list[float | None]]:
    return [[None if np.isnan(value) else float(value) for value in row] for row in rows]


@st.fragment(run_every=_REFRESH_S)
@login.requires_page("drift")
def _progress(job: Job) -> None:
    if job.ended:
        st.rerun()
    st.progress(job.progress, text="Running permutation test …")
    st.button("Cancel", on_click=job.cancel)


def _show(job: Job) -> None:
    if job.state is not State.DONE:
        words = "was cancelled" if job.state is State.CANCELLED else "failed"
        st.markdown(f"The calculation {words}.")
        st.button("Run the classifier test again", on_click=_again)
        return
    result: dict[str, Any] = job.result
    st.markdown(texts.classifier(result))
    if not result["enough_data"]:
        return
    halves = st.grid(2, min_column_width=380, gap="medium")
    with halves.cell():
        widgets.plotly_chart(
            charts.roc_curve(result["roc"]), "ROC curve on the hold-out set", 360, "roc"
        )
    with halves.cell():
        figure = charts.permutation_importance(result["importances"])
        widgets.plotly_chart(figure, "Permutation importance of the classifier", 360, "importances")


def _again() -> None:
    st.session_state["classifier_job"] = None
