"""Ask for an estimate and show it: the probability, what it means, why, and what if."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import streamlit as st

from dashboard.pages.patient import form, texts
from dashboard.pages.patient.form import Wire
from dashboard.shared import data_access, findings, numbers, widgets
from dashboard.shared import texts as shared_texts
from dashboard.shared.api_client import ApiDown, LogBusy, NotLetIn, Refused
from dashboard.shared.prediction import charts
from pipeline.schema import BY_NAME


@dataclass(frozen=True)
class Estimate:
    """A patient as sent and the API's answer."""

    sent: Mapping[str, Wire]
    answer: Mapping[str, Any]

    @property
    def probability(self) -> float:
        """Probability of disease, 0 to 1."""
        return float(self.answer["probability"])

    @property
    def interval(self) -> tuple[float, float]:
        """95 % range of the model's estimate."""
        low, high = self.answer["interval"]
        return low, high


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
        st.warning(texts.refused(refusal.errors, refusal.detail, sent), title="Not estimated")
    else:
        data_access.forget()
        st.session_state[name] = Estimate(dict(sent), answer)
        return ask(name, None, source)
    return None


def show(found: Estimate) -> None:
    """Draw an estimate with its meaning and its limits."""
    with widgets.card("Estimated probability of disease"):
        _headline(found)
        st.warning(texts.NOT_FOR_DIAGNOSIS)
    with widgets.card("What the estimate rests on"):
        st.markdown(findings.unknown(found.answer["missing"]))
        for warning in found.answer["warnings"]:
            st.warning(findings.warning(warning["field"], warning["message"]))


def why(found: Estimate) -> None:
    """Draw the reasons of an estimate over the full width."""
    with widgets.card("Why"):
        reasons(found.answer["explanation"], "estimate")


def _headline(found: Estimate) -> None:
    low, high = found.interval
    with st.container(horizontal=True, vertical_alignment="center", gap="medium"):
        st.metric(
            "Probability",
            numbers.probability(found.probability),
            label_visibility="collapsed",
            width="content",
        )
        st.markdown(
            f"**{numbers.probability(low)} to {numbers.probability(high)}**  \n"
            f"{texts.INTERVAL_LABEL}",
            width="stretch",
        )
    widgets.chart(
        charts.estimates(
            [("This patient", found.probability, found.interval)], found.answer["threshold"]
        ),
        f"Estimate {numbers.probability(found.probability)}, range {numbers.probability(low)} to "
        f"{numbers.probability(high)}, on a scale from 0 to 100 %",
        92,
        "estimate_range",
    )
    st.markdown(texts.natural_frequency(found.probability))
    widgets.chart(
        charts.hundred(found.probability),
        f"{numbers.of_hundred(found.probability)} of 100 people are marked as having had disease",
        190,
        "estimate_hundred",
    )
    st.caption(texts.DISEASE)


def reasons(explanation: Mapping[str, Any], key: str) -> None:
    """Draw three sentences and the waterfall behind them."""
    contributions = explanation["contributions"]
    sentences = findings.reasons(contributions)
    st.markdown("\n".join(f"{i}. {sentence}" for i, sentence in enumerate(sentences, 1)))
    st.caption(texts.REASONS_NOTE)
    widgets.chart(
        charts.waterfall(explanation),
        "How thirteen findings lead from the average patient to this one, in log-odds",
        620,
        f"{key}_waterfall",
    )
    st.caption(texts.WATERFALL_NOTE)


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
