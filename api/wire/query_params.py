"""Query parameters, read strictly: unknown and repeated ones are rejected.

Pydantic models for the calls that FastAPI handles, one cached function for those that predict.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from functools import lru_cache
from typing import Annotated, Literal, NamedTuple
from urllib.parse import parse_qsl

from fastapi import Query, Request
from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field

from api.wire.problems import FieldError, validation_problem
from db.ids import is_id
from db.schema import SOURCES
from pipeline.dataset.heart.codings import Coding

MAX_PARAMS = 10
"""More than any call takes; a longer query is not parsed."""

_TIME = "send an RFC 3339 time with a time zone, e.g. 2026-01-31T08:00:00Z (encode + as %2B)"
MESSAGES = {
    "since": _TIME,
    "until": _TIME,
    "source": f"send one of {', '.join(SOURCES)}, or leave it out",
    "limit": "send a whole number from 1 to 1000",
    "cursor": "send `next` from the previous page, unchanged",
    "format": "send one of json, jsonl, csv",
    "coding": f"send one of {', '.join(Coding)}",
}

RFC3339 = re.compile(
    r"\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d:\d\d(\.\d{1,9})?([Zz]|[+-]\d\d:\d\d)", re.ASCII
)
_NUMBER = re.compile(r"[1-9][0-9]*")


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


def _plain_number(text: object) -> object:
    """Reject what Python would also read as a number: 1_0, +10, 10.0, digits of other scripts."""
    if isinstance(text, str) and not _NUMBER.fullmatch(text):
        raise ValueError("not a whole number")
    return text


def _an_id(text: str) -> str:
    if not is_id(text):
        raise ValueError("not an id")
    return text


Time = Annotated[
    datetime,
    BeforeValidator(parse_rfc3339, json_schema_input_type=str),
    Field(json_schema_extra={"format": "date-time"}),
]
Source = Literal[SOURCES]  # type: ignore[valid-type]

_Limited = Annotated[int, Field(ge=1, le=1000)]
Limit = Annotated[_Limited, BeforeValidator(_plain_number, json_schema_input_type=_Limited)]

_UUID7 = "^[0-9a-d][0-9a-f]{7}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$"
"""As documented; those that begin with e or f lie beyond the year 9600."""

Cursor = Annotated[str, AfterValidator(_an_id), Field(json_schema_extra={"pattern": _UUID7})]


class NoParams(BaseModel):
    """A call without query parameters."""

    model_config = ConfigDict(extra="forbid")


class CodingParams(NoParams):
    """How categories are written in the reply."""

    coding: Coding = Coding.LABELS


class LogFilter(CodingParams):
    """Which part of the log, and how to write it: since <= received_at < until."""

    since: Time | None = Field(None, description="RFC 3339 with zone, inclusive.")
    until: Time | None = Field(None, description="RFC 3339 with zone, exclusive.")
    source: Source | None = Field(None, description="None = every source.")
    limit: Limit | None = Field(None, description="Rows of a page; json: 100 unless given.")
    cursor: Cursor | None = Field(None, description="`next` from the previous page.")
    format: Literal["json", "jsonl", "csv"] = "json"


NoQuery = Annotated[NoParams, Query()]


def reject_repeated(request: Request) -> None:
    """Reject a query parameter that is given twice, because only one of them would count.

    A query with more than any call takes is rejected unread: FastAPI searches all of it for each
    name.
    """
    if request.scope["query_string"].count(b"&") >= MAX_PARAMS:
        message = f"more than {MAX_PARAMS} parameters; see /docs for the known ones"
        raise validation_problem([FieldError("query", message, "query")])
    names = [name for name, _ in request.query_params.multi_items()]
    repeated = {name for name in names if names.count(name) > 1} & MESSAGES.keys()
    if repeated:
        errors = [FieldError(name, "repeated; send it once", "query") for name in repeated]
        raise validation_problem(errors)


class PredictParams(NamedTuple):
    """How to read the body, whether to explain, and where the request comes from."""

    coding: Coding = Coding.LABELS
    explain: bool = False
    source: str = "live"
    errors: tuple[FieldError, ...] = ()
    """What is wrong with the query; the rest is then for counting only."""


_VALUES: dict[str, dict[str, object]] = {
    "coding": {str(coding): coding for coding in Coding},
    "explain": {"true": True, "false": False},
    "source": {source: source for source in SOURCES},
}

PREDICT_PARAMS = frozenset(_VALUES)
BATCH_PARAMS = PREDICT_PARAMS - {"explain"}


@lru_cache(maxsize=256)  # errors, too: a flood of rejections must not cost more than predictions
def parse_predict_params(query: bytes, allowed: frozenset[str] = PREDICT_PARAMS) -> PredictParams:
    """Return `coding`, `explain` and `source` as far as they are allowed, and what is wrong."""
    try:
        pairs = parse_qsl(query.decode("ascii"), keep_blank_values=True, max_num_fields=MAX_PARAMS)
    except (ValueError, UnicodeDecodeError):
        unreadable = FieldError("query", "cannot be read; send ?name=value&...", "query")
        return PredictParams(errors=(unreadable,))
    chosen: dict[str, object] = {}
    errors = []
    for key, text in pairs:
        if key not in allowed or text not in _VALUES[key] or key in chosen:
            errors.append(_error(key, allowed))
        else:
            chosen[key] = _VALUES[key][text]
    return PredictParams(**chosen, errors=tuple(errors))  # type: ignore[arg-type]


def _error(key: str, allowed: frozenset[str]) -> FieldError:
    if key not in allowed:
        message = f"unknown query parameter; allowed: {', '.join(sorted(allowed))}"
        return FieldError("query", message, "unknown_parameter")
    values = ", ".join(_VALUES[key])
    return FieldError(key, f"unknown value or repeated parameter; send one of {values}", "query")
