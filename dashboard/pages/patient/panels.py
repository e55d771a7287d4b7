"""Ask for a prediction, and compare it with that of a changed patient."""

from __future__ import annotations

from collections.abc import Mapping

import streamlit as st

from dashboard.pages.patient import form, texts
from dashboard.shared import data_access, findings, numbers, widgets
from dashboard.shared import texts as shared_texts
from dashboard.shared.api_client import ApiDown, LogBusy, NotLetIn, Refused
from dashboard.shared.prediction import charts
from dashboard.shared.prediction import texts as prediction_texts
from dashboard.shared.prediction.panels import Estimate, Wire
from pipeline.schema import BY_NAME


def ask(name: str, sent: Mapping[str, Wire] | None, source: str) -> Estimate | None:
    """Send a patient that was just submitted; return it, or the last answer kept under `name`.

    Nothing is asked without age and sex, so that an empty form never gets a risk, and a failed
    question leaves no older answer standing beside newer entries.
    """
    if sent is None:
        kept: Estimate | None = st.session_state.get(name)
        return kept
    st.session_state.pop(name, None)
    lacking = form.needed(sent)
    if lacking:
        st.warning(texts.lacking(lacking), title="Not estimated")
        return None
    try:
        answer = data_access.client().predict(sent, source)
    except ApiDown:
        widgets.calm(shared_texts.API_DOWN_TITLE, shared_texts.API_DOWN)
    except LogBusy:
        widgets.calm(shared_texts.LOG_BUSY_TITLE, shared_texts.LOG_BUSY)
    except NotLetIn:
        widgets.calm(shared_texts.NOT_LET_IN_TITLE, shared_texts.NOT_LET_IN)
    except Refused as refusal:
        st.warning(
            prediction_texts.refused(refusal.errors, refusal.detail, sent), title="Not estimated"
        )
    else:
        data_access.forget()
        st.session_state[name] = Estimate(dict(sent), answer)
        return ask(name, None, source)
    return None


def what_if(original: Estimate) -> None:
    """Compare the original with a changed patient; the answer is logged as what-if."""
    if st.session_state.get("what_if_of") != original.answer["id"]:
        form.fill("changed", original.sent)
        st.session_state.update(what_if_of=original.answer["id"], comparison=None)
    with st.expander("What if a finding were different?"):
        st.markdown(texts.WHAT_IF)
        sent, said = form.patient("changed", submit="Compare", clears=False)
        with said:
            found = ask("comparison", sent, "what-if")
        if found is not None:
            _compare(original, found)


def _compare(original: Estimate, found: Estimate) -> None:
    st.header("Compared", anchor=False)
    st.markdown(texts.comparison(original.probability, found.probability))
    widgets.chart(
        charts.estimates(
            [
                ("Original patient", original.probability, original.interval),
                ("Changed patient", found.probability, found.interval),
            ],
            found.answer["threshold"],
        ),
        f"Original {numbers.probability(original.probability)}, "
        f"changed {numbers.probability(found.probability)}",
        150,
        "comparison_range",
    )
    names = form.changed(original.sent, found.sent)
    if not names:
        st.caption("No finding was changed.")
        return
    st.table(
        {
            "Finding": [BY_NAME[name].label for name in names],
            "Original": [findings.value_of(name, original.sent) for name in names],
            "Changed": [findings.value_of(name, found.sent) for name in names],
            "Weight, original": [findings.weight(name, original.answer) for name in names],
            "Weight, changed": [findings.weight(name, found.answer) for name in names],
        },
        border="horizontal",
        hide_index=True,
        alt="Changed findings, with their weights in log-odds",
    )
    st.caption(texts.WHAT_IF_NOTE)
