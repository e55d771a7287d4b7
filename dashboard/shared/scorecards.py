"""Scorecards from the log, and logged rows in the form that they score."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import streamlit as st

from dashboard.shared import data_access
from pipeline.model import Model, ModelError, from_json
from pipeline.model.design_matrix import Array
from pipeline.schema import NAMES


def feature_matrix(rows: Sequence[Mapping[str, Any]]) -> Array:
    """Return logged rows as UCI codes, shape (n, 13); NaN = missing."""
    return np.array([[row[name] for name in NAMES] for row in rows], dtype=float).reshape(
        -1, len(NAMES)
    )


@st.cache_resource(max_entries=20)
def scorecard(version: str) -> Model | None:
    """Return a model version from the log; None = not there."""
    text = data_access.reader().model(version)
    try:
        return from_json(text) if text else None
    except ModelError:
        return None


def current_model() -> Model | None:
    """Return the service's current scorecard, else that of the most recent prediction."""
    card, source = data_access.model_card(), data_access.default_source()
    rows = [] if card or source is None else data_access.recent_predictions(source)
    version = card["version"] if card else rows[0]["model_version"] if rows else None
    return scorecard(version) if version else None
