"""Load tests: what a run showed, beside what others would build, and run over run."""

import streamlit as st

from dashboard import bench_panels, load, widgets

with widgets.reading_the_log("Load tests"):
    runs, unreadable = load.load_tests()
    if runs:
        top = st.container()
        with st.container(horizontal=True, vertical_alignment="bottom", gap="medium"):
            made, run = bench_panels.chosen(runs)
            scenario = bench_panels.connections(run)
        with top:
            bench_panels.verdict(made, run)
        bench_panels.beside(scenario)
        bench_panels.more(run)
        bench_panels.history(runs)
        bench_panels.open_loop(run)
        bench_panels.table(made, run)
    else:
        bench_panels.nothing(unreadable=bool(unreadable))
