"""Acknowledging an alert of the monitoring."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import Response

from api.auth.authorization import KEY, RoleRoute, requires
from api.routes.predict import MAX_BODY
from api.routes.predictions import NoQuery, ServiceDep
from api.service import log_problem
from api.wire import openapi_schemas as doc
from api.wire.body import HEADERS_KEY, read_json_body
from api.wire.problems import FieldError, Problem, validation_problem
from api.wire.replies import json_response
from api.wire.strict_json import parse_object
from db.ids import is_id
from db.writer.alerts import MAX_NAME, MAX_NOTE, acknowledge
from db.writer.writer import LogUnavailable

router = APIRouter(route_class=RoleRoute)


@router.post(
    "/alerts/{id}/acknowledgement",
    responses=doc.ACKNOWLEDGEMENT_RESPONSES,
    openapi_extra=doc.ACKNOWLEDGEMENT_BODY,
)
@requires("operate")
async def acknowledgement(
    request: Request,
    service: ServiceDep,
    id: str,  # noqa: A002 - the contract's name
    _: NoQuery,
) -> Response:
    """Acknowledge an alert, which ends its reminders; a later call replaces name and note."""
    key = request.scope[KEY]
    body = await read_json_body(request.scope[HEADERS_KEY], request.receive, MAX_BODY, key.id)
    sent = parse_object(body, frozenset({"by", "note"}))
    by = _text(sent, "by", MAX_NAME) or key.name[:MAX_NAME]
    note = _text(sent, "note", MAX_NOTE)
    if not is_id(id):
        raise _not_found()
    try:
        row = await service.writer.execute(lambda c: acknowledge(c, id, by, note))
    except LogUnavailable as cause:
        raise log_problem(cause) from None
    if row is None:
        raise _not_found()
    return json_response(row)


def _not_found() -> Problem:
    return Problem(404, "no-such-alert", "There is no alert with this id.")


def _text(sent: dict[str, Any], field: str, longest: int) -> str | None:
    text = sent.get(field)
    if text is None or text == "":
        return None
    if not isinstance(text, str) or len(text) > longest or not text.isprintable():
        message = f"{field} must be one line of at most {longest} characters; or omit it"
        raise validation_problem([FieldError(field, message, "too_long")])
    return text
