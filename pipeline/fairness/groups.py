"""Which groups a patient belongs to, by the schema's sensitive features. numpy only."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import combinations
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.model.design_matrix import Array
from pipeline.schema import FIRST_SENSITIVE, NAMES, SENSITIVE, Feature

_UNKNOWN = "unknown"

Groups = dict[str, NDArray[np.object_]]
"""Attribute -> the group of each patient in words, shape (n,); None where the value is missing."""


def sensitive_groups(rows: Array) -> Groups:
    """Name each patient's group by each sensitive feature.

    Parameters
    ----------
    rows
        UCI codes, shape (n, 13), in the order of `FEATURES`; NaN = missing.
    """
    return {f.name: _groups(f, rows[:, NAMES.index(f.name)]) for f in SENSITIVE}


def with_pairs(groups: Mapping[str, NDArray[np.object_]]) -> Groups:
    """Add each two attributes crossed, as "sex and age"."""
    found = dict(groups)
    for (a, first), (b, second) in combinations(groups.items(), 2):
        both = [
            None if None in pair else ", ".join(pair) for pair in zip(first, second, strict=True)
        ]
        found[f"{a} and {b}"] = np.array(both, dtype=object)
    return found


def joint_keys(groups: Mapping[str, NDArray[np.object_]]) -> NDArray[np.object_]:
    """Name each patient's groups by all attributes together, as the evidence has them."""
    named = zip(*groups.values(), strict=True)
    return np.array([", ".join(g or _UNKNOWN for g in patient) for patient in named], dtype=object)


def split_key(evidence: Mapping[str, Any], key: str) -> dict[str, str | None]:
    """Return the group by each attribute that a key of the fairness evidence names."""
    named = zip(evidence.get("attributes", FIRST_SENSITIVE), key.split(", "), strict=True)
    return {attribute: None if group == _UNKNOWN else group for attribute, group in named}


def _groups(feature: Feature, column: Array) -> NDArray[np.object_]:
    known = ~np.isnan(column)
    if feature.bands:
        places = np.searchsorted(feature.bands, column, side="right")
    else:
        places = np.where(known, column, -1).astype(int)
    words = feature.groups
    return np.array([words[i] if k else None for i, k in zip(places, known, strict=True)], object)
