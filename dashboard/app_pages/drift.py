"""Drift: have the patients changed; what, how far, since when, and what it does to the risk."""

import streamlit as st

from dashboard import drift_classifier_panel, drift_data, drift_days, drift_panels, widgets
from dashboard.texts import drift as texts

with widgets.reading_the_log("Drift"):
    top = st.container()
    chosen = drift_panels.controls()
    if chosen is None:
        with top:
            widgets.heading("Drift", texts.LEAD)
        widgets.empty_log()
    else:
        span, period, reference = chosen
        found = drift_panels.compared(span, reference)
        with top:
            drift_panels.verdict(found, span, period, reference)
        drift_days.story(span)
        if found.current.n:
            drift_panels.ranked(found)
            drift_panels.feature(found)
            drift_panels.risk(found)
            drift_panels.pairs(found)
        drift_days.history(span)
        if found.current.n:
            drift_classifier_panel.classifier(found, span, reference)
            drift_panels.table(found)
        drift_panels.trust(drift_data.calibration())
