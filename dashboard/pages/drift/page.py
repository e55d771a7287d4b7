"""Drift: have the patients changed; what, how far, since when, and what it does to the risk."""

import streamlit as st

from dashboard.pages.drift import classifier, data, panels, texts
from dashboard.pages.drift import history as drift_history
from dashboard.shared import widgets

with widgets.reading_the_log("Drift"):
    top = st.container()
    chosen = panels.controls()
    if chosen is None:
        with top:
            widgets.heading("Drift", texts.LEAD)
        widgets.empty_log()
    else:
        span, period, reference = chosen
        found = panels.compared(span, reference)
        with top:
            panels.verdict(found, span, period, reference)
        drift_history.story(span)
        if found.current.n:
            panels.ranked(found)
            panels.feature(found)
            panels.risk(found)
            panels.pairs(found)
        drift_history.history(span)
        if found.current.n:
            classifier.classifier(found, span, reference)
            panels.table(found)
        panels.trust(data.calibration())
