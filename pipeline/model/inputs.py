"""Check what callers give to the Python entry points, and turn it into arrays."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from math import isnan, nan
from numbers import Real
from typing import TYPE_CHECKING, Any, cast

import numpy as np
from numpy.typing import ArrayLike

from errors import USAGE, CardiowatchError
from pipeline.model.design_matrix import Array
from pipeline.schema import NAMES, Row

if TYPE_CHECKING:
    import pandas as pd


_MAX_COUNT = 2**53  # beyond, a float is no longer every whole number


class InputError(CardiowatchError, ValueError):
    """An argument that cannot be used; the message says what is wrong with it."""

    exit_code = USAGE


def patients(rows: ArrayLike | pd.DataFrame | Sequence[Row]) -> Array:
    """Return patients as an array of shape (n, 13); what is missing becomes NaN.

    Parameters
    ----------
    rows
        A pandas, polars or arrow table or a structured array with (at least) the features'
        columns, one patient as a pandas series with their names, or rows in their order; None, NaN,
        pd.NA and masked = missing.

    Raises
    ------
    InputError
        When a column is absent or there twice, a row has another length, or a value is no number.
    """
    if hasattr(rows, "to_frame") and set(NAMES) & set(getattr(rows, "index", ())):
        rows = cast(Any, rows).to_frame().T  # a series: one patient
    fields = getattr(getattr(rows, "dtype", None), "names", None)  # of a structured array
    titles = getattr(rows, "column_names", getattr(rows, "columns", fields))
    if titles is not None:
        return _from_frame(rows, [str(title) for title in titles])
    rows = [_unmasked(row) for row in rows] if isinstance(rows, list | tuple) else _unmasked(rows)
    try:
        array = np.array(rows, dtype=float)
    except (TypeError, ValueError):
        array = _from_rows(rows)
    if array.size == 0:
        return array.reshape(0, len(NAMES))
    if array.ndim == 1 and len(array) == len(NAMES):
        array = array[None, :]
    if array.ndim != 2 or array.shape[1] != len(NAMES):
        raise InputError(f"rows of {len(NAMES)} values are expected, got the shape {array.shape}")
    return array


def _unmasked(values: Any) -> Any:
    """Return values with NaN where numpy masks them; a conversion would unmask them silently."""
    return np.ma.filled(values.astype(float), nan) if np.ma.isMaskedArray(values) else values


def _from_frame(frame: Any, titles: list[str]) -> Array:
    for name in NAMES:
        if titles.count(name) != 1:
            what = "more than one" if name in titles else "no"
            raise InputError(f"the frame has {what} column {name}; each feature is needed once")
    return np.column_stack([vector(frame[name], name) for name in NAMES])


def _from_rows(rows: Any) -> Array:
    listed = [list(row) for row in rows]
    if any(len(row) != len(NAMES) for row in listed):
        raise InputError(f"rows of {len(NAMES)} values are expected")
    columns = [
        vector(column, name) for name, column in zip(NAMES, zip(*listed, strict=True), strict=True)
    ]
    return np.column_stack(columns)


def vector(values: Any, what: str) -> Array:
    """Return numbers as an array of shape (n,); None, NaN and pd.NA become NaN.

    Parameters
    ----------
    values
        A list, array or column of pandas, polars or arrow.
    what
        Its name in the message.

    Raises
    ------
    InputError
        When a value is no number, such as a word.
    """
    values = _unmasked(values)
    if getattr(getattr(values, "dtype", None), "kind", "") in ("f", "i", "u", "b"):
        try:
            return np.asarray(values, dtype=float).ravel()
        except (TypeError, ValueError):  # a column of whole numbers with pd.NA
            pass
    listed: Iterable[Any] = values.to_pylist() if hasattr(values, "to_pylist") else values
    return np.array([number(value, what) for value in listed], dtype=float)


def number(value: Any, what: str) -> float:
    """Return one value as a float, NaN = missing."""
    if value is None or type(value).__name__ in ("NAType", "NaTType"):
        return nan
    if not isinstance(value, Real | np.bool_):
        raise InputError(f"{what}: a {type(value).__name__} where a number is expected")
    return float(value)


def binary_labels(values: Any, n: int) -> Array:
    """Return the label of each of `n` patients, shape (n,).

    Raises
    ------
    InputError
        When a label is neither 0 nor 1, or one class or some patients have none.
    """
    y = vector(values, "labels")
    if len(y) != n or not np.isin(y, (0, 1)).all() or len(np.unique(y)) < 2:
        raise InputError(f"a label 0 or 1 is expected for each of {n} patients, and some of both")
    return y


def check_counts(counts: Any, what: str, *, whole: bool = False) -> None:
    """Insist on value counts: feature -> number or None -> whole number, not negative.

    Parameters
    ----------
    counts, what
        The counts, and their name in the message.
    whole
        Insist on counts of every feature.

    Raises
    ------
    InputError
        Names the feature.
    """
    if not isinstance(counts, Mapping):
        raise InputError(f"{what}: a mapping from features to value counts is expected")
    absent = [name for name in NAMES if name not in counts] if whole else []
    if absent:
        raise InputError(f"{what}: no counts of {', '.join(absent)}")
    for name, table in counts.items():
        if name not in NAMES:
            raise InputError(f"{what}: {name} is not a feature")
        if not isinstance(table, Mapping):
            raise InputError(f"{what}, {name}: a mapping from values to counts is expected")
        for value, count in table.items():
            if value is not None and isnan(number(value, f"{what}, {name}")):
                raise InputError(f"{what}, {name}: a value is NaN; None = missing")
            n = number(count, f"the counts of {name}")
            if not (0 <= n < _MAX_COUNT and n % 1 == 0):
                raise InputError(f"{what}, {name}: a count is negative or no whole number")
