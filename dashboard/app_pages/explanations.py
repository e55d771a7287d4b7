"""Explanations: what the model goes by, in training and now; then one prediction."""

import streamlit as st

from dashboard import patients, widgets
from dashboard.explanations import panels

with widgets.reading_the_log("Explanations"):
    top = st.container()
    n = widgets.newest()
    model = patients.model_in_use()
    fitted, logged = patients.going_by(model, n) if model else (None, None)
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
