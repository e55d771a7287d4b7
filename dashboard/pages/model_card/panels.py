"""The panels of the Model card page."""

from __future__ import annotations

import streamlit as st

from dashboard.pages.model_card import charts, texts
from dashboard.pages.model_card.document import render_html
from dashboard.pages.model_card.sections import EvidenceMissing, ModelCard, Section, build_card
from dashboard.shared import data_access, reference, widgets
from dashboard.shared.escaping import escape_markdown


def found() -> ModelCard | None:
    """Return the card of the model in service; None and a notice without one."""
    known = data_access.model_card()
    if known is None:
        widgets.heading(texts.TITLE, texts.LEAD)
        widgets.model_unavailable(texts.NOTHING_TITLE, texts.NOTHING)
        return None
    try:
        return build_card(known, reference.population(known))
    except EvidenceMissing:
        widgets.heading(texts.TITLE, texts.LEAD)
        widgets.notice(texts.NOTHING_TITLE, texts.INCOMPLETE)
        return None


def verdict(of: ModelCard) -> None:
    """Draw the verdict, what is estimated, and the download."""
    st.caption(escape_markdown(texts.subtitle(of.version)))
    st.title(of.verdict, anchor=False)
    st.markdown(texts.ESTIMATES)
    with st.container(horizontal=True, vertical_alignment="center"):
        name = f"model-{of.version}.html"
        widgets.download(texts.DOWNLOAD, render_html(of).encode(), name, "text/html")
        st.caption(texts.DOWNLOAD_NOTE)


def sections(of: ModelCard) -> None:
    """Draw every section: text, chart, points, table."""
    for number, section in enumerate(of.sections):
        _section(section, f"section_{number}")


def _section(of: Section, key: str) -> None:
    with widgets.card(of.title):
        st.markdown(escape_markdown(of.text))
        if of.chart:
            figure, height = charts.draw(of.chart)
            widgets.plotly_chart(figure, of.chart.alt, height, key)
        if of.points:
            st.markdown("\n".join(f"- {escape_markdown(point)}" for point in of.points))
        if of.table:
            rows = [
                {escape_markdown(k): escape_markdown(v) for k, v in row.items()} for row in of.table
            ]
            widgets.table(rows, of.title)
        if of.note:
            st.caption(escape_markdown(of.note))
