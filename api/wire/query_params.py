"""Query parameters of the calls that read the log: strict, unknown and doubled ones refused."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Annotated, Literal

from fastapi import Request
from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field

from api.wire.predict_query import PARAMETERS_MAX
from api.wire.problems import FieldError, invalid
from db.ids import is_id
from db.schema import SOURCES
from pipeline.dataset.heart.codings import Coding

_RFC3339 = re.compile(
    r"\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d:\d\d(\.\d{1,9})?([Zz]|[+-]\d\d:\d\d)", re.ASCII
)

_NUMBER = re.compile(r"[1-9][0-9]*")


def rfc3339(text: object) -> datetime:
    """Read an RFC 3339 time with its zone; in UTC.

    Raises
    ------
    ValueError
        When it is anything else.
    """
    if not isinstance(text, str) or not _RFC3339.fullmatch(text):
        raise ValueError("not an RFC 3339 time with a zone")
    try:
        return datetime.fromisoformat(text.upper().replace("Z", "+00:00")).astimezone(UTC)
    except OverflowError:
        raise ValueError("before the year 1 or after the year 9999 in UTC") from None


def _plain_number(text: object) -> object:
    """Refuse what Python would also read as a number: 1_0, +10, 10.0, digits of other scripts."""
    if isinstance(text, str) and not _NUMBER.fullmatch(text):
        raise ValueError("not a whole number")
    return text


Time = Annotated[
    datetime,
    BeforeValidator(rfc3339, json_schema_input_type=str),
    Field(json_schema_extra={"format": "date-time"}),
]
Source = Literal[SOURCES]  # type: ignore[valid-type]


def _an_id(text: str) -> str:
    if not is_id(text):
        raise ValueError("not an id")
    return text


_Limited = Annotated[int, Field(ge=1, le=1000)]
Limit = Annotated[_Limited, BeforeValidator(_plain_number, json_schema_input_type=_Limited)]

_UUID7 = "^[0-9a-d][0-9a-f]{7}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$"
"""As documented; those that begin with e or f lie beyond the year 9600."""

Cursor = Annotated[str, AfterValidator(_an_id), Field(json_schema_extra={"pattern": _UUID7})]


class Coded(BaseModel):
    """How categories are written in the reply."""

    model_config = ConfigDict(extra="forbid")

    coding: Coding = Coding.LABELS


class Nothing(BaseModel):
    """A call without query parameters."""

    model_config = ConfigDict(extra="forbid")


class Filter(Coded):
    """Which part of the log, and how to write it: since <= received_at < until."""

    since: Time | None = Field(None, description="RFC 3339 with zone, inclusive.")
    until: Time | None = Field(None, description="RFC 3339 with zone, exclusive.")
    source: Source | None = Field(None, description="None = every source.")
    limit: Limit | None = Field(None, description="Rows of a page; json: 100 unless given.")
    cursor: Cursor | None = Field(None, description="`next` of the page before.")
    format: Literal["json", "jsonl", "csv"] = "json"


SENTENCES = {
    "since": "send an RFC 3339 time with its zone, as 2026-01-31T08:00:00Z (write + as %2B)",
    "until": "send an RFC 3339 time with its zone, as 2026-01-31T08:00:00Z (write + as %2B)",
    "source": f"send one of {', '.join(SOURCES)}, or leave it out",
    "limit": "send a whole number from 1 to 1000",
    "cursor": "send the `next` of the page before, unchanged",
    "format": "send one of json, jsonl, csv",
    "coding": f"send one of {', '.join(Coding)}",
}


def single_values(request: Request) -> None:
    """Refuse a query parameter that is given twice, because only one of them would count.

    More than any call takes are refused unread: FastAPI looks for each name among all of them.
    """
    if request.scope["query_string"].count(b"&") >= PARAMETERS_MAX:
        message = f"more than {PARAMETERS_MAX} parameters; see /docs for those that are known"
        raise invalid([FieldError("query", message, "query")])
    names = [name for name, _ in request.query_params.multi_items()]
    twice = {name for name in names if names.count(name) > 1} & SENTENCES.keys()
    if twice:
        raise invalid([FieldError(name, "given twice; send it once", "query") for name in twice])
