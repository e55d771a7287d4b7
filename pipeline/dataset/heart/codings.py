"""The three ways to write a category: words, UCI codes and Kaggle codes; all become UCI codes.

An integer `cp=1` or `thal=3` means different things in the UCI and the Kaggle files, so no code is
accepted without its coding being named. Standard library only.

Source: facts derived by mapping all 303 rows of the Kaggle `heart.csv` onto the UCI file; see
docs/data-dictionary.md.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from functools import lru_cache
from types import MappingProxyType
from typing import Any

from pipeline.schema import BY_NAME, Feature, Kind


class Coding(StrEnum):
    """How categories are written on the wire or in a file."""

    LABELS = "labels"
    UCI = "uci"
    KAGGLE = "kaggle"


KAGGLE_TO_UCI: Mapping[str, Mapping[int, int | None]] = MappingProxyType(
    {
        "cp": {3: 1, 1: 2, 2: 3, 0: 4},
        "restecg": {1: 0, 2: 1, 0: 2},
        "slope": {2: 1, 1: 2, 0: 3},
        "ca": {0: 0, 1: 1, 2: 2, 3: 3, 4: None},
        "thal": {2: 3, 1: 6, 3: 7, 0: None},
    }
)
"""Kaggle code -> UCI code, None = missing. Features that are absent keep their UCI codes."""

KAGGLE_LABEL_IS_INVERTED = True
"""In the Kaggle file `target = 1` is *no* disease (UCI num = 0)."""


def decoder(feature: Feature, coding: Coding) -> Mapping[bool | int | str, float | None] | None:
    """Map each accepted wire value of a feature to its UCI code; None for plain numbers.

    Integral floats find their integer key (1.0 == 1), so `1.0` is accepted where `1` is.
    """
    if coding is Coding.KAGGLE and feature.name in KAGGLE_TO_UCI:
        table = KAGGLE_TO_UCI[feature.name]
        return {code: None if uci is None else float(uci) for code, uci in table.items()}
    if feature.kind is Kind.NUMBER:
        return None
    if feature.kind is Kind.COUNT:
        return {code: float(code) for code in feature.values}
    if coding is not Coding.LABELS:
        return {code: float(code) for code in feature.codes.values()}
    if feature.kind is Kind.BOOLEAN:
        return {False: 0.0, True: 1.0}
    return {word: float(code) for word, code in feature.codes.items()}


@lru_cache
def _encoder(name: str, coding: Coding) -> Mapping[float, bool | int | str] | None:
    """Map each UCI code of a feature to how a coding writes it; None for plain numbers."""
    table = decoder(BY_NAME[name], coding)
    return None if table is None else {uci: wire for wire, uci in table.items() if uci is not None}


def encode(feature: Feature, value: float | None, coding: Coding) -> bool | float | str | None:
    """Return a stored UCI value in a coding; None stays None, counts and codes become integers."""
    table = _encoder(feature.name, coding)
    return value if table is None or value is None else table[value]


def encode_row(row: Mapping[str, Any], coding: Coding) -> dict[str, Any]:
    """Return a logged row with its features written in a coding, all else as it is."""
    return {
        name: encode(BY_NAME[name], value, coding) if name in BY_NAME else value
        for name, value in row.items()
    }
