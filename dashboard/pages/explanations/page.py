"""Explanations: global feature importance in training and now, then single predictions."""

import streamlit as st

from dashboard.pages.explanations import data, panels
from dashboard.shared import scorecards, widgets

with widgets.log_errors_shown("Explanations"):
    top = st.container()
    n = widgets.row_limit_selector()
    model = scorecards.current_model()
    shown = data.global_importance(model, n) if model else {}
    if shown:
        with top:
            panels.verdict(shown, n)
        panels.global_importance(shown)
        panels.importance_table(shown)
        panels.challengers(shown)
        panels.predictions(n)
    else:
        with top:
            panels.nothing_to_explain()
