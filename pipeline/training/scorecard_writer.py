"""Write a fitted model as a scorecard: JSON that a person can read and that runs no code."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from errors import naming
from pipeline.model import CHECKSUMS_FILE, EVIDENCE_FILE, FORMAT, SCORECARD_FILE, checksums
from pipeline.model.design_matrix import (
    COLUMNS,
    DECIMALS,
    Array,
    Design,
    build_design_matrix,
    feature_points,
    round_coefficients,
)
from pipeline.model.reference import ROWS_FILE, Reference
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
        The training patients, un-augmented, shape (n, 13): the background of the explanations. A
        feature that all of them lack is not in the scorecard.
    center, scale
        What `standardise` returned.
    provenance
        Where the model comes from; JSON-safe and the same in every run.
    """
    used = [not np.isnan(column).all() for column in rows.T]
    design = Design(tuple(f for f, use in zip(FEATURES, used, strict=True) if use))
    at = [0, *(1 + j for j, column in enumerate(COLUMNS) if column.feature in design.features)]
    points = feature_points(build_design_matrix(rows, center, scale), beta[1:])
    beta, sets = round_coefficients(beta[at]), round_coefficients(sets[:, at], SET_DECIMALS)
    card = {
        "format": FORMAT,
        "what": "log-odds of disease = intercept + sum of each feature's points; "
        "a number's points are slope * (value - center) / scale",
        "provenance": dict(provenance),
        "threshold": DEFAULT_THRESHOLD,
        "intercept": float(beta[0]),
        "features": {
            f.name: _entry(f, NAMES.index(f.name), design, beta, center, scale)
            for f in design.features
        },
        "background": {
            f.name: _background(f, rows[:, NAMES.index(f.name)]) for f in design.features
        },
        "training_range": {
            f.name: [float(np.nanmin(rows[:, i])), float(np.nanmax(rows[:, i]))]
            for i, f in enumerate(FEATURES)
            if f.is_numeric and used[i]
        },
        "interval": {
            "level": INTERVAL_LEVEL,
            "columns": ["intercept", *(column.name for column in design.columns)],
            "sets": _SETS,
        },
    }
    joint = JointPoints.of(points, ~np.isnan(rows))
    if joint is not None:
        card["joint_points"] = joint.to_dict(NAMES)
    lines = ",\n".join(f"      {json.dumps(row)}" for row in sets.tolist())
    return json.dumps(card, indent=2).replace(f'"{_SETS}"', f"[\n{lines}\n    ]") + "\n"


def _entry(
    feature: Feature, i: int, design: Design, beta: Array, center: Array, scale: Array
) -> dict[str, Any]:
    """Return one feature's label, limits and points."""
    entry: dict[str, Any] = {"label": feature.label, "kind": str(feature.kind)}
    if feature.is_numeric:
        entry |= {"unit": feature.unit, "low": feature.low, "high": feature.high}
    for column, points in zip(design.columns, beta[1:].tolist(), strict=True):
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


def write_bundle(
    folder: Path, scorecard: str, evidence: Mapping[str, Any], reference: Reference | None = None
) -> None:
    """Write the files of a model; an interrupted write never passes for one.

    Patients, where they are kept, are for the owner's eyes alone, and not among the checksums, so
    that a copy of the folder without them is a whole model.
    """
    folder.mkdir(parents=True, exist_ok=True)
    kept = {} if reference is None else reference.files()
    rows = kept.pop(ROWS_FILE, None)
    if rows is None:
        (folder / ROWS_FILE).unlink(missing_ok=True)
    content = {
        SCORECARD_FILE: scorecard.encode("ascii"),
        EVIDENCE_FILE: (json.dumps(evidence, indent=2, allow_nan=False) + "\n").encode("ascii"),
        **kept,
    }
    for name, data in (
        *([] if rows is None else [(ROWS_FILE, rows)]),
        *content.items(),
        (CHECKSUMS_FILE, checksums(content)),
    ):  # the sums come last
        temporary = folder / f".{name}.{os.getpid()}"
        temporary.touch(0o600 if name == ROWS_FILE else 0o666)
        with naming(temporary):
            temporary.write_bytes(data)
        temporary.replace(folder / name)
