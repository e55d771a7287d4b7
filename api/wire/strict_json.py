"""JSON, read strictly: UTF-8, no NaN or Infinity, no duplicate keys, no absurd numbers."""

from __future__ import annotations

import json
import math
from collections import Counter
from typing import Any

from api.wire.problems import FieldError, validation_problem
from pipeline.schema import BY_NAME

UNREADABLE = FieldError("body", "not valid JSON; send one JSON object in UTF-8", "malformed")
_MAX_DIGITS = 300
"""Longer integers are infinite here: a float ends at 309 digits, and checks compare floats."""


class InvalidJson(Exception):
    """The body as a whole cannot be read."""

    def __init__(self, error: FieldError) -> None:
        super().__init__(error.reason)
        self.error = error


def _refuse_constant(_: str) -> float:
    message = "NaN and Infinity are not valid JSON; send null for an unknown value"
    raise InvalidJson(FieldError("body", message, "not_finite"))


def _unique_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        counts = Counter(name for name, _ in pairs)
        repeated = next(name for name, count in counts.items() if count > 1)
        field = repeated if repeated in BY_NAME else "body"
        raise InvalidJson(FieldError(field, "duplicate key; send each key once", "duplicate"))
    return found


_DECODER = json.JSONDecoder(
    parse_constant=_refuse_constant,
    object_pairs_hook=_unique_keys,
    parse_int=lambda digits: int(digits) if len(digits) < _MAX_DIGITS else math.inf,
)


def parse(body: bytes) -> Any:
    """Return the JSON value.

    Raises
    ------
    InvalidJson
        With the `FieldError` that says what is wrong.
    """
    try:
        return _DECODER.decode(body.decode("utf-8"))
    except (ValueError, RecursionError):
        raise InvalidJson(UNREADABLE) from None


def parse_object(body: bytes, allowed: frozenset[str]) -> dict[str, Any]:
    """Return the small JSON object of a call that takes one.

    Raises
    ------
    Problem
        422 when it is anything else or has a key that is not allowed.
    """
    try:
        sent = parse(body)
    except InvalidJson as invalid:
        raise validation_problem([invalid.error]) from None
    if not isinstance(sent, dict) or not sent.keys() <= allowed:
        message = f"send a JSON object with only these keys: {', '.join(sorted(allowed))}"
        raise validation_problem([FieldError("body", message, "unknown_key")])
    return sent
