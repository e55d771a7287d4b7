"""Predictions with groups and outcomes: those of training, and the newest logged."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dashboard.shared import data_access, scorecards
from pipeline.fairness import assess
from pipeline.fairness.groups import sensitive_groups, split_key, with_pairs
from pipeline.fairness.result import Assessment
from pipeline.model.design_matrix import Array


@dataclass(frozen=True)
class LabelledPredictions:
    """Predictions with groups and outcomes."""

    y: Array
    """1 = disease, 0 = none, NaN = unknown."""
    prediction: Array
    probability: Array
    groups: Mapping[str, NDArray[np.object_]]
    source: str | None
    """Of logged predictions; None = training."""
    versions: tuple[str, ...] = ()
    """Of the models that made logged predictions."""


def logged(source: str | None, rows: Sequence[Mapping[str, Any]]) -> LabelledPredictions | None:
    """Return logged predictions; None = an empty log."""
    if source is None:
        return None
    return LabelledPredictions(
        y=np.array([row["outcome"] for row in rows], dtype=float),
        prediction=np.array([row["prediction"] for row in rows], dtype=float),
        probability=np.array([row["probability"] for row in rows], dtype=float),
        groups=with_pairs(sensitive_groups(scorecards.feature_matrix(rows))),
        source=source,
        versions=tuple(dict.fromkeys(row["model_version"] for row in rows)),
    )


def training() -> LabelledPredictions | None:
    """Return the training patients with their out-of-fold predictions; None = no model card."""
    card = data_access.model_card()
    found = card and card["evidence"].get("fairness")
    if not found:
        return None
    y, p, named = [], [], []
    for key, parts in found["patients"].items():
        of = split_key(found, key)
        for outcome, name in ((1.0, "disease"), (0.0, "no disease")):
            p += parts[name]
            y += [outcome] * len(parts[name])
            named += [of] * len(parts[name])
    probability = np.array(p)
    return LabelledPredictions(
        y=np.array(y),
        prediction=(probability >= found["threshold"]).astype(float),
        probability=probability,
        groups=with_pairs({a: np.array([of[a] for of in named], dtype=object) for a in named[0]}),
        source=None,
    )


def assessment(of: LabelledPredictions, attribute: str) -> Assessment:
    """Assess the patients by one attribute."""
    groups = {attribute: of.groups[attribute]}
    return assess(of.y, of.prediction, groups, probability=of.probability)
