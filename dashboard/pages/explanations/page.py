"""Explanations: what the model goes by, in training and now; then one prediction."""

import streamlit as st

from dashboard.pages.explanations import data, panels
from dashboard.shared import scorecards, widgets

with widgets.reading_the_log("Explanations"):
    top = st.container()
    n = widgets.newest()
    model = scorecards.model_in_use()
    fitted, logged = data.going_by(model, n) if model else (None, None)
    shown = fitted or logged
    if shown is None:
        with top:
            panels.nothing()
    else:
        with top:
            panels.verdict(fitted, logged, n)
        panels.picture(fitted, logged)
        panels.readings(fitted, logged)
        panels.other_models(shown)
        panels.predictions(n)
