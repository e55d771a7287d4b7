"""Drift: verdict, features, prediction drift, correlations, history, classifier test."""

import streamlit as st

from dashboard.pages.drift import data, panels, texts
from dashboard.pages.drift import history as drift_history
from dashboard.shared import widgets

with widgets.log_errors_shown("Drift"):
    top = st.container()
    chosen = panels.controls()
    if chosen is None:
        with top:
            widgets.heading("Drift", texts.LEAD)
        widgets.empty_log()
    else:
        window, phrase, reference = chosen
        found = panels.compared(window, reference, top)
        if found is not None:
            with top:
                panels.verdict(found, window, phrase, reference)
        drift_history.scenario(window)
        if found is not None and found.current.n:
            panels.features_by_significance(found)
            panels.feature_detail(found)
            panels.prediction_drift(found)
            panels.correlations(found)
        drift_history.history(window)
        if found is not None and found.current.n:
            panels.feature_table(found, window)
        panels.calibration_note(data.calibration())
        if found is not None and found.current.n:  # last: it takes a second
            panels.classifier(found, window, reference)
