"""Request a prediction, and compare it with that of a changed patient."""

from __future__ import annotations

from collections.abc import Mapping

import streamlit as st

from dashboard.pages.patient import form, texts
from dashboard.shared import data_access, findings, numbers, widgets
from dashboard.shared import texts as shared_texts
from dashboard.shared.api_client import (
    ApiUnavailable,
    AuthenticationFailed,
    LogUnavailable,
    RequestRejected,
)
from dashboard.shared.prediction import charts
from dashboard.shared.prediction import texts as prediction_texts
from dashboard.shared.prediction.panels import Prediction, Wire
from pipeline.schema import BY_NAME


def request_prediction(
    name: str, sent: Mapping[str, Wire] | None, source: str
) -> Prediction | None:
    """Request a prediction if a patient was just submitted; else return the last one of `name`.

    Nothing is requested without age and sex, so that an empty form never gets a risk. After a
    failure, no older prediction stays beside newer entries.
    """
    if sent is None:
        kept: Prediction | None = st.session_state.get(name)
        return kept
    st.session_state.pop(name, None)
    lacking = form.missing_required(sent)
    if lacking:
        st.warning(texts.missing_required(lacking), title="No estimate")
        return None
    try:
        answer = data_access.client().predict(sent, source)
    except ApiUnavailable:
        widgets.notice(shared_texts.API_DOWN_TITLE, shared_texts.API_DOWN)
    except LogUnavailable:
        widgets.notice(shared_texts.LOG_UNAVAILABLE_TITLE, shared_texts.LOG_UNAVAILABLE)
    except AuthenticationFailed:
        widgets.notice(shared_texts.KEY_REJECTED_TITLE, shared_texts.KEY_REJECTED)
    except RequestRejected as refusal:
        st.warning(
            prediction_texts.rejection_message(refusal.errors, refusal.detail, sent),
            title="No estimate",
        )
    else:
        data_access.clear_cache()
        st.session_state[name] = Prediction(dict(sent), answer)
        return request_prediction(name, None, source)
    return None


def what_if(original: Prediction) -> None:
    """Compare with a changed patient; that prediction is logged as what-if."""
    if st.session_state.get("what_if_of") != original.response["id"]:
        form.set_values("changed", original.findings)
        st.session_state.update(what_if_of=original.response["id"], comparison=None)
    with st.expander("What if a finding were different?"):
        st.markdown(texts.WHAT_IF)
        sent, said = form.patient_form("changed", submit="Compare", clears=False)
        with said:
            found = request_prediction("comparison", sent, "what-if")
        if found is not None:
            _compare(original, found)


def _compare(original: Prediction, found: Prediction) -> None:
    st.header("Comparison", anchor=False)
    st.markdown(texts.comparison(original.probability, found.probability))
    widgets.echarts_chart(
        charts.risk_intervals(
            [
                ("Original patient", original.probability, original.interval),
                ("Changed patient", found.probability, found.interval),
            ],
            found.response["threshold"],
        ),
        f"Original {numbers.probability(original.probability)}, "
        f"changed {numbers.probability(found.probability)}",
        150,
        "comparison_range",
    )
    names = form.changed_findings(original.findings, found.findings)
    if not names:
        st.caption("No finding was changed.")
        return
    st.table(
        {
            "Finding": [BY_NAME[name].label for name in names],
            "Original": [findings.value_of(name, original.findings) for name in names],
            "Changed": [findings.value_of(name, found.findings) for name in names],
            "Contribution, original": [
                findings.format_contribution(name, original.response) for name in names
            ],
            "Contribution, changed": [
                findings.format_contribution(name, found.response) for name in names
            ],
        },
        border="horizontal",
        hide_index=True,
        alt="Changed findings with their contributions in log-odds",
    )
    st.caption(texts.WHAT_IF_NOTE)
