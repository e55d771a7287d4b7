"""The server's connection, with its rejections as problems (RFC 9457) and counted."""

from __future__ import annotations

from functools import cache

from api.metrics import rejection_counter
from api.server.connection import Connection, Rejection
from api.wire.problems import MEDIA_TYPE, Problem


class ProblemConnection(Connection):
    """A connection that rejects requests in the API's own form."""

    def render(self, rejection: Rejection) -> tuple[bytes, bytes]:
        """Count the rejection; return its media type and JSON document."""
        rejection_counter("connection", rejection.status).inc()
        return MEDIA_TYPE.encode(), _body(rejection)


@cache  # a flood of rejections must not cost more than good requests
def _body(rejection: Rejection) -> bytes:
    return Problem(*rejection).body()
