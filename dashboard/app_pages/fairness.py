"""Fairness: do the predictions treat groups alike? A sentence, the gaps, then all numbers."""

import streamlit as st

from dashboard import gap_panels, patients, widgets

with widgets.reading_the_log("Fairness"):
    top = st.container()
    whose, attribute = gap_panels.choices()
    of = gap_panels.chosen(whose)
    if of is None:
        with top:
            gap_panels.nothing(whose)
    else:
        found = patients.assessment(of, attribute)
        grouping = found.groupings[attribute]
        with top:
            gap_panels.verdict(found, grouping, of.source)
        gap_panels.gaps(grouping)
        gap_panels.rates(grouping)
        gap_panels.differences(grouping)
        if whose == "training":
            gap_panels.tradeoff(of, attribute)
        gap_panels.tables(found, grouping)
