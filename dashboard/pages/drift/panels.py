"""The panels of the Drift page: controls, verdict, features, correlations, prediction drift."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from dashboard.auth import login
from dashboard.pages.drift import charts, data, texts
from dashboard.pages.drift import history as drift_history
from dashboard.pages.drift.data import Comparison, Window
from dashboard.shared import cohort, data_access, numbers, widgets
from dashboard.shared import reference as references
from dashboard.shared.cohort import Cohort
from pipeline.model import ModelError
from pipeline.model.reference import no_rows
from pipeline.schema import BY_NAME


def controls() -> tuple[Window, str, str] | None:
    """Return the chosen window and reference; None = an empty log.

    Returns
    -------
    tuple
        The window, its length as "in the last 24 hours", and the reference.
    """
    with st.container(horizontal=True, vertical_alignment="bottom", gap="medium"):
        period = widgets.window_selector("24h")
        source = widgets.source_selector()
        reference = widgets.select(
            "Reference", texts.REFERENCES, data.TRAINING_DATA, "reference", width=200
        )
        whose = cohort.selector(source, by_key=False) if source else cohort.ALL
    if source is None:
        return None
    alpha = _alpha(whose)
    until = widgets.time_parameter(drift_history.UNTIL)
    phrase = data_access.WINDOWS[period].phrase
    if until is not None:
        length = phrase.removeprefix("in the last ")
        phrase = f"in the {length} to {widgets.format_time(until)}"
        st.button("Back to the current window", on_click=_now)
    window = data.make_window(period, source, whose.version, until)
    return replace(window, cohort=whose, alpha=alpha), phrase, reference


def _alpha(whose: Cohort) -> float:
    """Return the significance level: that of all cohorts of this visit together stays the same."""
    if not whose.groups:
        return data.Window.alpha
    looked_at = cohort.looked_at(whose)
    alpha = data.Window.alpha / looked_at
    st.markdown(texts.cohort_alpha(whose.words, looked_at, alpha))
    return alpha


def _now() -> None:
    st.query_params.pop(drift_history.UNTIL, None)


def compared(of: Window, reference: str, top: DeltaGenerator) -> Comparison | None:
    """Compare the window; None = no reference, said on top."""
    try:
        found = data.comparison(of, reference)
    except ModelError as error:
        with top:
            widgets.heading("Drift", texts.LEAD)
            why = f"{references.said(error)} Or choose “Previous window” above."
            widgets.notice("No training data to compare with", why)
        return None
    return found


def verdict(found: Comparison, of: Window, phrase: str, reference: str) -> None:
    """Draw the verdict and its data."""
    begun = drift_history.drifted_since(data.history(of.source))
    st.title(texts.verdict(found.result, found.current.n, of.source, phrase, begun), anchor=False)
    if not found.current.n:
        widgets.notice(texts.NOTHING_TITLE, texts.NOTHING)
        return
    if reference == data.TRAINING_DATA:
        (version,) = found.reference.versions
        statement = references.of_version(version).population.statement()
        said = [texts.training_data(statement, version, found.current.versions)]
    else:
        said = [texts.previous_window(found.reference.n, found.current.versions)]
    if found.result.method == "counts" and found.reference.rows is not None:
        said.append(texts.SAMPLED)
    said += texts.notes(found.result)
    if not found.current.exact:
        said.append(texts.NOT_EXACT)
    st.caption(" ".join(said))
    with st.container(horizontal=True):
        label = f"View {numbers.count_noun(found.current.n, 'prediction')} →"
        rows = drift_history.prediction_filter(of.since, of.until, of.source)
        login.page_link("predictions", label, rows)


def features_by_significance(found: Comparison) -> None:
    """Draw all findings, the smallest p-value first; a click on a bar chooses it."""
    with widgets.card("Drift by finding: significance and effect size"):
        st.caption(texts.SIGNIFICANCE_NOTE)
        order = [f.name for f in charts.ranked_features(found.result)]
        st.plotly_chart(
            charts.significance_bars(found.result), height=520, key="ranked",
            on_select=lambda: _choose(order), selection_mode="points",
            config={"displayModeBar": False},
            alt="Adjusted p-value and effect size of each finding, the smallest p-value on top",
        )  # fmt: skip


def _choose(order: Sequence[str]) -> None:
    points = st.session_state["ranked"]["selection"]["points"]
    if points:
        st.session_state["feature"] = order[points[0]["point_index"]]


def feature_detail(found: Comparison) -> None:
    """Draw one finding: its distribution in reference and window, and all statistics."""
    order = [f.name for f in charts.ranked_features(found.result)]
    with widgets.card("Distribution of one finding"):
        if st.session_state.get("feature") not in order:
            st.session_state["feature"] = order[0]
        name = st.selectbox("Finding", order, format_func=texts.label, key="feature", width=320)
        figure = charts.distribution(
            BY_NAME[name], found.reference.counts[name], found.current.counts[name]
        )
        halves = st.grid(2, min_column_width=420, gap="medium")
        with halves.cell():
            said = f"Distribution of {texts.label(name)}, reference and window"
            widgets.plotly_chart(figure, said, 380, "distribution")
        with halves.cell():
            statistics = dict(texts.statistics_rows(found.result.features[name]))
            said = f"Drift statistics of {texts.label(name)}"
            st.table(statistics, border="horizontal", alt=said)


def correlations(found: Comparison) -> None:
    """Draw the pairs of findings with the smallest p-values."""
    with widgets.card("Correlations between findings"):
        st.caption(texts.CORRELATIONS_NOTE)
        shown = found.result.pairs[:5]
        if not shown:
            few = "Correlations were not tested: too few patients."
            st.markdown(few if found.reference.rows is not None else no_rows("correlations"))
            return
        rows = [
            {
                "Findings": texts.join_labels((pair.a, pair.b)),
                "Reference": numbers.signed(pair.correlation_reference),
                "Window": numbers.signed(pair.correlation_current),
                "Verdict": f"{'drift' if pair.drift else 'no drift detected'}, "
                f"{numbers.p_value(pair.p_adjusted)}",
            }
            for pair in shown
        ]
        widgets.table(rows, "The five pairs of findings with the smallest adjusted p-values")


def prediction_drift(found: Comparison) -> None:
    """Draw the estimated risk in reference and window."""
    with widgets.card("Prediction drift: estimated risk"):
        if not len(found.reference.probability) or not len(found.current.probability):
            st.markdown("No estimated risks are available for comparison.")
            return
        st.markdown(texts.prediction_drift(*found.risk))
        st.caption(texts.RISK_NOTE)
        figure = charts.risk_distribution(found.reference.probability, found.current.probability)
        widgets.plotly_chart(figure, "Estimated risk of reference and window", 300, "risk")
        if found.shares is None:
            return
        st.markdown("**What changed the mean risk**")
        st.caption(texts.RISK_SHARES_NOTE)
        steps = charts.risk_steps(found.shares.probability)
        ends = found.shares.reference, found.shares.current  # by one model, whoever scored the log
        waterfall = charts.risk_waterfall(*ends, steps)
        widgets.plotly_chart(waterfall, texts.risk_steps(steps), 360, "risk_shares")


def classifier(found: Comparison, of: Window, reference: str) -> None:
    """Draw the result of the domain classifier, its ROC curve and its importances."""
    with widgets.card("Domain classifier test"):
        st.caption(texts.CLASSIFIER_NOTE)
        if found.reference.rows is None or found.current.rows is None:
            st.markdown(no_rows("the domain classifier test"))
            return
        result = data.classification(of, reference)
        st.markdown(texts.classifier(result))
        if result.enough_data:
            roc = charts.roc_curve(result.roc)
            importance = charts.permutation_importance(result.importances)
            said = "Permutation importance of the classifier"
            widgets.side_by_side(
                360,
                [
                    ("ROC curve", roc, "Cross-validated ROC curve", "roc"),
                    ("Permutation importance", importance, said, "importances"),
                ],
            )


def feature_table(found: Comparison, of: Window) -> None:
    """Draw all statistics of the comparison, with a CSV download."""
    with widgets.card("All findings"):
        frame = found.result.frame()
        verdicts = ["drift" if drifted else "no" for drifted in frame["drift"]]
        labels = [texts.label(name) for name in frame["feature"]]
        shown = frame.assign(feature=labels, drift=verdicts)
        shown = shown.rename(columns=texts.COLUMNS)[list(texts.COLUMNS.values())]
        st.dataframe(
            shown, hide_index=True, height=38 + 35 * len(shown), key="findings", placeholder="–",
            column_config={
                words: st.column_config.NumberColumn(format="%.3f")
                for words in shown.select_dtypes("float").columns
            },
            alt="All findings with p-values and effect sizes; also in the CSV file",
        )  # fmt: skip
        name = f"drift-{of.source}-{of.since:%Y%m%dT%H%MZ}-to-{of.until:%Y%m%dT%H%MZ}"
        widgets.csv_download("Download CSV", frame, name)


def calibration_note(found: Mapping[str, Any] | None) -> None:
    """Draw the false positive rate and power of the test on simulated windows."""
    with widgets.card("False positive rate and power of the drift test"):
        st.caption(texts.CALIBRATION_NOTE)
        if found is None:
            st.markdown(texts.NOT_CALIBRATED)
            return
        st.markdown(texts.calibration(found))
