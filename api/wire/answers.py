"""What a predict request gets back; the class names are the components of the OpenAPI document."""

from __future__ import annotations

import msgspec
from msgspec import UNSET, UnsetType

from pipeline.dataset.heart.codings import Coding, encode
from pipeline.model import Model
from pipeline.schema import FEATURES, Row


class Warned(msgspec.Struct, gc=False):
    """A value that was accepted and deserves a second look."""

    field: str
    message: str


class Contribution(msgspec.Struct, gc=False):
    """What one feature adds to the log-odds of this patient."""

    feature: str
    value: bool | float | str | None
    contribution: float


class Explanation(msgspec.Struct, gc=False):
    """The probability taken apart: base value plus contributions, in log-odds."""

    scale: str
    base_value: float
    contributions: list[Contribution]


class Answer(msgspec.Struct, gc=False):
    """The body of a 200."""

    id: str
    prediction: int
    probability: float
    threshold: float
    model_version: str
    missing: list[str]
    warnings: list[Warned]
    interval: list[float] | UnsetType = UNSET
    explanation: Explanation | UnsetType = UNSET


def explain_row(model: Model, row: Row) -> tuple[list[float], Explanation]:
    """Return the 95 % interval of the fitted probability and the exact contributions."""
    found = model.explain(row)
    contributions = [
        Contribution(feature.name, encode(feature, value, Coding.LABELS), contribution)
        for feature, value, contribution in zip(FEATURES, row, found.contributions, strict=True)
    ]
    return list(found.interval), Explanation("log-odds", found.base_value, contributions)
