"""One prediction: the probability, what it means, and why."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import streamlit as st

from dashboard.shared import findings, numbers, widgets
from dashboard.shared.prediction import charts, texts

Wire = bool | float | str | None
"""A value as it travels to the API in labels; None = not known."""


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
