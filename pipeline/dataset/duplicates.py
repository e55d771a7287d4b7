"""Patients that occur more than once: in one file, or in two."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Rows = npt.NDArray[np.float64]

MIN_SHARED = 8
"""Features known in both rows that have to be equal: fewer may agree by chance."""
_BLOCK = 1_000_000  # comparisons at once: a few megabytes for each feature


def first_of_each(rows: Rows) -> npt.NDArray[np.intp]:
    """Return for each row the place of the first row that equals it, shape (n,); NaN equals NaN."""
    _, first, which = np.unique(
        np.nan_to_num(rows, nan=-1e9), axis=0, return_index=True, return_inverse=True
    )
    return np.asarray(first[which.ravel()])


def without_duplicates(rows: Rows, y: Rows) -> tuple[Rows, Rows]:
    """Return one of each patient with the same features and label, in the order given."""
    first = np.unique(first_of_each(np.column_stack([rows, y])))
    return rows[first], y[first]


def occur_in(rows: Rows, others: Rows) -> npt.NDArray[np.bool_]:
    """Return which rows are among others, in any order.

    Parameters
    ----------
    rows, others
        UCI codes, shapes (n, 13) and (m, 13), NaN = missing. A row is the same patient when all
        features known in both are equal, at least `MIN_SHARED` of them; labels do not count.
    """
    found = np.zeros(len(rows), dtype=bool)
    block = max(1, _BLOCK // max(len(others), 1))
    for start in range(0, len(rows), block):
        part = rows[start : start + block]
        equal = np.ones((len(part), len(others)), dtype=bool)
        shared = np.zeros(equal.shape, dtype=np.int8)
        for mine, theirs in zip(part.T, others.T, strict=True):
            known = ~np.isnan(mine)[:, None] & ~np.isnan(theirs)
            equal &= ~known | (mine[:, None] == theirs)
            shared += known
        found[start : start + block] = (equal & (shared >= MIN_SHARED)).any(axis=1)
    return found
