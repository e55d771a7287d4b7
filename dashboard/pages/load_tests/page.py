"""Load tests: what a run showed, beside what others would build, and run over run."""

import streamlit as st

from dashboard.pages.load_tests import data, panels
from dashboard.shared import widgets

with widgets.reading_the_log("Load tests"):
    runs, unreadable = data.load_tests()
    scaled = data.autoscaling()
    if runs:
        top = st.container()
        with st.container(horizontal=True, vertical_alignment="bottom", gap="medium"):
            made, run = panels.chosen(runs)
            scenario = panels.connections(run)
        with top:
            panels.verdict(made, run)
        panels.beside(scenario)
        panels.more(run)
        panels.history(runs)
        panels.open_loop(run)
        panels.table(made, run)
    else:
        panels.nothing(unreadable=bool(unreadable))
    panels.autoscaling(scaled)
