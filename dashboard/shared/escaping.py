"""Escapes stored or received text for Markdown and for Plotly."""

from __future__ import annotations

import html
import re

_PUNCTUATION = re.compile(r"[!-/:-@\[-`{-~]")
"""ASCII punctuation, which a backslash escapes."""
_ADDRESS = re.compile(r"(?<=https:)(?=//)|(?<=http:)(?=//)|(?<=www)(?=\.)|(?<=@)", re.IGNORECASE)
"""Where a bare address becomes a link; backslashes do not prevent that."""
_JOINER = "\u2060"  # zero width, no line break


def escape_markdown(text: str) -> str:
    """Return text that Markdown shows literally, in one line: no link, image or formula."""
    return _PUNCTUATION.sub(r"\\\g<0>", _ADDRESS.sub(_JOINER, _one_line(text)))


def escape_plotly(text: str) -> str:
    """Return text that Plotly shows literally, in one line: no tag, no template."""
    return html.escape(_one_line(text), quote=False).replace("%{", "%&#123;")


def _one_line(text: str) -> str:
    return re.sub(r"[\r\n]+", " ", text.strip())
