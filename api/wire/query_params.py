"""Query parameters, declared once and read strictly: unknown and repeated ones are rejected."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any, NamedTuple
from urllib.parse import parse_qsl

from fastapi import Depends, Request

from api.wire.problems import FieldError, validation_problem
from db.ids import is_id
from db.schema import SOURCES
from pipeline.dataset.heart import Coding

MAX_PARAMS = 10
"""More than any call takes; a longer query is not parsed."""

RFC3339 = re.compile(
    r"\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d:\d\d(\.\d{1,9})?([Zz]|[+-]\d\d:\d\d)", re.ASCII
)
_UUID7 = "^[0-9a-d][0-9a-f]{7}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$"
"""As documented; those that begin with e or f lie beyond the year 9600."""


def parse_rfc3339(text: object) -> datetime:
    """Return an RFC 3339 time with a time zone, in UTC.

    Raises
    ------
    ValueError
        When it is anything else.
    """
    if not isinstance(text, str) or not RFC3339.fullmatch(text):
        raise ValueError("not an RFC 3339 time with a time zone")
    try:
        return datetime.fromisoformat(text.upper().replace("Z", "+00:00")).astimezone(UTC)
    except OverflowError:
        raise ValueError("before the year 1 or after the year 9999 in UTC") from None


class Param(NamedTuple):
    """A query parameter: how it is read (or ValueError, KeyError), and documented."""

    read: Callable[[str], object]
    expected: str
    description: str
    schema: Mapping[str, object]


def _one_of(values: Mapping[str, object], description: str, **schema: object) -> Param:
    schema = {"type": "string", "enum": list(values)} | schema
    return Param(values.__getitem__, f"send one of {', '.join(values)}", description, schema)


def _time(description: str) -> Param:
    expected = "send an RFC 3339 time with a time zone, e.g. 2026-01-31T08:00:00Z (encode + as %2B)"
    return Param(parse_rfc3339, expected, description, {"type": "string", "format": "date-time"})


def _limit(text: str) -> int:
    """Read a plain number; Python would also take 1_0, +10 and digits of other scripts."""
    if not re.fullmatch("[1-9][0-9]{0,3}", text) or int(text) > 1000:
        raise ValueError
    return int(text)


def _cursor(text: str) -> str:
    if not is_id(text):
        raise ValueError
    return text


PARAMS: Mapping[str, Param] = {
    "coding": _one_of(
        {str(coding): coding for coding in Coding},
        "How categories are written; integer codes in a body are rejected without it.",
        default="labels",
    ),
    "explain": _one_of(
        {"true": True, "false": False},
        "Add the 95 % interval and the explanation; where findings are unknown, also the range of "
        "the estimate over them and the finding that would narrow it most.",
        type="boolean", enum=[False, True], default=False,
    ),
    "source": _one_of(
        {source: source for source in SOURCES},
        "Origin: of a prediction `live` unless given, the only one that monitoring reads; of the "
        "log's rows any unless given.",
    ),
    "since": _time("Inclusive."),
    "until": _time("Exclusive."),
    "limit": Param(
        _limit, "send a whole number from 1 to 1000", "Rows of a page; json: 100 unless given.",
        {"type": "integer", "minimum": 1, "maximum": 1000},
    ),
    "cursor": Param(
        _cursor, "send `next` from the previous page, unchanged", "`next` from the previous page.",
        {"type": "string", "pattern": _UUID7},
    ),
    "format": _one_of(
        {name: name for name in ("json", "jsonl", "csv")},
        "json: a page; jsonl and csv: all rows, streamed, unless a limit or cursor is given.",
        default="json",
    ),
}  # fmt: skip

PREDICT_PARAMS = "coding", "explain", "source"
BATCH_PARAMS = "coding", "source"


class Params(NamedTuple):
    """The parameters of a call, and what is wrong with them."""

    coding: Coding = Coding.LABELS
    explain: bool = False
    source: str | None = None
    since: datetime | None = None
    until: datetime | None = None
    limit: int | None = None
    cursor: str | None = None
    format: str = "json"
    errors: tuple[FieldError, ...] = ()
    """The rest is then for counting only."""


def split_query(query: bytes) -> list[tuple[str, str]] | None:
    """Return names and values in their order; None for a query that cannot be read."""
    try:
        return parse_qsl(query.decode("ascii"), keep_blank_values=True, max_num_fields=MAX_PARAMS)
    except (ValueError, UnicodeDecodeError):
        return None


@lru_cache(maxsize=256)  # errors, too: a flood of rejections must not cost more than predictions
def parse_query(query: bytes, allowed: tuple[str, ...]) -> Params:
    """Return the allowed parameters of a query, and what is wrong with it."""
    pairs = split_query(query)
    if pairs is None:
        message = f"cannot be read, or more than {MAX_PARAMS} parameters; send ?name=value&..."
        return Params(errors=(FieldError("query", message, "query"),))
    chosen: dict[str, Any] = {}
    errors = []
    for name, text in pairs:
        if name not in allowed:
            known = f"allowed: {', '.join(allowed)}" if allowed else "this call takes none"
            message = f"unknown query parameter; {known}"
            errors.append(FieldError("query", message, "unknown_parameter"))
        elif name in chosen:
            errors.append(FieldError(name, "repeated; send it once", "query"))
        else:
            try:
                chosen[name] = PARAMS[name].read(text)
            except (KeyError, ValueError):
                chosen[name] = None
                errors.append(FieldError(name, PARAMS[name].expected, "query"))
    valid = {name: value for name, value in chosen.items() if value is not None}
    return Params(**valid, errors=tuple(errors))


def reading(*allowed: str) -> Any:
    """Return the dependency that reads these parameters, or raises the 422 for them."""

    def read(request: Request) -> Params:
        found = parse_query(request.scope["query_string"], allowed)
        if found.errors:
            raise validation_problem(found.errors)
        return found

    return Depends(read)


def documented(*names: str) -> list[dict[str, Any]]:
    """Return the OpenAPI documentation of parameters."""
    return [
        {
            "name": name, "in": "query", "required": False, "schema": dict(PARAMS[name].schema),
            "description": PARAMS[name].description,
        }
        for name in names
    ]  # fmt: skip
