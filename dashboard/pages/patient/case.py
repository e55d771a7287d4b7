"""The patient being entered: kept in the server's memory of this visit, and nowhere else."""

from __future__ import annotations

import secrets
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import streamlit as st

from dashboard.shared.prediction import entries
from dashboard.shared.prediction.panels import Prediction
from pipeline.schema import FEATURES

IDLE_S = 15 * 60
"""Seconds without a sign of the person, after which everything of the patient is cleared."""

REFERENCE = "reference"
_NAMES = frozenset(
    {REFERENCE, *(f.name for f in FEATURES), *map(entries.unit_of, FEATURES)}
)  # fmt: skip
_MAX_LENGTH = 64
"""Characters of an entry; a patient reference may have so many."""


def _random() -> str:
    return secrets.token_urlsafe(16)


@dataclass
class Case:
    """What is entered in a form, and what was last estimated from it.

    `key` keeps a repeated request from logging the patient twice. It is random and renewed with
    every changed entry, so that two patients with equal findings are two rows.
    """

    entries: dict[str, str] = field(default_factory=dict)
    cleared: bool = False
    """Whether it follows a cleared one; otherwise the visit has just begun."""
    id: str = field(default_factory=_random)
    key: str = field(default_factory=_random)
    revision: int = 0
    """Counts the changes of entries."""
    asked: bool = False
    """Whether an estimate was requested and is not answered yet."""
    answers: int = 0
    said: str = ""
    """The last answer in one sentence, beside the button."""
    refused: dict[str, str] = field(default_factory=dict)
    """What the last answer refused, by finding."""
    estimate: Prediction | None = None
    estimated_revision: int | None = None
    """The revision of the entries that `estimate` is of."""
    changed: Case | None = None
    """The same patient with other findings ("What if")."""
    redraw: bool = False
    """Whether the page shows an older answer."""
    seen_at: float = field(default_factory=time.monotonic)

    def answer(self, said: str, refused: Mapping[str, str] | None = None) -> None:
        """Answer the request; without a new estimate, none stays."""
        self.estimate = self.estimated_revision = self.changed = None
        self.said, self.refused = said, dict(refused or {})
        self.asked, self.redraw = False, True
        self.answers += 1

    def hear(self, message: Mapping[str, Any]) -> None:
        """Take over what the form says: its entries, and whether an estimate is wanted."""
        self.seen_at = time.monotonic()
        sent = message.get("entries", {})
        heard = {
            name: str(text)[:_MAX_LENGTH] for name, text in sent.items() if name in _NAMES and text
        }
        revision = int(message.get("revision", 0))
        if (heard, revision) != (self.entries, self.revision):
            self.entries, self.revision, self.key = heard, revision, _random()
            self.refused = {}
        self.asked = self.asked or message.get("kind") == "estimate"


def current() -> Case:
    """Return the visit's patient; a new one after `IDLE_S` without a sign of the person."""
    case: Case | None = st.session_state.get("case")
    if case is None or time.monotonic() - case.seen_at > IDLE_S:
        return start(cleared=case is not None)
    return case


def start(*, cleared: bool = True) -> Case:
    """Begin a new patient; nothing of the last one stays."""
    st.session_state["case"] = case = Case(cleared=cleared, redraw=cleared)
    return case
