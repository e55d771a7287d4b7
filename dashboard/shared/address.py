"""Choices that stand in the address and stay for a visit, on every page that offers them.

Streamlit's own binding drops a parameter on the way to a page that shares it.
"""

from __future__ import annotations

from collections.abc import Mapping

import streamlit as st

from dashboard.shared.escaping import escape_markdown

_WRITTEN, _KEPT, _MISTAKEN = "address_written", "address_kept", "address_mistaken"
_OTHERS = frozenset({"id", "before", "since", "until", "columns", "threshold", "feature"})
"""Parameters that pages read by themselves, or that Streamlit binds."""


def open_page(name: str) -> None:
    """Let the widgets of a page that was just opened take their values from its address."""
    if st.session_state.get("page") != name:
        for key in st.session_state.get(_WRITTEN, ()):
            st.session_state.pop(key, None)
        st.session_state["page"], st.session_state[_WRITTEN] = name, {}
    st.session_state[_MISTAKEN] = set()


def seed(key: str, labels: Mapping[str, str]) -> None:
    """Give a widget that is about to be drawn what the address says, else what was chosen before.

    Parameters
    ----------
    key : str
        Of the widget, and name of the parameter.
    labels : mapping
        Choice -> the words for it, which the address holds.
    """
    written, asked = st.session_state.setdefault(_WRITTEN, {}), st.query_params.get(key)
    if key in written and written[key] == asked:
        return
    written[key] = asked
    found = next((choice for choice, label in labels.items() if label == asked), None)
    if found is None:
        if asked is not None:
            mistaken(key)
        found = st.session_state.get(_KEPT, {}).get(key)
    if found in labels:
        st.session_state[key] = found
    else:
        st.session_state.pop(key, None)


def keep(key: str, chosen: str, labels: Mapping[str, str], default: str) -> str:
    """Write a choice that is not the default into the address, and keep it; return it."""
    kept = st.session_state.setdefault(_KEPT, {})
    if chosen != default or key in kept:
        kept[key] = chosen
    label = None if chosen == default else labels[chosen]
    if label is None:
        st.query_params.pop(key, None)
    elif st.query_params.get(key) != label:
        st.query_params[key] = label
    st.session_state[_WRITTEN][key] = label
    return chosen


def mistaken(name: str) -> None:
    """Remove a parameter with a value that the page does not know; `notice` says so."""
    st.query_params.pop(name, None)
    st.session_state.setdefault(_MISTAKEN, set()).add(name)


def notice() -> str | None:
    """Return which parameters of the address were ignored; None = none. After the page's run."""
    unknown = {*st.query_params} - {*st.session_state.get(_WRITTEN, ())} - _OTHERS
    wrong = unknown | st.session_state.get(_MISTAKEN, set())
    if not wrong:
        return None
    names = escape_markdown(", ".join(sorted(name[:40] for name in wrong)))
    return f"Ignored in the address, because this page does not know it: {names}."
