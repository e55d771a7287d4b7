"""One request and its response on a uvicorn connection, at less cost.

uvicorn takes a response in two messages and checks each header; that cost more than scoring. An
application that finds `WHOLE_RESPONSE` in the scope's `extensions` may send a complete response in
one message of that type: `status`, `headers` (its own words, in lower case; they are not checked)
and `body`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping, MutableMapping
from functools import lru_cache
from types import MappingProxyType
from typing import Any

from uvicorn.protocols.http.httptools_impl import (
    STATUS_LINE,
    HttpToolsProtocol,
    RequestResponseCycle,
)

WHOLE_RESPONSE = "http.response.whole"
EXTENSIONS: Mapping[str, Mapping[str, object]] = MappingProxyType({WHOLE_RESPONSE: {}})


class RequestCycle(RequestResponseCycle):
    """A request that has begun to arrive, and its response."""

    task: asyncio.Task[None]

    def __init__(self, connection: HttpToolsProtocol, *, keep_alive: bool) -> None:
        super().__init__(
            scope=connection.scope,
            transport=connection.transport,
            flow=connection.flow,
            logger=connection.logger,
            access_logger=connection.access_logger,
            access_log=False,
            default_headers=connection.server_state.default_headers,
            message_event=asyncio.Event(),
            expect_100_continue=connection.expect_100_continue,
            keep_alive=keep_alive,
            on_response=connection.on_response_complete,
        )
        self._tasks = connection.tasks

    async def run_asgi(self, app: Any) -> None:
        """Run the application; close the connection if it leaves its response incomplete."""
        try:
            await app(self.scope, self.receive, self.send)
        except BaseException as error:
            self.logger.error("Exception in ASGI application\n", exc_info=error)
        if not (self.response_complete or self.disconnected):
            if self.response_started:
                self.transport.close()  # the application logged why
            else:
                await self.send_500_response()
        self._tasks.discard(self.task)  # a callback would cost another step of the loop
        self.on_response = lambda: None  # or connection and cycle would reference each other
        self.body.clear()  # the connection keeps the cycle until the next request

    async def send(self, message: MutableMapping[str, Any]) -> None:  # type: ignore[override]
        """Take one message of ASGI's, or a whole response."""
        if message["type"] != WHOLE_RESPONSE:
            await super().send(message)  # type: ignore[arg-type]
        elif self.flow.write_paused or self.response_started or self.scope["method"] == "HEAD":
            headers = [*message["headers"], (b"content-length", b"%d" % len(message["body"]))]
            start = {"type": "http.response.start", "status": message["status"], "headers": headers}
            await super().send(start)  # type: ignore[arg-type]
            await super().send({"type": "http.response.body", "body": message["body"]})
        elif not self.disconnected:
            self._write_whole(message["status"], message["headers"], message["body"])

    def _write_whole(
        self, status: int, headers: Iterable[tuple[bytes, bytes]], body: bytes
    ) -> None:
        self.response_started = self.response_complete = True
        self.waiting_for_100_continue = False
        self.transport.write(
            b"%s%scontent-length: %d\r\n%s\r\n%s"
            % (
                STATUS_LINE[status],
                _lines(*self.default_headers, *headers),
                len(body),
                b"" if self.keep_alive else b"connection: close\r\n",
                body,
            )
        )
        self.message_event.set()
        if not self.keep_alive:
            self.transport.close()
        self.on_response()


@lru_cache(maxsize=64)  # few differ, apart from the date once a second
def _lines(*headers: tuple[bytes, bytes]) -> bytes:
    return b"".join([b"%s: %s\r\n" % header for header in headers])
