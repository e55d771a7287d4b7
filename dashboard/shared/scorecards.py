"""The patients whom Fairness and Explanations speak of: those of training, and the newest logged.

Of the training patients the model card holds no rows, only what these pages need.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import streamlit as st
from numpy.typing import NDArray

from dashboard.shared import data_access
from pipeline.dataset.heart.csv_reader import HEART_CSV
from pipeline.fairness import assess
from pipeline.fairness.groups import AGE, CROSSED, SEX, groups_of
from pipeline.fairness.result import Assessment
from pipeline.model import Model, ModelError, from_json
from pipeline.model.design_matrix import Array
from pipeline.model.global_explanation import Overall, ValueCounts, count, overall
from pipeline.schema import NAMES

NEWEST = 1_000
"""Logged predictions that are read unless fewer are chosen: what one query returns."""


@dataclass(frozen=True)
class Assessed:
    """Patients with their groups, what was predicted and what was found."""

    y: Array
    """1 = disease, 0 = none, NaN = not known."""
    prediction: Array
    probability: Array
    groups: Mapping[str, NDArray[np.object_]]
    source: str | None
    """Where logged ones come from; None = training."""


@st.cache_data(ttl=data_access._FRESH_S, max_entries=8)
def newest(n: int = NEWEST) -> tuple[str | None, list[dict[str, Any]]]:
    """Read the newest predictions of the source that pages read, and which source it is."""
    source = data_access.source()
    if source is None:
        return None, []
    rows, _ = data_access.reader().page(source=source, limit=n)
    return source, rows


def logged(n: int = NEWEST) -> Assessed | None:
    """Return the newest logged patients; None = an empty log."""
    source, rows = newest(n)
    if source is None:
        return None
    return Assessed(
        y=np.array([row["outcome"] for row in rows], dtype=float),
        prediction=np.array([row["prediction"] for row in rows], dtype=float),
        probability=np.array([row["probability"] for row in rows], dtype=float),
        groups=groups_of(matrix(rows)),
        source=source,
    )


def training() -> Assessed | None:
    """Return the training patients with their out-of-fold predictions; None = no model card."""
    card = data_access.model()
    found = card and card["evidence"].get("fairness")
    if not found:
        return None
    y, p, crossed = [], [], []
    for group, parts in found["patients"].items():
        for outcome, name in ((1.0, "disease"), (0.0, "no disease")):
            p += parts[name]
            y += [outcome] * len(parts[name])
            crossed += [group] * len(parts[name])
    split = [group.split(", ") for group in crossed]
    probability = np.array(p)
    return Assessed(
        y=np.array(y),
        prediction=(probability >= found["threshold"]).astype(float),
        probability=probability,
        groups={
            SEX: np.array([sex for sex, _ in split], dtype=object),
            AGE: np.array([age for _, age in split], dtype=object),
            CROSSED: np.array(crossed, dtype=object),
        },
        source=None,
    )


def assessment(of: Assessed, attribute: str) -> Assessment:
    """Assess the patients by one attribute."""
    groups = {attribute: of.groups[attribute]}
    return assess(of.y, of.prediction, groups, probability=of.probability)


def matrix(rows: Sequence[Mapping[str, Any]]) -> Array:
    """Return logged rows as UCI codes, shape (n, 13), NaN = not known."""
    return np.array([[row[name] for name in NAMES] for row in rows], dtype=float).reshape(-1, 13)


@st.cache_resource(max_entries=20)
def scorecard(version: str) -> Model | None:
    """Return a model version from the log's own table; None = it is not there."""
    text = data_access.reader().model(version)
    try:
        return from_json(text) if text else None
    except ModelError:
        return None


def model_in_use() -> Model | None:
    """Return the scorecard that explains: the service's, else that of the newest prediction."""
    card, (_, rows) = data_access.model(), newest()
    version = card["version"] if card else rows[0]["model_version"] if rows else None
    return scorecard(version) if version else None


def trained_elsewhere() -> str | None:
    """Return the file that the model in use was trained on when it is not the one at hand."""
    card = data_access.model()
    data = card and card["evidence"]["data"]
    if not data or data["sha256"] == hashlib.sha256(HEART_CSV.read_bytes()).hexdigest():
        return None
    return str(data["file"])


def going_by(model: Model, n: int = NEWEST) -> tuple[Overall | None, Overall | None]:
    """Explain the training patients and the newest `n` logged ones, by the same model."""
    card, (_, rows) = data_access.model(), newest(n)
    written = card and card["evidence"].get("explanations")
    fitted = overall(model, _counts(written["counts"])) if written else None
    return fitted, overall(model, count(matrix(rows))) if rows else None


def _counts(written: Mapping[str, Mapping[str, int]]) -> ValueCounts:
    return {
        name: {None if key == "not known" else float(key): n for key, n in values.items()}
        for name, values in written.items()
    }
