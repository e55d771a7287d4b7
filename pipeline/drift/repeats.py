"""Patients who occur more than once in a window: one row of each is tested.

Two rows of one patient are not two observations. Tested as such they alarm without drift: with
everybody twice in 61 % of windows of 100, where 5 % is promised.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from pipeline.drift.contingency_tables import Array, Integers
from pipeline.model.inputs import InputError
from pipeline.schema import FEATURES, Kind

MIN_KNOWN, MIN_MEASUREMENTS = 8, 3
"""Known findings, and measurements among them, from which equal rows are taken for one patient."""
NEAR_SD = 0.25
"""Standard deviations that each measurement of a near-repeat may differ."""
MANY_NEAR_REPEATS = 0.1
"""Share of near-repeats, beyond the reference's, from which the verdict comes with a warning."""
_NEIGHBOURS = 1_000  # rows among which near-repeats are looked for: a million pairs

_NUMBERS = np.array([feature.kind is Kind.NUMBER for feature in FEATURES])


def one_row_per_patient(
    rows: Array, patients: Sequence[bytes | str | None] | None, random: np.random.Generator
) -> Integers:
    """Return the indices of the rows to test, ascending: of each patient one, drawn at random.

    Parameters
    ----------
    rows
        In steps, shape (n, 13), NaN = missing.
    patients
        Whose row it is, n references; None = unknown. Rows without one are the same patient when
        they are equal and know at least eight findings, three of them measurements.
    random
        Draws the rows.
    """
    known, told = ~np.isnan(rows), _tells_patients_apart(rows)
    # Equal rows have equal sums of products with random odd numbers; others, but once in 1e18, not.
    factors = np.random.default_rng(0).integers(1, 2**62, rows.shape[1], dtype=np.int64) * 2 + 1
    whole = np.where(known, rows, -(2.0**54)).astype(np.int64)
    keys = np.where(told, (whole * factors).sum(axis=1), np.arange(len(rows)))
    named = np.zeros(len(rows), dtype=np.int64)
    if patients is not None:
        if len(patients) != len(rows):
            raise InputError(f"{len(rows)} rows have {len(patients)} patient references")
        numbers: dict[bytes | str | None, int] = {None: 0}
        named = np.array([numbers.setdefault(p, len(numbers)) for p in patients], dtype=np.int64)
    order = random.permutation(len(rows))
    both = np.column_stack([named, np.where(named > 0, 0, keys)])[order]
    _, first = np.unique(both, axis=0, return_index=True)
    return np.sort(order[first])


def _tells_patients_apart(rows: Array) -> NDArray[np.bool_]:
    known = ~np.isnan(rows)
    measured = known[:, _NUMBERS].sum(axis=1)
    return np.asarray((known.sum(axis=1) >= MIN_KNOWN) & (measured >= MIN_MEASUREMENTS))


def near_repeats(reference: Array, current: Array, random: np.random.Generator) -> float:
    """Return the share of the window's rows that nearly repeat another, beyond the reference's.

    A near-repeat has the same codes and counts and each measurement within `NEAR_SD`. As many rows
    of both sides are looked at, 1,000 at most. Drift itself brings none: it is looked for inside
    each side.
    """
    size = min(len(reference), len(current), _NEIGHBOURS)
    sides = [side[random.choice(len(side), size, replace=False)] for side in (reference, current)]
    measured = np.vstack(sides)[:, _NUMBERS]
    if size == 0:
        return 0.0
    with np.errstate(invalid="ignore"):
        spread = np.nanstd(np.where(np.isnan(measured).all(axis=0), 0.0, measured), axis=0)
    shares = []
    for side in sides:
        near = np.repeat(_tells_patients_apart(side)[:, None], size, axis=1)
        limits = np.zeros(side.shape[1])
        limits[_NUMBERS] = NEAR_SD * spread
        for column, limit in zip(side.T, limits, strict=True):
            column = np.where(np.isnan(column), -(2.0**54), column)  # missing is like missing
            near &= np.abs(column[:, None] - column) <= limit
        shares.append(float((near.sum(axis=1) > 1).mean()))
    return max(0.0, shares[1] - shares[0])
