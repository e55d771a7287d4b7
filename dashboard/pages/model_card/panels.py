"""The panels of the Model card page."""

from __future__ import annotations

import streamlit as st

from dashboard.pages.model_card import charts, texts
from dashboard.pages.model_card.document import html
from dashboard.pages.model_card.sections import Card, Incomplete, Section, card
from dashboard.shared import data_access, widgets
from dashboard.shared.escaping import markdown


def found() -> Card | None:
    """Return the card of the model in service; None and a calm screen where there is none."""
    known = data_access.model()
    if known is None:
        widgets.heading(texts.TITLE, texts.LEAD)
        widgets.no_model(texts.NOTHING_TITLE, texts.NOTHING)
        return None
    try:
        return card(known)
    except Incomplete:
        widgets.heading(texts.TITLE, texts.LEAD)
        widgets.calm(texts.NOTHING_TITLE, texts.INCOMPLETE)
        return None


def verdict(of: Card) -> None:
    """Draw the page's one sentence, what is estimated, and the download."""
    st.caption(markdown(texts.about(of.version)))
    st.title(of.verdict, anchor=False)
    st.markdown(texts.ESTIMATES)
    with st.container(horizontal=True, vertical_alignment="center"):
        st.download_button(
            texts.DOWNLOAD,
            html(of).encode(),
            file_name=f"cardiowatch-model-{of.version}.html",
            mime="text/html",
            on_click="ignore",
            key="download_card",
        )
        st.caption(texts.DOWNLOAD_NOTE)


def sections(of: Card) -> None:
    """Draw every section: words, picture, points, table."""
    for number, section in enumerate(of.sections):
        _section(section, f"section_{number}")


def _section(of: Section, key: str) -> None:
    with widgets.card(of.title):
        st.markdown(markdown(of.text))
        if of.picture:
            figure, height = charts.draw(of.picture)
            widgets.over_time(figure, of.picture.alt, height, key)
        if of.points:
            st.markdown("\n".join(f"- {markdown(point)}" for point in of.points))
        if of.table:
            rows = [{markdown(k): markdown(v) for k, v in row.items()} for row in of.table]
            widgets.table(rows, of.title)
        if of.note:
            st.caption(markdown(of.note))
