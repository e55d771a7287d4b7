"""Which groups a patient belongs to, by the schema's sensitive features. numpy only."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from pipeline.model.design_matrix import Array
from pipeline.schema import FEATURES, NAMES, Feature

# Words first: the order of attributes decides the draws of the bootstrap.
SENSITIVE = sorted((f for f in FEATURES if f.sensitive), key=lambda f: bool(f.bands))
SEX, AGE = "sex", "age"
CROSSED = f"{SEX} and {AGE}"


def band_names(feature: Feature) -> list[str]:
    """Name the bands of a sensitive number, as "18-44" or "65 and over"."""
    starts = [int(feature.low), *feature.bands]
    return [f"{a}-{b - 1}" for a, b in pairwise(starts)] + [f"{starts[-1]} and over"]


def assign_groups(rows: Array) -> Mapping[str, NDArray[np.object_]]:
    """Name each patient's groups.

    Parameters
    ----------
    rows
        UCI codes, shape (n, 13), in the order of `FEATURES`; NaN = missing.

    Returns
    -------
    Mapping
        Each sensitive feature, and "sex and age" -> the group of each patient in words, shape (n,);
        None where the value is missing.
    """
    found = sensitive_groups(rows)
    pairs = zip(found[SEX], found[AGE], strict=True)
    return {**found, CROSSED: np.array([f"{sex}, {age}" for sex, age in pairs], dtype=object)}


def sensitive_groups(rows: Array) -> dict[str, NDArray[np.object_]]:
    """Return the groups of each sensitive feature, none crossed, as `assign_groups`."""
    return {f.name: _groups(f, rows[:, NAMES.index(f.name)]) for f in SENSITIVE}


def _groups(feature: Feature, column: Array) -> NDArray[np.object_]:
    known = ~np.isnan(column)
    if feature.bands:
        places = np.searchsorted(feature.bands, column, side="right")
        words: Mapping[int, str] = dict(enumerate(band_names(feature)))
    else:
        places, words = np.where(known, column, -1).astype(int), feature.code_labels
    return np.array([words[i] if k else None for i, k in zip(places, known, strict=True)], object)
