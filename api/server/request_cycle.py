"""One request and its response on a uvicorn connection, at less cost.

uvicorn takes a response in two messages and checks each header; that cost more than scoring. An
application that finds `WHOLE_RESPONSE` in the scope's `extensions` may send a complete response in
one message of that type: `status`, `headers` (its own words, in lower case; they are not checked)
and `body`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping, MutableMapping
from functools import cached_property, lru_cache
from types import MappingProxyType
from typing import Any

from uvicorn.protocols.http.httptools_impl import (
    STATUS_LINE,
    HttpToolsProtocol,
    RequestResponseCycle,
)

Header = tuple[bytes, bytes]

WHOLE_RESPONSE = "http.response.whole"
EXTENSIONS: Mapping[str, Mapping[str, object]] = MappingProxyType({WHOLE_RESPONSE: {}})


class RequestCycle(RequestResponseCycle):
    """A request that has begun to arrive, and its response."""

    disconnected = False
    more_body = True
    access_log = False
    response_started = False
    response_complete = False
    chunked_encoding: bool | None = None
    expected_content_length = 0

    def __init__(self, connection: HttpToolsProtocol, *, keep_alive: bool) -> None:
        self.scope = connection.scope
        self.transport = connection.transport
        self.flow = connection.flow
        self.logger = connection.logger
        self.default_headers = connection.server_state.default_headers
        self.waiting_for_100_continue = connection.expect_100_continue
        self.keep_alive = keep_alive
        self.on_response = connection.on_response_complete
        self.body = bytearray()
        self._tasks = connection.tasks
        self._task: asyncio.Task[None] | None = None
        self._is_read = False

    @cached_property
    def message_event(self) -> asyncio.Event:  # type: ignore[override]
        """Set when more has arrived; most requests are complete before anything waits for it."""
        return asyncio.Event()

    def wake(self) -> None:
        """Wake a waiting `receive`: something has arrived, or nothing will."""
        if "message_event" in self.__dict__:
            self.message_event.set()

    def start(self, app: Any, loop: asyncio.AbstractEventLoop) -> None:
        """Run the application in a task of its own."""
        self._task = task = loop.create_task(self.run_asgi(app))
        self._tasks.add(task)

    async def run_asgi(self, app: Any) -> None:
        """Run the application; its errors are handled by uvicorn."""
        try:
            await app(self.scope, self.receive, self.send)
        except BaseException as error:  # raised again, where uvicorn catches it
            await super().run_asgi(_raising(error))
        else:
            if not (self.response_complete or self.disconnected):
                if self.response_started:
                    self.transport.close()  # it cannot be completed; the application logged why
                else:
                    await super().run_asgi(_do_nothing)
        finally:
            self._tasks.discard(self._task)  # a callback would cost another step of the loop
            self._task = None
            self.on_response = lambda: None  # or connection and cycle would reference each other
            self.body.clear()  # the connection keeps the cycle until the next request

    async def receive(self) -> Any:
        """Return the body as far as it has arrived, or the disconnect."""
        if self.waiting_for_100_continue and self.more_body and not self.transport.is_closing():
            self.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
            self.waiting_for_100_continue = False
        while not (self.disconnected or self.response_complete):
            if not self._is_read and (self.body or not self.more_body):
                body, self.body = bytes(self.body), bytearray()
                self._is_read = not self.more_body
                return {"type": "http.request", "body": body, "more_body": self.more_body}
            self.flow.resume_reading()
            self.message_event.clear()
            await self.message_event.wait()
        return {"type": "http.disconnect"}

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

    def _write_whole(self, status: int, headers: Iterable[Header], body: bytes) -> None:
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
        self.wake()
        if not self.keep_alive:
            self.transport.close()
        self.on_response()


def _raising(error: BaseException) -> Any:
    async def app(*_: object) -> None:
        raise error

    return app


async def _do_nothing(*_: object) -> None:
    pass


@lru_cache(maxsize=64)  # few differ, apart from the date once a second
def _lines(*headers: Header) -> bytes:
    return b"".join([b"%s: %s\r\n" % header for header in headers])
