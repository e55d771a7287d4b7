"""What a predict request gets back; the class names are the components of the OpenAPI document."""

from __future__ import annotations

from typing import Any

import msgspec
from msgspec import UNSET, UnsetType

from pipeline.dataset.heart import Coding, encode
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
    unknown_range: list[float] | UnsetType = UNSET
    """95 % range of the estimate, were the unknown findings known; absent when none is unknown."""
    most_informative: str | UnsetType = UNSET


def explain_row(model: Model, row: Row) -> dict[str, Any]:
    """Return the fields of an `Answer` that explain it.

    They are the 95 % interval of the fitted probability, the exact contributions of the model's
    own features, and, where findings are unknown, the range of the estimate over them and the
    finding that would narrow it most.
    """
    found = model.explain(row)
    contributions = [
        Contribution(feature.name, encode(feature, value, Coding.LABELS), contribution)
        for feature, value, contribution in zip(FEATURES, row, found.contributions, strict=True)
        if feature.name in model.features
    ]
    explained: dict[str, Any] = {
        "interval": found.interval,
        "explanation": Explanation("log-odds", found.base_value, contributions),
    }
    if found.unknown_range is not None:
        explained["unknown_range"] = found.unknown_range
        explained["most_informative"] = found.most_informative
    return explained
