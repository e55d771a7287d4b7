"""The job of a page: submitted by a button, drawn with its progress until it ends.

A page keeps it in the session under a key of its own.
"""

from __future__ import annotations

from typing import Any

import streamlit as st

from dashboard.auth import login
from dashboard.jobs import pool as jobs_pool
from dashboard.jobs.pool import Job, State
from dashboard.shared import texts as shared_texts
from dashboard.shared.numbers import percent

_REFRESH_S = 1.0


def submit(key: str, function: str, **arguments: Any) -> bool:
    """Submit a job (`pool.JobPool.submit`) and keep it; return whether the pool took it."""
    try:
        st.session_state[key] = jobs_pool.pool.submit(function, **arguments)
    except jobs_pool.PoolFull:
        st.toast(shared_texts.POOL_BUSY)
        return False
    return True


def kept(key: str) -> Job | None:
    """Return the job that this session keeps under a key."""
    job: Job | None = st.session_state.get(key)
    return job


def result(key: str) -> Any:
    """Return the result of the job under a key; None = no job, or it has none."""
    job = kept(key)
    return job.result if job is not None and job.state is State.DONE else None


def unfinished(key: str, page: str, running: str) -> bool:
    """Draw the progress of the job under a key, or why it has no result.

    Parameters
    ----------
    key, page
        Where the job is kept; the page of `PAGES` that shows it.
    running
        What it does, in a word.

    Returns
    -------
    bool
        Whether it is still running or waiting.
    """
    job = kept(key)
    if job is None or job.state is State.DONE:
        return False

    @st.fragment(run_every=_REFRESH_S)
    @login.requires_page(page)
    def progress() -> None:
        if job.ended:
            st.rerun()
        said = f"{running}: {percent(job.progress)}" if job.progress else "Queued"
        st.progress(job.progress, text=said)
        st.button("Cancel", on_click=job.cancel)

    if job.state is State.FAILED:
        st.warning(shared_texts.JOB_FAILED)
    elif job.state is State.CANCELLED:
        st.info(shared_texts.JOB_CANCELLED)
    else:
        progress()
    return not job.ended
