"""The panels of the Drift page: controls, verdict, all findings, one finding, risk, the table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd
import streamlit as st

from dashboard.auth import login
from dashboard.pages.drift import charts, data, texts
from dashboard.pages.drift import history as drift_history
from dashboard.pages.drift import texts_calibration as trust_texts
from dashboard.pages.drift.data import Comparison, Span
from dashboard.shared import data_access, numbers, widgets
from dashboard.shared import texts as shared_texts
from pipeline.schema import BY_NAME


def controls() -> tuple[Span, str, str] | None:
    """Let the viewer choose window, source and reference; None = an empty log.

    Returns
    -------
    tuple
        The span, its period as "in the last 24 hours", and the reference.
    """
    first = data_access.source()
    with st.container(horizontal=True, vertical_alignment="bottom", gap="medium"):
        period = widgets.period("24h") or "24h"
        names = list(shared_texts.SOURCES)
        source = st.selectbox(
            "Source", names, index=names.index(first) if first else 0,
            format_func=shared_texts.SOURCES.__getitem__, key="drift_source", width=160,
            bind="query-params",
        )  # fmt: skip
        reference = st.selectbox(
            "Compared with", list(texts.REFERENCES), format_func=texts.REFERENCES.__getitem__,
            key="reference", width=200, bind="query-params",
        )  # fmt: skip
        version = _version()
    if first is None:
        return None
    until = widgets.linked(drift_history.UNTIL)
    words = data_access.WINDOWS[period].words
    if until is not None:
        length = words.removeprefix("in the last ")
        words = f"in the {length} to {widgets.when(until)}"
        st.button(f"Look at the present instead of {widgets.when(until)}", on_click=_now)
    return data.span(period, source, version, until), words, reference


def _version() -> str | None:
    """Let the viewer choose a model version where the last window had several."""
    seen: Sequence[str] = st.session_state.get("versions", ())
    if len(seen) < 2:
        return None
    return st.selectbox(
        "Model", [None, *seen], format_func=lambda v: v or "All versions", key="version", width=180
    )


def _now() -> None:
    st.query_params.pop(drift_history.UNTIL, None)


def compared(of: Span, reference: str) -> Comparison:
    """Compare the window, and remember which model versions answered in it."""
    found = data.comparison(of, reference)
    if of.version is None:
        st.session_state["versions"] = found.current.versions
    return found


def verdict(found: Comparison | None, of: Span, period: str, reference: str) -> None:
    """Draw the page's one sentence, and what it rests on."""
    result = found.result if found is not None else None
    begun = drift_history.since_when(data.history(of.source))
    st.title(texts.verdict(result, of.source, period, begun), anchor=False)
    if found is None or not found.current.n:
        widgets.calm(texts.NOTHING_TITLE, texts.NOTHING)
        return
    said = [texts.compared_with(reference, found.reference.n)]
    if found.result.method == "counts":
        said.append(texts.SAMPLED)
    if not found.current.exact:
        said.append(texts.NOT_EXACT)
    st.caption(" ".join(said))
    with st.container(horizontal=True):
        label = f"See the {numbers.times(found.current.n, 'prediction')} behind this →"
        login.page_link("predictions", label, drift_history.rows_of(of.since, of.until, of.source))


def ranked(found: Comparison) -> None:
    """Draw all findings, the most certain change first; a click on a bar chooses it."""
    with widgets.card("What changed, and how far"):
        st.caption(texts.RANKED_NOTE)
        order = [f.name for f in charts.ranked_features(found.result)]
        st.plotly_chart(
            charts.ranked(found.result), height=520, key="ranked",
            on_select=lambda: _choose(order), selection_mode="points",
            config={"displayModeBar": False},
            alt="Adjusted p-value and effect of each finding, the smallest p-value on top",
        )  # fmt: skip


def _choose(order: Sequence[str]) -> None:
    points = st.session_state["ranked"]["selection"]["points"]
    if points:
        st.session_state["feature"] = order[points[0]["point_index"]]


def feature(found: Comparison) -> None:
    """Draw one finding: reference against window, and everything that was measured."""
    order = [f.name for f in charts.ranked_features(found.result)]
    with widgets.card("One finding"):
        if st.session_state.get("feature") not in order:
            st.session_state["feature"] = order[0]
        name = st.selectbox("Finding", order, format_func=texts.label, key="feature", width=320)
        halves = st.grid(2, min_column_width=420, gap="medium")
        with halves.cell():
            figure = charts.distribution(
                BY_NAME[name], found.reference.counts[name], found.current.counts[name]
            )
            said = f"Shares of the values of {texts.label(name)}, reference and window"
            widgets.over_time(figure, said, 380, "distribution")
        with halves.cell():
            st.table(
                dict(texts.numbers_of(found.result.features[name])),
                border="horizontal",
                alt=f"What was measured of {texts.label(name)}",
            )


def pairs(found: Comparison) -> None:
    """Draw the pairs of findings that changed most."""
    with widgets.card("How findings go together"):
        st.caption(texts.PAIRS_NOTE)
        shown = found.result.pairs[:5]
        if not shown:
            st.markdown("Pairs were not tested: there are too few patients.")
            return
        st.table(
            {
                "Findings": [texts.join_labels((p.a, p.b)) for p in shown],
                "Reference": [f"{p.correlation_reference:+.2f}" for p in shown],
                "Window": [f"{p.correlation_current:+.2f}" for p in shown],
                "Verdict": [
                    f"{'changed' if p.drift else 'no change seen'}, {texts.p_value(p.p_adjusted)}"
                    for p in shown
                ],
            },
            border="horizontal",
            hide_index=True,
            alt="The five pairs of findings that are hardest to explain by chance",
        )


def risk(found: Comparison) -> None:
    """Draw how much the predicted risk moved."""
    with widgets.card("What it does to the predicted risk"):
        if not len(found.reference.probability) or not len(found.current.probability):
            st.markdown("The reference has no predicted risk to compare with.")
            return
        st.markdown(texts.risk(*found.risk))
        st.caption(texts.RISK_NOTE)
        figure = charts.risk(found.reference.probability, found.current.probability)
        widgets.over_time(figure, "Predicted risk of reference and window", 300, "risk")


def table(found: Comparison) -> None:
    """Draw every figure of the comparison, and offer it as CSV."""
    with widgets.card("All findings"):
        frame = found.result.frame()
        shown = frame.assign(feature=[texts.label(name) for name in frame["feature"]])
        shown = shown.rename(columns=texts.COLUMNS)[list(texts.COLUMNS.values())]
        st.dataframe(
            shown, hide_index=True, height=38 + 35 * len(shown), key="findings",
            column_config={
                words: st.column_config.NumberColumn(format="%.3f")
                for words in shown.select_dtypes("float").columns
            },
            alt="Every finding with its p-values and effect sizes; the CSV file has the same",
        )  # fmt: skip
        st.download_button(
            "Download CSV", frame.to_csv(index=False).encode(),
            file_name="cardiowatch-drift.csv", mime="text/csv", on_click="ignore",
        )  # fmt: skip


def trust(found: Mapping[str, Any] | None) -> None:
    """Draw how often the test is wrong, on simulated windows."""
    with widgets.card("How far can this be trusted?"):
        st.caption(trust_texts.NOTE)
        if found is None:
            st.markdown(trust_texts.NOT_CALIBRATED)
            return
        st.markdown(trust_texts.trust(found))
        st.dataframe(
            pd.DataFrame(trust_texts.rows(found)), hide_index=True, key="calibration",
            alt="Share of simulated windows that alarm, unchanged and changed",
        )  # fmt: skip
