"""The design matrix: thirteen UCI-coded features to the columns that carry coefficients.

Shared by fitting and serving, so that both mean the same thing by a coefficient. numpy and the
standard library only.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from pipeline.schema import FEATURES, NAMES, Feature

Array = NDArray[np.float64]

DECIMALS = 9
"""Coefficients: a thousand times coarser than the fit's tolerance, so two machines agree."""


@dataclass(frozen=True)
class Column:
    """One column of the design matrix: a number's value, one level, or a missing indicator."""

    feature: Feature
    code: float | None
    """The UCI code of a level; None for a number's value and for a missing indicator."""
    missing: bool = False

    @property
    def name(self) -> str:
        """`age`, `cp: asymptomatic` or `ca: not known`."""
        if self.missing:
            return f"{self.feature.name}: not known"
        if self.code is None:
            return self.feature.name
        return f"{self.feature.name}: {self.feature.code_labels[int(self.code)]}"


@dataclass(frozen=True)
class Design:
    """The columns of a model over its own features, in the order of the schema.

    Patients always have one value per feature of `FEATURES`; those of features that the model does
    not use are ignored.
    """

    features: tuple[Feature, ...]

    @cached_property
    def columns(self) -> tuple[Column, ...]:
        """The columns; a coefficient set has one number for each."""
        return tuple(column for feature in self.features for column in _columns(feature))

    @cached_property
    def slices(self) -> tuple[slice, ...]:
        """The columns of each feature of `FEATURES`; empty for one that the model does not use."""
        names = [column.feature.name for column in self.columns]
        starts = [names.index(n) if n in names else 0 for n in NAMES]
        return tuple(slice(s, s + names.count(n)) for s, n in zip(starts, NAMES, strict=True))


def _columns(feature: Feature) -> Iterator[Column]:
    if feature.is_numeric:
        yield Column(feature, None)
    else:
        yield from (Column(feature, float(code)) for code in feature.codes.values())
    if not feature.required:
        yield Column(feature, None, missing=True)


DESIGN = Design(FEATURES)
"""Over all features of the schema: what is trained."""
COLUMNS, FEATURE_SLICES = DESIGN.columns, DESIGN.slices


def round_coefficients(values: Array, decimals: int = DECIMALS) -> Array:
    """Round, and write -0.0 as 0.0 so that the text is the same everywhere."""
    return np.asarray(np.round(values, decimals) + 0.0)


def standardise(rows: Array) -> tuple[Array, Array]:
    """Return each feature's rounded mean and standard deviation.

    0 and 1 for categories, and 1 for a number that does not vary.
    """
    center, scale = np.zeros(len(NAMES)), np.ones(len(NAMES))
    for i, feature in enumerate(FEATURES):
        if feature.is_numeric and not np.isnan(rows[:, i]).all():
            center[i], scale[i] = np.nanmean(rows[:, i]), np.nanstd(rows[:, i]) or 1.0
    return round_coefficients(center), round_coefficients(scale)


def build_design_matrix(rows: Array, center: Array, scale: Array, design: Design = DESIGN) -> Array:
    """Return the design matrix of patients.

    Parameters
    ----------
    rows
        UCI codes, shape (n, 13), NaN = missing.
    center, scale
        Mean and standard deviation by which numbers are standardised, shape (13,); 0 and 1 for
        categories.
    design
        The features of the model.

    Returns
    -------
    Array
        Shape (n, number of columns). A missing number has 0 in its value column, and every
        missing value has 1 in its missing indicator.

    Raises
    ------
    ValueError
        When a category holds a code that the schema does not have, or a number is infinite.
    """
    missing = np.isnan(rows)
    matrix = np.zeros((len(rows), len(design.columns)))
    seen = missing | np.array([feature not in design.features for feature in FEATURES])
    for j, column in enumerate(design.columns):
        i = NAMES.index(column.feature.name)
        if column.missing:
            matrix[:, j] = missing[:, i]
        elif column.code is None:
            matrix[:, j] = np.where(missing[:, i], 0.0, (rows[:, i] - center[i]) / scale[i])
            seen[:, i] |= np.isfinite(rows[:, i])
        else:
            matrix[:, j] = rows[:, i] == column.code
            seen[:, i] |= rows[:, i] == column.code
    required = [i for i, feature in enumerate(FEATURES) if feature.required]
    seen[:, required] &= ~missing[:, required]
    if not seen.all():
        i = int(np.flatnonzero(~seen.all(axis=0))[0])
        raise ValueError(f"{NAMES[i]} holds a value that the model has no points for")
    return matrix


def feature_points(matrix: Array, coefficients: Array, design: Design = DESIGN) -> Array:
    """Return each feature's points for each patient, in log-odds, shape (n, 13)."""
    points = matrix * coefficients
    return np.column_stack([points[:, part].sum(axis=1) for part in design.slices])
