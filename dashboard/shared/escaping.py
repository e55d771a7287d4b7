"""Text that was stored or sent by others, for the two places that read a markup of their own."""

from __future__ import annotations

import html
import re

_PUNCTUATION = re.compile(r"[!-/:-@\[-`{-~]")
"""In ASCII; a backslash before it takes away whatever it would mean."""
_ADDRESS = re.compile(r"(?<=https:)(?=//)|(?<=http:)(?=//)|(?<=www)(?=\.)|(?<=@)", re.IGNORECASE)
"""Where an address becomes a link by itself; backslashes do not keep it from that."""
_JOINER = "\u2060"  # without width, and no line is broken there


def escape_markdown(text: str) -> str:
    """Return text that Markdown shows as it is, in one line: no link, no picture, no formula."""
    return _PUNCTUATION.sub(r"\\\g<0>", _ADDRESS.sub(_JOINER, _one_line(text)))


def escape_plotly(text: str) -> str:
    """Return text that a Plotly figure shows as it is, in one line: no tag, no template."""
    return html.escape(_one_line(text), quote=False).replace("%{", "%&#123;")


def _one_line(text: str) -> str:
    return re.sub(r"[\r\n]+", " ", text.strip())
