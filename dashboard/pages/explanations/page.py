"""Explanations: global feature importance in training and now, then single predictions."""

import streamlit as st

from dashboard.pages.explanations import data, panels
from dashboard.shared import cohort, scorecards, widgets

with widgets.log_errors_shown("Explanations"):
    top = st.container()
    with st.container(horizontal=True, vertical_alignment="bottom", gap="medium"):
        whose, rows = cohort.recent_predictions()
    model = scorecards.current_model()
    shown = data.global_importance(model, whose, rows) if model else {}
    cohort.size(whose)
    if shown:
        with top:
            panels.verdict(shown, whose.source, rows)
        panels.global_importance(shown)
        panels.importance_table(shown, whose.source)
        panels.challengers(shown)
        panels.predictions(rows)
    else:
        with top:
            panels.nothing_to_explain(rows)
