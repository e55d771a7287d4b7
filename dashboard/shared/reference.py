"""The reference of a model: its training patients, from the folder of the model in service."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import streamlit as st

from dashboard.shared import scorecards
from dashboard.shared.escaping import escape_markdown
from db.engine import DatabaseUnavailable
from pipeline.model import ModelError
from pipeline.model.design_matrix import Array
from pipeline.model.reference import Population, Reference, no_rows
from pipeline.training.reference import load_reference
from settings import load_settings


@st.cache_resource(ttl=60, max_entries=4, show_spinner=False)
def of_version(version: str) -> Reference:
    """Return the reference of a model version that the log knows.

    Raises
    ------
    ModelError
        When there is none for this version; one sentence says why and what to do.
    """
    model = scorecards.scorecard(version)
    if model is None:
        raise ModelError(f"the log has no scorecard of model {version}")
    return load_reference(load_settings().model_dir, model)


def current(what: str) -> Reference:
    """Return the reference of the model in service, with its patients.

    Parameters
    ----------
    what
        What needs them, e.g. "correlations between findings".

    Raises
    ------
    ModelError
        When there is none, or it holds no patients.
    """
    model = scorecards.current_model()
    if model is None:
        raise ModelError("the log has no scorecard of the model in service: start the service once")
    found = of_version(model.version)
    if found.rows is None:
        raise ModelError(no_rows(what))
    return found


def population_of(version: str) -> Population | None:
    """Return whom a model version was trained on; None = not kept."""
    try:
        return of_version(version).population
    except (ModelError, DatabaseUnavailable):
        return None


def population(card: Mapping[str, Any]) -> Population:
    """Return whom a model was trained on: from its reference, else from its model card."""
    return population_of(card["version"]) or Population.of_evidence(card["evidence"])


def said(error: ModelError) -> str:
    """Return why there is no reference, as a sentence in Markdown."""
    text = str(error).removesuffix(".")
    return escape_markdown(f"{text[0].upper()}{text[1:]}.")


def plain(rows: Array) -> list[list[float | None]]:
    """Return patients as JSON data; NaN becomes None."""
    return [[None if value != value else value for value in row] for row in rows.tolist()]
