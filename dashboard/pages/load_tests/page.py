"""Load tests: throughput and latency beside baselines, scaling, trend, autoscaling."""

import streamlit as st

from dashboard.pages.load_tests import data, panels
from dashboard.shared import widgets

with widgets.log_errors_shown("Load tests"):
    runs, unreadable, note = data.load_tests()
    scaled = data.autoscaling()
    if runs:
        top = st.container()
        with st.container(horizontal=True, vertical_alignment="bottom", gap="medium"):
            made, run = panels.run_selector(runs)
            scenario = panels.connections(run)
        with top:
            panels.verdict(made, run, note)
        panels.short_run()
        panels.comparison(scenario)
        panels.scaling(run)
        panels.history(runs)
        panels.open_loop(run)
        panels.table(made, run)
    else:
        panels.no_load_tests(unreadable=bool(unreadable))
        panels.short_run()
    panels.autoscaling(scaled)
