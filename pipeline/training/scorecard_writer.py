"""Write a fitted model as a scorecard: JSON that a person can read and that runs no code."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.model import CHECKSUMS_FILE, EVIDENCE_FILE, FORMAT, SCORECARD_FILE, checksums
from pipeline.model.design_matrix import (
    COLUMNS,
    DECIMALS,
    Array,
    build_design_matrix,
    feature_points,
    round_coefficients,
)
from pipeline.model.scores import INTERVAL_LEVEL
from pipeline.model.unknown_findings import JointPoints
from pipeline.schema import FEATURES, NAMES, Feature

SET_DECIMALS = 6
"""Bootstrap sets: a hundred thousandth of their spread, and a file of 100 kB."""

_SETS = "SETS"
DEFAULT_THRESHOLD = 0.5


def build_scorecard(
    beta: Array,
    sets: Array,
    rows: Array,
    center: Array,
    scale: Array,
    provenance: Mapping[str, Any],
) -> str:
    """Return the scorecard's JSON text.

    Parameters
    ----------
    beta
        Intercept and one coefficient per design column.
    sets
        Bootstrap coefficient sets, shape (n_sets, len(beta)).
    rows
        The training patients, un-augmented, shape (n, 13): the background of the explanations.
    center, scale
        What `standardise` returned.
    provenance
        Where the model comes from; JSON-safe and the same in every run.
    """
    beta, sets = round_coefficients(beta), round_coefficients(sets, SET_DECIMALS)
    card = {
        "format": FORMAT,
        "what": "log-odds of disease = intercept + sum of each feature's points; "
        "a number's points are slope * (value - center) / scale",
        "provenance": dict(provenance),
        "threshold": DEFAULT_THRESHOLD,
        "intercept": float(beta[0]),
        "features": {f.name: _entry(f, i, beta, center, scale) for i, f in enumerate(FEATURES)},
        "background": {f.name: _background(f, rows[:, i]) for i, f in enumerate(FEATURES)},
        "training_range": {
            f.name: [float(np.nanmin(rows[:, i])), float(np.nanmax(rows[:, i]))]
            for i, f in enumerate(FEATURES)
            if f.is_numeric
        },
        "interval": {
            "level": INTERVAL_LEVEL,
            "columns": ["intercept", *(column.name for column in COLUMNS)],
            "sets": _SETS,
        },
    }
    points = feature_points(build_design_matrix(rows, center, scale), beta[1:])
    joint = JointPoints.of(points, ~np.isnan(rows))
    if joint is not None:
        card["joint_points"] = joint.to_dict(NAMES)
    lines = ",\n".join(f"      {json.dumps(row)}" for row in sets.tolist())
    return json.dumps(card, indent=2).replace(f'"{_SETS}"', f"[\n{lines}\n    ]") + "\n"


def _entry(feature: Feature, i: int, beta: Array, center: Array, scale: Array) -> dict[str, Any]:
    """Return one feature's label, limits and points."""
    entry: dict[str, Any] = {"label": feature.label, "kind": str(feature.kind)}
    if feature.is_numeric:
        entry |= {"unit": feature.unit, "low": feature.low, "high": feature.high}
    for column, points in zip(COLUMNS, beta[1:].tolist(), strict=True):
        if column.feature is not feature:
            continue
        if column.missing:
            entry["not known"] = points
        elif column.code is None:
            entry |= {"slope": points, "center": float(center[i]), "scale": float(scale[i])}
        else:
            entry.setdefault("points", {})[feature.code_labels[int(column.code)]] = points
    return entry


def _background(feature: Feature, values: Array) -> dict[str, float]:
    """Count the training patients: exact integers and sums, from which means follow."""
    unknown = int(np.isnan(values).sum())
    if feature.is_numeric:
        known = values[~np.isnan(values)]
        total = round(float(known.sum()), DECIMALS)
        return {"known": len(known), "sum": total, "not known": unknown}
    counts: dict[str, float] = {w: int((values == c).sum()) for w, c in feature.codes.items()}
    return counts | {"not known": unknown}


def write_bundle(folder: Path, scorecard: str, evidence: Mapping[str, Any]) -> None:
    """Write scorecard, evidence and checksums; an interrupted write never passes for a model."""
    folder.mkdir(parents=True, exist_ok=True)
    content = {
        SCORECARD_FILE: scorecard.encode("ascii"),
        EVIDENCE_FILE: (json.dumps(evidence, indent=2, allow_nan=False) + "\n").encode("ascii"),
    }
    for name, data in (
        *content.items(),
        (CHECKSUMS_FILE, checksums(content)),
    ):  # the sums come last
        temporary = folder / f".{name}.{os.getpid()}"
        temporary.write_bytes(data)
        temporary.replace(folder / name)
