"""The domain classifier test of the Drift page: started by a button, run in a worker process."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import streamlit as st

from dashboard.pages.drift import charts, texts
from dashboard.pages.drift.data import Array, Comparison, Window
from dashboard.shared import job_panel, widgets
from dashboard.shared.reference import plain
from pipeline.model.reference import no_rows

_FUNCTION = "pipeline.drift.domain_classifier:run_job"
_PERMUTATIONS = 99
"""The smallest p-value is then 0.01, enough for a page in half the time."""
_JOB, _OF = "classifier_job", "classifier_of"
_MAX_SHIFT = timedelta(minutes=10)
"""A window that ends now moves every few minutes; a job of it goes on until it has moved so far."""


def classifier(found: Comparison, of: Window, reference: str) -> None:
    """Draw the button, the progress or the result."""
    asked = (of, reference)
    job = job_panel.kept(_JOB)
    if job is not None and not _is_same(asked, st.session_state[_OF]):
        job.cancel()  # its window is no longer shown
        st.session_state[_JOB] = job = None
    with widgets.card("Domain classifier test"):
        st.caption(texts.CLASSIFIER_NOTE)
        if found.reference.rows is None or found.current.rows is None:
            st.markdown(no_rows("the domain classifier test"))
            return
        if job_panel.unfinished(_JOB, "drift", "Running permutation test"):
            return
        result = job_panel.result(_JOB)
        if result is None:
            again = "Run the classifier test again" if job else "Run the classifier test"
            rows = found.reference.rows, found.current.rows
            st.button(again, on_click=_start, args=(*rows, asked))
            return
        st.markdown(texts.classifier(result))
        if result["enough_data"]:
            roc, importance = (
                charts.roc_curve(result["roc"]),
                charts.permutation_importance(result["importances"]),
            )
            widgets.side_by_side(
                360,
                [
                    ("ROC curve", roc, "ROC curve on the hold-out set", "roc"),
                    (
                        "Permutation importance", importance,
                        "Permutation importance of the classifier", "importances",
                    ),
                ],
            )  # fmt: skip


def _is_same(asked: tuple[Window, str], earlier: tuple[Window, str]) -> bool:
    (one, reference), (other, other_reference) = asked, earlier
    shift = one.until - other.until
    moved = replace(other, since=other.since + shift, until=other.until + shift)
    return moved == one and reference == other_reference and abs(shift) <= _MAX_SHIFT


def _start(before: Array, now: Array, asked: tuple[Window, str]) -> None:
    st.session_state[_OF] = asked
    rows = {"reference": plain(before), "current": plain(now)}
    job_panel.submit(_JOB, _FUNCTION, **rows, permutations=_PERMUTATIONS)
