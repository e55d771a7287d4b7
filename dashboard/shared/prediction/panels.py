"""Panels of one prediction: the estimated risk, what it means, and its explanation."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import streamlit as st

from dashboard.shared import data_access, findings, numbers, reference, widgets
from dashboard.shared import texts as shared_texts
from dashboard.shared.api_client import ApiError, AuthenticationFailed, NotFound, RequestRejected
from dashboard.shared.prediction import charts, record, texts
from dashboard.shared.prediction.entries import Wire
from pipeline.model.reference import Population
from settings import load_settings


@dataclass(frozen=True)
class Prediction:
    """The findings sent to the API, and its response."""

    findings: Mapping[str, Wire]
    response: Mapping[str, Any]

    @property
    def probability(self) -> float:
        """Probability of disease, 0 to 1."""
        return float(self.response["probability"])

    @property
    def interval(self) -> tuple[float, float]:
        """95 % interval of the estimate."""
        low, high = self.response["interval"]
        return low, high

    @property
    def unknown_range(self) -> tuple[float, float] | None:
        """Range of the estimate over what is unknown; None = all known, or not said."""
        low_high = self.response.get("unknown_range")
        return (low_high[0], low_high[1]) if low_high else None

    @property
    def population(self) -> Population | None:
        """Whom the model of this prediction was trained on; None = not kept."""
        return reference.population_of(self.response["model_version"])

    @property
    def most_informative(self) -> str | None:
        """The unknown finding that would narrow that range most."""
        return self.response.get("most_informative")


def recorded(send: Callable[[], None], said: str) -> bool:
    """Send something about a prediction to the log and say so, or say why it was not recorded."""
    try:
        send()
    except AuthenticationFailed:
        st.warning(shared_texts.KEY_REJECTED, title=shared_texts.KEY_REJECTED_TITLE)
    except RequestRejected as refusal:
        st.warning(texts.rejection_message(refusal.errors, refusal.detail))
    except NotFound:
        st.warning(texts.NOT_FOUND, title=texts.NOT_FOUND_TITLE)
    except ApiError:
        st.warning(shared_texts.API_DOWN, title=shared_texts.API_DOWN_TITLE)
    else:
        data_access.clear_cache()
        st.success(said)
        return True
    return False


def estimated_risk(found: Prediction) -> None:
    """Draw the estimated risk with its meaning and its limits."""
    with widgets.card("Estimated risk of disease"):
        _headline(found)
        st.warning(texts.NOT_FOR_DIAGNOSIS)
    with widgets.card("Unknown findings"):
        st.markdown(findings.unknown_findings(found.response["missing"]))
        if found.unknown_range is not None:
            st.markdown(texts.unknown_range(found.unknown_range, found.most_informative))
    record.draw(found)


def _headline(found: Prediction) -> None:
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
    shown = [(texts.INTERVAL, found.probability, found.interval)]
    if found.unknown_range is not None:
        shown.append((texts.UNKNOWN_RANGE, found.probability, found.unknown_range))
    widgets.echarts_chart(
        charts.risk_intervals(shown, found.response["threshold"]),
        f"Estimated risk {numbers.probability(found.probability)}; "
        + "; ".join(
            f"{name.lower()} {numbers.probability(a)} to {numbers.probability(b)}"
            for name, _, (a, b) in shown
        ),
        64 + 34 * len(shown),
        "estimate_range",
    )
    st.markdown(texts.natural_frequency(found.probability, found.population))
    here = load_settings().prevalence
    if here is not None and found.population is not None:
        st.markdown(texts.at_prevalence(found.probability, found.population, here))
    widgets.echarts_chart(
        charts.icon_array(found.probability),
        f"{numbers.per_hundred(found.probability)} of 100 icons: expected to have disease",
        190,
        "estimate_hundred",
    )
    st.caption(texts.DISEASE)


def explanation(found: Prediction) -> None:
    """Draw the three largest effects in words, and the waterfall chart, over the full width."""
    explained = found.response["explanation"]
    with widgets.card("Explanation: contribution of each finding"):
        sentences = findings.top_effects(explained["contributions"])
        st.markdown("\n".join(f"{i}. {sentence}" for i, sentence in enumerate(sentences, 1)))
        st.caption(texts.REASONS_NOTE)
        with st.grid(2, min_column_width=420, gap="medium") as halves:
            with halves.cell():
                widgets.echarts_chart(
                    charts.waterfall(explained),
                    "Waterfall chart: contribution of each finding in log-odds, from the average "
                    "training patient to this patient",
                    620,
                    "estimate_waterfall",
                )
                st.caption(texts.WATERFALL_NOTE)
            with halves.cell():
                widgets.table(findings.contributions(explained), "Contribution of each finding")
                st.caption(texts.POINTS_NOTE)
