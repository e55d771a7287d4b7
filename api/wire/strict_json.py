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


def _reject_constant(_: str) -> float:
    message = "NaN and Infinity are not valid JSON; send null for an unknown value"
    raise validation_problem([FieldError("body", message, "not_finite")])


def _unique_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        counts = Counter(name for name, _ in pairs)
        repeated = next(name for name, count in counts.items() if count > 1)
        field = repeated if repeated in BY_NAME else "body"
        error = FieldError(field, "duplicate key; send each key once", "duplicate")
        raise validation_problem([error])
    return found


_DECODER = json.JSONDecoder(
    parse_constant=_reject_constant,
    object_pairs_hook=_unique_keys,
    parse_int=lambda digits: int(digits) if len(digits) < _MAX_DIGITS else math.inf,
)


def parse(body: bytes) -> Any:
    """Return the JSON value.

    Raises
    ------
    Problem
        422 with the one error that makes the body unreadable.
    """
    try:
        return _DECODER.decode(body.decode("utf-8"))
    except (ValueError, RecursionError):
        raise validation_problem([UNREADABLE]) from None


def parse_object(body: bytes, allowed: frozenset[str]) -> dict[str, Any]:
    """Return the small JSON object of a call that takes one.

    Raises
    ------
    Problem
        422 when it is anything else or has a key that is not allowed.
    """
    sent = parse(body)
    if not isinstance(sent, dict) or not sent.keys() <= allowed:
        message = f"send a JSON object with only these keys: {', '.join(sorted(allowed))}"
        raise validation_problem([FieldError("body", message, "unknown_key")])
    return sent
