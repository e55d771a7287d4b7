"""Patient: enter findings, read the estimated risk, compare with a changed patient."""

import streamlit as st

from dashboard.pages.patient import form, panels, texts
from dashboard.shared import widgets
from dashboard.shared.prediction import panels as prediction_panels

widgets.heading("Patient", texts.LEAD)

with st.grid(2, min_column_width=460, gap="large") as halves:
    entry, result = halves.cell(), halves.cell()

with entry:
    sent, said = form.patient_form(
        "patient", submit="Estimate risk", forget=("estimate", "comparison")
    )

with said:
    found = panels.request_prediction("estimate", sent, "live")
    if found is not None:
        st.info(texts.estimate_summary(found.probability, found.interval))

with result:
    if found is not None:
        prediction_panels.estimated_risk(found)
    else:
        widgets.notice(texts.NO_ESTIMATE_TITLE, texts.NO_ESTIMATE)

if found is not None:
    prediction_panels.explanation(found)
    panels.what_if(found)
