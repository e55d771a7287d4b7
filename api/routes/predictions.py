"""The ordinary calls: the log read back, outcomes, the model, the schema, health and metrics."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import chain, islice
from typing import Annotated, Any, TypedDict

from fastapi import APIRouter, Depends, Query, Request
from fastapi.openapi.docs import get_swagger_ui_html
from fastapi.responses import Response, StreamingResponse
from starlette.types import Send

from api import metrics
from api.auth.authorization import ANY_KEY, KEY, NO_KEY, Guarded, required_role, requires
from api.routes.predict import BODY_MAX, explain
from api.service import Service, not_logged
from api.wire import openapi
from api.wire import openapi_schemas as doc
from api.wire.body import HEADERS, read_json_body
from api.wire.metadata import features, model_card
from api.wire.problems import FieldError, Problem, invalid
from api.wire.query_params import Coded, Filter, Nothing, rfc3339, single_values
from api.wire.replies import json_response
from api.wire.validation_errors import json_object
from db.engine import DatabaseUnavailable
from db.export import csv_lines, jsonl_lines
from db.ids import is_id
from db.writer.writer import LogUnavailable
from db.writer.writes import CHANGES_MAX, FULL, OUTCOMES_MAX
from pipeline.dataset.heart.codings import encode_row
from pipeline.model import Model, from_json
from pipeline.schema import NAMES

logger = logging.getLogger("cardiowatch.api")

router = APIRouter(dependencies=[Depends(single_values)], route_class=Guarded)

_PAGE_ROWS = 100
_FIRST = datetime(1900, 1, 1, tzinfo=UTC)
_CLOCK_SKEW = timedelta(minutes=5)


class _Window(TypedDict):
    since: datetime | None
    until: datetime | None
    source: str | None


def service_of(request: Request) -> Service:
    """Return what the lifespan opened."""
    service: Service = request.app.state.service
    return service


Parts = Annotated[Service, Depends(service_of)]
NoQuery = Annotated[Nothing, Query()]


def existing_id(id: str) -> str:  # noqa: A002 - the contract's name
    """Return an id that could be in the log; anything else cannot be found (404)."""
    if not is_id(id):
        raise _not_found()
    return id


Id = Annotated[str, Depends(existing_id)]


def _not_found() -> Problem:
    return Problem(404, "no-such-prediction", "There is no prediction with this id in the log.")


def _row(parts: Service, wanted: str) -> dict[str, Any]:
    row = parts.reader.get(wanted)
    if row is None:
        raise _not_found()
    return row


@router.get("/predictions", responses=doc.LOG)
@requires("read")
def predictions(request: Request, parts: Parts, chosen: Annotated[Filter, Query()]) -> Response:
    """Read the log, newest first: a page as JSON, or the whole window as JSONL or CSV."""
    window = _Window(since=chosen.since, until=chosen.until, source=chosen.source)
    paged = chosen.format == "json" or chosen.limit is not None or chosen.cursor is not None
    if chosen.format != "json" and request.scope["http_version"] == "1.0":
        raise _old_http()
    if not paged:
        return _stream(parts.reader.stream(**window), chosen)
    rows, following = parts.reader.page(
        **window, limit=chosen.limit or _PAGE_ROWS, cursor=chosen.cursor
    )
    if chosen.format != "json":
        return _stream(iter(rows), chosen)
    items = [encode_row(row, chosen.coding) for row in rows]
    return json_response({"items": items, "next": following})


def _old_http() -> Problem:
    detail = (
        "HTTP/1.0 cannot tell a whole export from one that was cut off: ask by HTTP/1.1, "
        "as must a proxy between."
    )
    newer = {"Upgrade": "HTTP/1.1", "Connection": "upgrade"}
    return Problem(426, "http-1.0", detail, headers=newer)


def _stream(rows: Iterator[dict[str, Any]], chosen: Filter) -> Response:
    first = list(islice(rows, 1))  # a log that cannot be read is a 503 as long as nothing is sent
    rows = chain(first, rows)
    if chosen.format == "csv":
        return _Export(csv_lines(rows, chosen.coding), media_type="text/csv")
    return _Export(jsonl_lines(rows, chosen.coding), media_type="application/jsonl")


class _Export(StreamingResponse):
    """Rows as they are read; cut off, so that nobody takes them for all, when that fails."""

    async def stream_response(self, send: Send) -> None:
        """Send the rows; no end of the answer when the log cannot be read any more."""
        try:
            await super().stream_response(send)
        except DatabaseUnavailable as cause:
            logger.warning("an export was cut off, the log cannot be read: %s", cause)


@router.get("/predictions/{id}", responses=doc.ROW)
@requires("read")
def prediction(parts: Parts, wanted: Id, chosen: Annotated[Coded, Query()]) -> Response:
    """Read one row of the log with its newest outcome."""
    return json_response(encode_row(_row(parts, wanted), chosen.coding))


def _model_of(parts: Service, version: str) -> Model:
    if version == parts.model.version:
        return parts.model
    scorecard = parts.reader.model(version)
    if scorecard is None:
        detail = "The scorecard that made this prediction is not in the `models` table."
        raise Problem(404, "no-such-model", detail)
    return from_json(scorecard)


@router.get("/predictions/{id}/explanation", responses=doc.EXPLANATION)
@requires("read")
def explanation(parts: Parts, wanted: Id, _: NoQuery) -> Response:
    """Explain a prediction by the model version that made it, in log-odds."""
    row = _row(parts, wanted)
    interval, reasons = explain(
        _model_of(parts, row["model_version"]), tuple(row[name] for name in NAMES)
    )
    kept = {name: row[name] for name in ("id", "model_version", "probability")}
    return json_response({**kept, "interval": interval, "explanation": reasons})


def _outcome(body: bytes) -> tuple[int, datetime | None]:
    sent = json_object(body, frozenset({"outcome", "observed_at"}))
    outcome, observed = sent.get("outcome"), sent.get("observed_at")
    if isinstance(outcome, bool) or outcome not in (0, 1):  # 1.0 is the same JSON number as 1
        message = "outcome must be 1 (disease found) or 0 (no disease)"
        raise invalid([FieldError("body", message, "outcome")])
    try:
        moment = None if observed is None else rfc3339(observed)
        if moment is not None and not _FIRST <= moment <= datetime.now(UTC) + _CLOCK_SKEW:
            raise ValueError("a mistyped year, or in the future")
    except ValueError:
        message = (
            "observed_at must be a past RFC 3339 time with its zone, from 1900 on, or be left out"
        )
        raise invalid([FieldError("body", message, "observed_at")]) from None
    return int(outcome), moment


_OUTCOMES_FULL = (
    f"This API key has recorded {OUTCOMES_MAX} outcomes of this prediction. It can still change "
    f"what the newest says, up to {CHANGES_MAX:,} outcomes in all; another key can record one, too."
)


@router.put("/predictions/{id}/outcome", responses=doc.OUTCOME, openapi_extra=doc.OUTCOME_BODY)
@requires("outcome")
async def outcome(request: Request, parts: Parts, wanted: Id, _: NoQuery) -> Response:
    """Record the later-known truth; the newest counts, earlier ones are kept."""
    key_id = request.scope[KEY].id
    body = await read_json_body(request.scope[HEADERS], request.receive, BODY_MAX, key_id)
    value, moment = _outcome(body)
    try:
        recorded = await parts.log.record_outcome(wanted, value, moment, key_id or None)
    except LogUnavailable as cause:
        raise not_logged(cause) from None
    if recorded is None:
        raise _not_found()
    if recorded == FULL:
        raise Problem(409, "outcomes-full", _OUTCOMES_FULL)
    return json_response(recorded)


@router.get("/model", responses=doc.STATIC)
@requires(ANY_KEY)
def model(parts: Parts, _: NoQuery) -> Response:
    """Describe the model in use: version, threshold, training data, measured quality."""
    return json_response(model_card(parts.model, parts.evidence, parts.threshold))


@router.get("/schema", responses=doc.STATIC)
@requires(ANY_KEY)
def schema(_: NoQuery) -> Response:
    """Describe the thirteen features: words, units, limits and codes."""
    return json_response(features())


@router.get("/healthz", responses=doc.HEALTH)
@requires(NO_KEY)
async def healthz(_: NoQuery) -> Response:
    """Say that the process is alive."""
    return json_response({"status": "alive"})


@router.get("/readyz", responses=doc.READY)
@requires(NO_KEY)
async def readyz(parts: Parts, _: NoQuery) -> Response:
    """Say whether a prediction would be answered now: model file, database and writer are asked."""
    return json_response(await parts.check_ready())


@router.get("/metrics", responses=doc.METRICS, response_class=Response)
@requires(NO_KEY)
def prometheus(parts: Parts, _: NoQuery) -> Response:
    """Expose the counters, and the gauges of the newest monitoring pass, to Prometheus."""
    text = metrics.render() + parts.last_pass.render()
    return Response(text, headers={"Content-Type": metrics.CONTENT_TYPE})


@router.get("/openapi.json", include_in_schema=False)
@requires(ANY_KEY)
async def openapi_json(request: Request) -> Response:
    """Send the OpenAPI document."""
    return openapi.response(request.app, KEYLESS)


@router.get("/docs", include_in_schema=False)
@requires(ANY_KEY)
async def docs() -> Response:
    """Show the OpenAPI document; everything comes from this machine."""
    return get_swagger_ui_html(
        openapi_url="/openapi.json",
        title="Cardiowatch API",
        swagger_js_url="/docs/assets/swagger-ui-bundle.js",
        swagger_css_url="/docs/assets/swagger-ui.css",
        swagger_favicon_url="/docs/assets/favicon-32x32.png",
    )


KEYLESS = frozenset(
    route.path
    for route in router.routes
    if isinstance(route, Guarded) and required_role(route.endpoint) == NO_KEY
)
"""Probes and Prometheus hold no key; these say nothing of a patient."""
