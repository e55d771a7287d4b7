"""Two sets of patients as tables of value counts, one per feature: what every test starts from."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike, NDArray

from pipeline.model.inputs import patients
from pipeline.model.reference import ValueCounts
from pipeline.schema import FEATURES, Feature

if TYPE_CHECKING:
    import pandas as pd

Array = NDArray[np.float64]
Integers = NDArray[np.int64]

_FAR = 2.0**53  # the last whole number that a float tells from its neighbour


@dataclass(frozen=True)
class ContingencyTable:
    """How often each value of one feature occurred on both sides."""

    feature: Feature
    steps: Integers
    """The different known values in whole `Feature.step`s, ascending, shape (k,)."""
    reference: Integers
    """Counts in the reference, shape (k,)."""
    current: Integers
    """Counts in the window, shape (k,)."""
    missing: tuple[int, int]
    """Not known in the reference and in the window."""

    @property
    def known(self) -> tuple[int, int]:
        """Known values in the reference and in the window."""
        return int(self.reference.sum()), int(self.current.sum())

    @cached_property
    def values(self) -> Array:
        """The different values in the feature's unit."""
        return np.array([self.feature.from_steps(int(step)) for step in self.steps])


def to_steps(rows: ArrayLike | pd.DataFrame) -> Array:
    """Round patients to the grid of each feature, in whole steps; NaN = missing.

    Parameters
    ----------
    rows
        A frame with the thirteen columns, or an array of shape (n, 13); UCI codes.

    Raises
    ------
    InputError
        When a column is absent, the shape is another one or a value is no number.
    """
    values = patients(rows)
    values[~np.isfinite(values)] = np.nan
    widths = np.array([feature.step for feature in FEATURES])
    return np.asarray(np.clip(np.floor(values / widths + 0.5), -_FAR, _FAR))


def tables_from_rows(reference: Array, current: Array) -> tuple[ContingencyTable, ...]:
    """Count the values of two arrays in steps, shape (n, 13) each."""
    return tuple(
        _table(feature, _counted(reference[:, i]), _counted(current[:, i]))
        for i, feature in enumerate(FEATURES)
    )


def tables_from_counts(
    reference: ValueCounts, current: ValueCounts
) -> tuple[ContingencyTable, ...]:
    """Return the tables of two sets of value counts; a feature that one lacks is not compared."""
    both = reference.keys() & current.keys()
    sides = [{name: side[name] for name in both} for side in (reference, current)]
    return tuple(
        _table(feature, _stepped(feature, sides[0]), _stepped(feature, sides[1]))
        for feature in FEATURES
    )


Counted = tuple[Integers, Integers, int]
"""Values in steps, their counts, and how many are missing."""


def _counted(column: Array) -> Counted:
    known = column[~np.isnan(column)]
    steps, counts = np.unique(known.astype(np.int64), return_counts=True)
    return steps, counts.astype(np.int64), len(column) - len(known)


def _stepped(feature: Feature, counts: ValueCounts) -> Counted:
    merged: dict[int, int] = {}
    missing = 0
    for value, count in counts.get(feature.name, {}).items():
        if value is None or not np.isfinite(value):
            missing += int(count)
        elif count:
            step = int(np.clip(feature.to_steps(value), -_FAR, _FAR))
            merged[step] = merged.get(step, 0) + int(count)
    steps = np.array(sorted(merged), dtype=np.int64)
    return steps, np.array([merged[int(step)] for step in steps], dtype=np.int64), missing


def _table(feature: Feature, reference: Counted, current: Counted) -> ContingencyTable:
    steps = np.union1d(reference[0], current[0])
    sides = []
    for values, counts, _ in (reference, current):
        side = np.zeros(len(steps), dtype=np.int64)
        side[np.searchsorted(steps, values)] = counts
        sides.append(side)
    return ContingencyTable(feature, steps, sides[0], sides[1], (reference[2], current[2]))


def count_patients(counts: ValueCounts) -> int:
    """How many patients a set of value counts is of: the largest sum over the features."""
    return max((sum(values.values()) for values in counts.values()), default=0)
