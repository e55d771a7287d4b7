"""Fairness: do the predictions treat groups alike? A sentence, the gaps, then all numbers."""

import streamlit as st

from dashboard.pages.fairness import data, panels
from dashboard.shared import widgets

with widgets.reading_the_log("Fairness"):
    top = st.container()
    whose, attribute = panels.choices()
    of = panels.chosen(whose)
    if of is None:
        with top:
            panels.nothing(whose)
    else:
        found = data.assessment(of, attribute)
        grouping = found.groupings[attribute]
        with top:
            panels.verdict(found, grouping, of.source)
        panels.gaps(grouping)
        panels.rates(grouping)
        panels.differences(grouping)
        if whose == "training":
            panels.tradeoff(of, attribute)
        panels.tables(found, grouping)
