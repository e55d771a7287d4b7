"""Unit errors: values of a window in another unit."""

from __future__ import annotations

import numpy as np

from pipeline.dataset.heart import ALTERNATIVE_UNITS, AlternativeUnit
from pipeline.drift.contingency_tables import ContingencyTable
from pipeline.drift.result import UnitError

_LEAST = 3  # values; one or two odd ones are typing errors
_FIT = 0.8  # share of the values outside the reference's range that the other unit must explain


def find_unit_error(table: ContingencyTable) -> UnitError | None:
    """Return how many values of the window look like another unit; None when nothing fits.

    A value looks so when it lies outside the reference's range and inside it after conversion.
    """
    if table.known[0] == 0 or table.known[1] == 0:
        return None
    seen = table.values[table.reference > 0]
    low, high = seen.min(), seen.max()
    outside = ((table.values < low) | (table.values > high)) & (table.current > 0)
    best: tuple[int, AlternativeUnit] | None = None
    for slip in ALTERNATIVE_UNITS:
        if slip.feature != table.feature.name:
            continue
        side = outside & ((table.values > high) if slip.factor < 1 else (table.values < low))
        converted = table.values * slip.factor
        fits = side & (converted >= low * 0.9) & (converted <= high * 1.1)
        count, of = int(table.current[fits].sum()), int(table.current[side].sum())
        if count >= _LEAST and count >= _FIT * of and _typical(table, fits, slip):
            best = max(best or (0, slip), (count, slip), key=lambda found: found[0])
    return None if best is None else _described(table, *best)


def _typical(table: ContingencyTable, fits: np.ndarray, slip: AlternativeUnit) -> bool:
    """Let the median decide between units that overlap."""
    values = np.repeat(table.values[fits], np.minimum(table.current[fits], 10_000))
    return bool(slip.low <= float(np.median(values)) < slip.high)


def _described(table: ContingencyTable, count: int, slip: AlternativeUnit) -> UnitError:
    share = count / table.known[1]
    return UnitError(
        slip.unit,
        slip.factor,
        count,
        share,
        f"{100 * share:.2g} % of {table.feature.name} ({count} values) looks like {slip.unit}; "
        f"{table.feature.unit} is expected (multiply by {slip.factor:.4g})",
    )
