"""The calls that FastAPI handles: log, outcomes, responses, model, schema, health and metrics."""

from __future__ import annotations

from collections.abc import Awaitable, Iterator
from datetime import UTC, datetime, timedelta
from itertools import chain, islice
from typing import Annotated, Any, TypedDict

from fastapi import APIRouter, Depends, Request
from fastapi.openapi.docs import get_swagger_ui_html
from fastapi.responses import Response
from starlette.concurrency import run_in_threadpool

from api import metrics
from api.auth.authorization import ANY_KEY, KEY, NO_KEY, RoleRoute, required_role, requires
from api.auth.hashed_names import hash_reference, sent_actor
from api.routes.predict import MAX_BODY
from api.service import Service, log_problem
from api.wire import openapi
from api.wire import openapi_schemas as doc
from api.wire.answers import explain_row
from api.wire.body import HEADERS_KEY, read_json_body
from api.wire.metadata import feature_metadata, model_metadata
from api.wire.problems import FieldError, Problem, validation_problem
from api.wire.query_params import Params, documented, parse_rfc3339, reading
from api.wire.replies import ExportResponse, json_response
from api.wire.strict_json import parse_object
from db.export import csv_lines, jsonl_lines
from db.ids import is_id
from db.reader.queries import MAX_PAGE
from db.schema import DECISIONS
from db.writer.writer import LogUnavailable
from db.writer.writes import MAX_CHANGES, MAX_PER_KEY, TOO_MANY
from pipeline.dataset.heart import ACTIONS, REASONS, Coding, encode_row
from pipeline.model import Model, ModelError, from_json
from pipeline.schema import NAMES

router = APIRouter(route_class=RoleRoute)

NoQuery = Annotated[Params, reading()]

_LOG_PARAMS = "coding", "since", "until", "source", "limit", "cursor", "format"
_PAGE_ROWS = 100
_FIRST = datetime(1900, 1, 1, tzinfo=UTC)
_CLOCK_SKEW = timedelta(minutes=5)


class _Window(TypedDict):
    since: datetime | None
    until: datetime | None
    source: str | None


def get_service(request: Request) -> Service:
    """Return the service that the lifespan opened."""
    service: Service = request.app.state.service
    return service


ServiceDep = Annotated[Service, Depends(get_service)]


def prediction_id(id: str) -> str:  # noqa: A002 - the contract's name
    """Return a well-formed id; anything else is a 404."""
    if not is_id(id):
        raise _not_found()
    return id


PredictionId = Annotated[str, Depends(prediction_id)]


def _not_found() -> Problem:
    return Problem(404, "no-such-prediction", "There is no prediction with this id in the log.")


def _row(service: Service, wanted: str) -> dict[str, Any]:
    row = service.reader.get(wanted)
    if row is None:
        raise _not_found()
    return row


@router.get(
    "/predictions",
    responses=doc.LOG_RESPONSES,
    openapi_extra={"parameters": documented(*_LOG_PARAMS)},
)
@requires("read")
def predictions(
    request: Request, service: ServiceDep, chosen: Annotated[Params, reading(*_LOG_PARAMS)]
) -> Response:
    """Read the log, newest first: a page as JSON, or the whole window as JSONL or CSV."""
    window = _Window(since=chosen.since, until=chosen.until, source=chosen.source)
    paged = chosen.format == "json" or chosen.limit is not None or chosen.cursor is not None
    if chosen.format != "json" and request.scope["http_version"] == "1.0":
        raise _old_http()
    if not paged and request.method != "HEAD":  # which needs no more than the first page
        return _stream(service.reader.stream(**window), chosen)
    rows, following = service.reader.page(
        **window, limit=chosen.limit or _PAGE_ROWS, cursor=chosen.cursor
    )
    if chosen.format != "json":
        return _stream(iter(rows), chosen)
    items = [encode_row(row, chosen.coding) for row in rows]
    return json_response({"items": items, "next": following})


def _old_http() -> Problem:
    detail = (
        "HTTP/1.0 cannot signal a truncated export: use HTTP/1.1, also on any proxy in between."
    )
    newer = {"Upgrade": "HTTP/1.1", "Connection": "upgrade"}
    return Problem(426, "http-1.0", detail, headers=newer)


