"""Explanations: global feature importance in training and now, then single predictions."""

import streamlit as st

from dashboard.pages.explanations import data, panels
from dashboard.shared import scorecards, widgets

with widgets.log_errors_shown("Explanations"):
    top = st.container()
    n = widgets.row_limit_selector()
    model = scorecards.current_model()
    fitted, logged = data.global_importance(model, n) if model else (None, None)
    shown = fitted or logged
    if shown is None:
        with top:
            panels.nothing_to_explain()
    else:
        with top:
            panels.verdict(fitted, logged, n)
        panels.global_importance(fitted, logged)
        panels.importance_table(fitted, logged)
        panels.challengers(shown)
        panels.predictions(n)
