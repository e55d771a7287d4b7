"""What Streamlit runs for every page: the frame, the navigation, then the chosen page."""

from pathlib import Path

import streamlit as st

from dashboard.auth import login
from dashboard.auth import texts as auth_texts
from dashboard.navigation import APP, PAGES
from dashboard.shared import address, widgets
from dashboard.shared import texts as shared_texts

ASSETS = Path(__file__).parents[1] / "assets"
WIDTH = 1240
"""Pixels; wider lines are hard to read."""

st.set_page_config(
    page_icon=str(ASSETS / "icon.svg"), layout="wide", menu_items={"About": shared_texts.ABOUT}
)
st.logo(str(ASSETS / "logo.svg"), size="large")
allowed = login.allowed_pages()
# No icons here: for an icon of a page the browser would fetch a picture from another host. Hidden
# pages, because Streamlit covers a login with a dialog where it knows no page of an address.
pages = {
    name: st.Page(
        f"{name}/page.py", title=title, url_path=address or name,
        default=not address, visibility="visible" if name in allowed else "hidden",
    )
    for name, (title, address) in PAGES.items()
}  # fmt: skip
page = st.navigation(list(pages.values()), position="top")
is_allowed = any(pages[name] is page for name in allowed)
title = page.title if is_allowed else auth_texts.NO_ACCESS_TITLE if allowed else auth_texts.SIGN_IN
st.set_page_config(page_title=f"{title} · {APP}")
st.html(ASSETS / "style.css")
with st.container(horizontal_alignment="center"), st.container(width=WIDTH):
    if is_allowed:
        top = st.container(key="ignored")
        address.open_page(page.url_path)
        widgets.standby_note()
        page.run()
        widgets.zone_switch()
        if ignored := address.notice():
            top.warning(ignored)
    else:
        login.access_denied()
    if allowed:
        login.logout_button()