def _stream(rows: Iterator[dict[str, Any]], chosen: Params) -> Response:
    first = list(islice(rows, 1))  # an unreadable log is a 503 as long as nothing is sent
    rows = chain(first, rows)
    if chosen.format == "csv":
        return ExportResponse(csv_lines(rows, chosen.coding), media_type="text/csv")
    return ExportResponse(jsonl_lines(rows, chosen.coding), media_type="application/jsonl")


@router.post("/predictions/search", responses=doc.SEARCH_RESPONSES, openapi_extra=doc.SEARCH_BODY)
@requires("read")
async def search(request: Request, service: ServiceDep, _: NoQuery) -> Response:
    """Read a patient's newest predictions by the reference, which no address may hold."""
    body = await read_json_body(
        request.scope[HEADERS_KEY], request.receive, MAX_BODY, request.scope[KEY].id
    )
    sent = parse_object(body, frozenset({"patient_reference"})).get("patient_reference")
    if not isinstance(sent, str):
        message = "patient_reference must be a text"
        raise validation_problem([FieldError("body", message, "patient_reference")])
    only = {"patient": hash_reference(sent, service.seal_key)}
    rows, _following = await run_in_threadpool(service.reader.page, limit=MAX_PAGE, only=only)
    return json_response({"items": [encode_row(row, Coding.LABELS) for row in rows]})


@router.get(
    "/predictions/{id}",
    responses=doc.ROW_RESPONSES,
    openapi_extra={"parameters": documented("coding")},
)
@requires("read")
def prediction(
    service: ServiceDep, wanted: PredictionId, chosen: Annotated[Params, reading("coding")]
) -> Response:
    """Read one row of the log with its latest outcome."""
    return json_response(encode_row(_row(service, wanted), chosen.coding))


def _model_of(service: Service, version: str) -> Model:
    if version == service.model.version:
        return service.model
    scorecard = service.reader.model(version)
    if scorecard is None:
        detail = "The scorecard of this prediction is missing from the `models` table."
        raise Problem(404, "no-such-model", detail)
    try:
        return from_json(scorecard)
    except ModelError as cause:
        detail = f"The scorecard of this prediction cannot be used: {cause}."
        raise Problem(409, "model-unreadable", detail) from None


@router.get("/predictions/{id}/explanation", responses=doc.EXPLANATION_RESPONSES)
@requires("read")
def explanation(service: ServiceDep, wanted: PredictionId, _: NoQuery) -> Response:
    """Explain a prediction by the model version that made it, in log-odds."""
    row = _row(service, wanted)
    model = _model_of(service, row["model_version"])
    kept = {name: row[name] for name in ("id", "model_version", "probability")}
    return json_response(kept | explain_row(model, tuple(row[name] for name in NAMES)))


def _outcome(body: bytes) -> tuple[int, datetime | None]:
    sent = parse_object(body, frozenset({"outcome", "observed_at"}))
    outcome, observed = sent.get("outcome"), sent.get("observed_at")
    if isinstance(outcome, bool) or outcome not in (0, 1):  # 1.0 is the same JSON number as 1
        message = "outcome must be 1 (disease found) or 0 (no disease)"
        raise validation_problem([FieldError("body", message, "outcome")])
    try:
        moment = None if observed is None else parse_rfc3339(observed)
        if moment is not None and not _FIRST <= moment <= datetime.now(UTC) + _CLOCK_SKEW:
            raise ValueError("a mistyped year, or in the future")
    except ValueError:
        message = (
            "observed_at must be an RFC 3339 time with a time zone, from 1900 to now; or omit it"
        )
        raise validation_problem([FieldError("body", message, "observed_at")]) from None
    return int(outcome), moment


_CODES = {"decision": DECISIONS, "reason": (None, *REASONS), "action": (None, *ACTIONS)}


def _response(body: bytes) -> dict[str, Any]:
    sent = parse_object(body, frozenset(_CODES))
    for field, codes in _CODES.items():
        if sent.get(field) not in codes:
            said = ", ".join(code for code in codes if code)
            message = f"{field} must be one of {said}{'; or omit it' if None in codes else ''}"
            raise validation_problem([FieldError("body", message, field)])
    return sent


