"""The cohort that several pages read: groups, a model version, an API key; kept in the address.

Bands and categories only: no address holds a single patient's value.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import streamlit as st
from numpy.typing import NDArray

from dashboard.shared import data_access, widgets
from dashboard.shared.escaping import escape_markdown
from dashboard.shared.numbers import count_noun
from pipeline.fairness.groups import sensitive_groups
from pipeline.fairness.result import MIN_GROUP_SIZE
from pipeline.model.design_matrix import Array
from pipeline.schema import BY_NAME, SENSITIVE

_ALL = "All"
_LIMITS = {str(n): f"{n:,}" for n in (50, 100, 300, data_access.MAX_RECENT)}
_LOOKED_AT = "cohorts_looked_at"


@dataclass(frozen=True)
class Cohort:
    """Some of the predictions of a source; the source None = all."""

    source: str | None
    groups: tuple[tuple[str, str], ...] = ()
    """Feature and group in words, as ("age", "45-54")."""
    version: str | None = None
    key: str | None = None

    @property
    def words(self) -> str:
        """The choice in words, as "female, age 45-54"; empty = all patients."""
        said = [f"{name} {group}" if BY_NAME[name].bands else group for name, group in self.groups]
        said += [f"model {self.version}"] if self.version else []
        return ", ".join(said + ([f"API key {self.key}"] if self.key else []))

    @property
    def only(self) -> dict[str, Any]:
        """The choice as `Reader.page` takes it: a column's value, or from and below."""
        wanted: dict[str, Any] = {"model_version": self.version, "key_id": self.key}
        for name, group in self.groups:
            feature = BY_NAME[name]
            code = next(code for code, words in feature.groups.items() if words == group)
            ends = (feature.low, *feature.bands, feature.high + 1)
            wanted[name] = ends[code : code + 2] if feature.bands else code
        return {name: value for name, value in wanted.items() if value is not None}

    def mask(self, rows: Array) -> NDArray[np.bool_]:
        """Return which rows, UCI codes of shape (n, 13), belong to its groups; shape (n,)."""
        named = sensitive_groups(rows)
        inside = np.ones(len(rows), dtype=bool)
        for name, group in self.groups:
            inside &= named[name] == group
        return inside


ALL = Cohort(None)


def recent_predictions() -> tuple[Cohort, list[dict[str, Any]]]:
    """Draw the choice of a cohort and of how many of its newest predictions are read; return both.

    The source None = an empty log.
    """
    source = widgets.source_selector()
    if source is None:
        return ALL, []
    found = selector(source)
    n = int(widgets.choice_selector("Most recent predictions", _LIMITS, "1000", "newest"))
    return found, data_access.recent_predictions(source, n, found.only)


def size(found: Cohort) -> None:
    """Draw which cohort of how many patients is chosen, and whether they are too few."""
    if found.words:
        n = len(data_access.recent_predictions(found.source, only=found.only))
        most = "at least " * (n == data_access.MAX_RECENT)
        few = f" Too few to compare: at least {MIN_GROUP_SIZE} are needed." * (n < MIN_GROUP_SIZE)
        words = escape_markdown(found.words)
        st.markdown(f"Cohort: **{words}**, {most}{count_noun(n, 'prediction')}.{few}")


def selector(
    source: str | None, on_change: Callable[[], None] | None = None, *, by_key: bool = True
) -> Cohort:
    """Draw the choice of a cohort of a source's patients.

    Model versions and API keys are those of the most recent predictions.
    """
    recent = data_access.recent_predictions(source)
    with st.popover("Cohort", help="Sex, age band, model version and API key"):

        def choice(title: str, choices: Sequence[str], name: str) -> str | None:
            if not choices:
                return None
            labels = {choice: choice for choice in (_ALL, *choices)}
            chosen = widgets.select(title, labels, _ALL, name, on_change=on_change)
            return None if chosen == _ALL else chosen

        groups = [(f.name, choice(f.label, list(f.groups.values()), f.name)) for f in SENSITIVE]
        version = choice("Model", _distinct(recent, "model_version"), "version")
        key = choice("API key", _distinct(recent, "key_id"), "key") if by_key else None
    chosen = tuple((name, group) for name, group in groups if group is not None)
    return Cohort(source, chosen, version, key)


def _distinct(rows: Sequence[dict[str, Any]], column: str) -> list[str]:
    return list(dict.fromkeys(row[column] for row in rows if row[column] is not None))


def looked_at(found: Cohort) -> int:
    """Return how many cohorts this visit has looked at, with this one."""
    seen: set[Cohort] = st.session_state.setdefault(_LOOKED_AT, set())
    seen.add(found)
    return len(seen)
