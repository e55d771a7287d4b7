"""Components of our own: HTML made here, a script and a style sheet of `dashboard/assets`.

The files are served by Streamlit under `/_stcore/bidi-components/`, so the content security policy
needs no exception; Streamlit would load scripts given as text from `blob:` addresses.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import streamlit as st
from streamlit.components.v2.get_bidi_component_manager import get_bidi_component_manager
from streamlit.components.v2.manifest_scanner import ComponentConfig, ComponentManifest

_PACKAGE = "cardiowatch"
_DASHBOARD = Path(__file__).parents[1]


class Component:
    """One component; what it sends is a mapping, each message on its own."""

    def __init__(self, name: str, html: str, script: str, style: str | None = None) -> None:
        self._name = name
        self._html, self._script, self._style = html, script, style

    def draw(
        self,
        key: str,
        data: Mapping[str, Any],
        on_message: Callable[[dict[str, Any]], None] | None = None,
    ) -> None:
        """Draw it with data that its script receives, again whenever they change."""
        manager = get_bidi_component_manager()
        full_name = f"{_PACKAGE}.{self._name}"
        if manager.get_component_asset_root(full_name) is None:
            files = ComponentConfig(self._name, "assets")
            manager.register_from_manifest(ComponentManifest(_PACKAGE, "", [files]), _DASHBOARD)
        mount = st.components.v2.component(
            full_name, html=self._html, js=self._script, css=self._style, isolate_styles=False
        )

        def heard(kind: str) -> None:
            message = st.session_state[key].get(kind)
            if on_message is not None and isinstance(message, dict):
                on_message(message)

        # What is told as state still arrives with the message that opens another page; a trigger
        # alone does not. A trigger comes again when nothing changed.
        mount(
            key=key,
            data=dict(data),
            on_entries_change=partial(heard, "entries"),
            on_message_change=partial(heard, "message"),
        )