_FULL = (
    f"This API key has recorded the maximum of {MAX_PER_KEY} {{0}}s for this prediction. It can "
    f"still change the latest one, up to {MAX_CHANGES:,} {{0}}s in total; another key can also "
    "record one."
)


async def _reply(kind: str, recording: Awaitable[dict[str, Any] | str | None]) -> Response:
    try:
        recorded = await recording
    except LogUnavailable as cause:
        raise log_problem(cause) from cause
    if recorded is None:
        raise _not_found()
    if recorded == TOO_MANY:
        raise Problem(409, f"{kind}s-full", _FULL.format(kind))
    return json_response(recorded)


@router.put(
    "/predictions/{id}/outcome", responses=doc.OUTCOME_RESPONSES, openapi_extra=doc.OUTCOME_BODY
)
@requires("outcome")
async def outcome(
    request: Request, service: ServiceDep, wanted: PredictionId, _: NoQuery
) -> Response:
    """Record the outcome; the latest counts, earlier ones are kept."""
    key_id = request.scope[KEY].id
    body = await read_json_body(request.scope[HEADERS_KEY], request.receive, MAX_BODY, key_id)
    value, moment = _outcome(body)
    recording = service.writer.record_outcome(wanted, value, moment, key_id or None)
    return await _reply("outcome", recording)


@router.put(
    "/predictions/{id}/response", responses=doc.RESPONSE_RESPONSES, openapi_extra=doc.RESPONSE_BODY
)
@requires("predict")
async def clinician_response(
    request: Request, service: ServiceDep, wanted: PredictionId, _: NoQuery
) -> Response:
    """Record what a clinician made of a prediction; the latest counts, earlier ones are kept."""
    key, headers = request.scope[KEY], request.scope[HEADERS_KEY]
    said = _response(await read_json_body(headers, request.receive, MAX_BODY, key.id))
    actor = sent_actor(headers, service.seal_key, key.roles)
    record = service.writer.record_response
    return await _reply("response", record(wanted, **said, key_id=key.id or None, actor=actor))


@router.get("/model", responses=doc.STATIC_RESPONSES)
@requires(ANY_KEY)
def model(service: ServiceDep, _: NoQuery) -> Response:
    """Describe the model in use: version, threshold, training data, measured quality."""
    return json_response(
        model_metadata(service.model, service.evidence, service.population, service.threshold)
    )


@router.get("/schema", responses=doc.STATIC_RESPONSES)
@requires(ANY_KEY)
def schema(_: NoQuery) -> Response:
    """Describe the features: labels, units, limits and codes."""
    return json_response(feature_metadata())


@router.get("/healthz", responses=doc.HEALTH_RESPONSES)
@requires(NO_KEY)
async def healthz(_: NoQuery) -> Response:
    """Answer while the process is alive."""
    return json_response({"status": "alive"})


@router.get("/readyz", responses=doc.READY_RESPONSES)
@requires(NO_KEY)
async def readyz(service: ServiceDep, _: NoQuery) -> Response:
    """Check whether predictions are possible now: model file, keys, database and writer."""
    return json_response(await service.check_ready())


@router.get("/metrics", responses=doc.METRICS_RESPONSES, response_class=Response)
@requires(NO_KEY)
def prometheus(service: ServiceDep, _: NoQuery) -> Response:
    """Expose the counters, and the gauges of the latest monitoring run, to Prometheus."""
    text = metrics.render() + service.monitoring_gauges.render()
    return Response(text, headers={"Content-Type": metrics.CONTENT_TYPE})


@router.get("/openapi.json", include_in_schema=False)
@requires(ANY_KEY)
async def openapi_json(request: Request) -> Response:
    """Return the OpenAPI document."""
    return json_response(openapi.build_document(request.app, KEYLESS))


@router.get("/docs", include_in_schema=False)
@requires(ANY_KEY)
async def docs() -> Response:
    """Show the OpenAPI document; every file is served by this service."""
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
    if isinstance(route, RoleRoute) and required_role(route.endpoint) == NO_KEY
)
"""Probes and Prometheus hold no key; these reveal nothing about a patient."""
