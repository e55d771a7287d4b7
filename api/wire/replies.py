"""Replies on the wire: JSON, problems, and complete responses that bypass the framework."""

from __future__ import annotations

import logging
from collections.abc import Iterable

import msgspec
from starlette.responses import Response, StreamingResponse
from starlette.types import Scope, Send

from api.server.request_cycle import WHOLE_RESPONSE
from api.wire.problems import MEDIA_TYPE, Problem
from db.engine import DatabaseUnavailable
from logs import REQUEST_ID

logger = logging.getLogger("cardiowatch.api")

_MEDIA_TYPE = MEDIA_TYPE.encode()


def json_response(content: object) -> Response:
    """Return JSON; times as RFC 3339 in UTC."""
    return Response(msgspec.json.encode(content), media_type="application/json")


def problem_response(problem: Problem) -> Response:
    """Return a problem that names the current request."""
    body = problem.body(REQUEST_ID.get())
    return Response(body, problem.status, headers=problem.headers, media_type=MEDIA_TYPE)


class ExportResponse(StreamingResponse):
    """Rows as they are read; truncated visibly when that fails."""

    async def stream_response(self, send: Send) -> None:
        """Send the rows; leave the response incomplete when the log cannot be read any more."""
        try:
            await super().stream_response(send)
        except DatabaseUnavailable as cause:
            logger.warning("export truncated, the log cannot be read: %s", cause)


async def send_reply(
    scope: Scope,
    send: Send,
    status: int,
    media_type: bytes,
    body: bytes,
    headers: Iterable[tuple[bytes, bytes]] = (),
) -> None:
    """Send a complete response, in one message where the server takes one.

    Header names are in lower case; names and values are our own words.
    """
    sent = [(b"content-type", media_type), *headers]
    if WHOLE_RESPONSE in scope.get("extensions", ()):
        await send({"type": WHOLE_RESPONSE, "status": status, "headers": sent, "body": body})
        return
    sent.append((b"content-length", b"%d" % len(body)))
    await send({"type": "http.response.start", "status": status, "headers": sent})
    await send({"type": "http.response.body", "body": body})


async def send_problem(scope: Scope, send: Send, problem: Problem, instance: str) -> None:
    """Send a problem with the id of its occurrence."""
    headers = [(name.lower().encode(), value.encode()) for name, value in problem.headers.items()]
    await send_reply(scope, send, problem.status, _MEDIA_TYPE, problem.body(instance), headers)
