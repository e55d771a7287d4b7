"""Patient: enter findings, read the estimated risk, compare with a changed patient."""

import streamlit as st

from dashboard.auth import login
from dashboard.pages.patient import case as visit
from dashboard.pages.patient import panels, texts
from dashboard.shared import data_access, widgets
from dashboard.shared.prediction import panels as prediction_panels

widgets.heading("Patient", texts.LEAD)
case = visit.current()
case.redraw = False

with st.grid(2, min_column_width=460, gap="large") as halves:
    entry, result = halves.cell(), halves.cell()

with entry:
    panels.entry("patient", "live")

with result:
    if case.estimate is not None:
        panels.changed_mark("patient")
        with st.container(key="patient_result"):
            prediction_panels.estimated_risk(case.estimate)
            st.caption(texts.asked_by(login.acting_user(), data_access.client().names_users))
            panels.response(case.estimate)
    else:
        widgets.notice(texts.NO_ESTIMATE_TITLE, texts.NO_ESTIMATE)

if case.estimate is not None:
    with st.container(key="patient_why"):
        prediction_panels.explanation(case.estimate)
        panels.curve(case.estimate)
    panels.what_if(case)
