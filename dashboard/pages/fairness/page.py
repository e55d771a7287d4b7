"""Fairness: do error rates differ between groups? A verdict, the gaps, then all numbers."""

import streamlit as st

from dashboard.pages.fairness import data, panels
from dashboard.shared import widgets

with widgets.log_errors_shown("Fairness"):
    top = st.container()
    whose, of, attribute = panels.controls()
    if of is None:
        with top:
            panels.no_predictions(whose)
    else:
        found = data.assessment(of, attribute)
        grouping = found.groupings[attribute]
        with top:
            panels.verdict(found, grouping, of)
        panels.gaps(grouping)
        panels.rates_by_group(grouping)
        panels.fairness_metrics(grouping)
        if whose == "training":
            panels.threshold_simulation(of, attribute)
        panels.tables(found, grouping, of)
