"""What Streamlit runs for every page: the frame, the navigation, then the chosen page."""

from pathlib import Path

import streamlit as st

from dashboard import login
from dashboard.texts import general

BRAND = Path(__file__).with_name("brand")
WIDTH = 1240
"""Pixels; wider lines are hard to read."""

st.set_page_config(
    page_icon=str(BRAND / "icon.svg"), layout="wide", menu_items={"About": general.ABOUT}
)
st.logo(str(BRAND / "logo.svg"), size="large")
# No icons here: for an icon of a page the browser would fetch a picture from another host.
pages = {
    "overview": st.Page("app_pages/overview.py", title="Overview", default=True),
    "patient": st.Page("app_pages/patient.py", title="Patient"),
    "predictions": st.Page("app_pages/predictions.py", title="Predictions"),
    "explanations": st.Page("app_pages/explanations.py", title="Explanations"),
    "fairness": st.Page("app_pages/fairness.py", title="Fairness"),
    "drift": st.Page("app_pages/drift.py", title="Drift"),
    "poisoning": st.Page("app_pages/poisoning.py", title="Poisoning"),
    "load_tests": st.Page("app_pages/load_tests.py", title="Load tests", url_path="load-tests"),
    "model_card": st.Page("app_pages/model_card.py", title="Model card", url_path="model"),
}
allowed = login.allowed_pages()
page = st.navigation(
    [each for name, each in pages.items() if name in allowed]
    or [st.Page(login.ask_for_login, title="Log in")],
    position="top",
)
st.set_page_config(page_title=f"{page.title} · {general.APP}")
st.html(BRAND / "style.css")
with st.container(horizontal_alignment="center"), st.container(width=WIDTH):
    page.run()
    if allowed:
        login.offer_logout()
