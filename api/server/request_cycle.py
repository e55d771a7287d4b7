"""One request and its answer on a connection of uvicorn's, at less cost.

uvicorn takes an answer in two messages and looks through each header; it cost more than scoring.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from functools import cached_property
from typing import TYPE_CHECKING, Any

from starlette.types import Send
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, RequestResponseCycle

if TYPE_CHECKING:
    from api.server.connection import Connection

Header = tuple[bytes, bytes]


class Cycle(RequestResponseCycle):
    """A request that has begun to come, and its answer."""

    disconnected = False
    more_body = True
    access_log = False
    response_started = False
    response_complete = False
    chunked_encoding: bool | None = None
    expected_content_length = 0

    def __init__(self, connection: Connection, *, keep_alive: bool) -> None:
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
        """Wakes who waits for more; most requests are whole before anybody waits."""
        return asyncio.Event()

    def wake(self) -> None:
        """Say that something has come, or that nothing will."""
        if "message_event" in self.__dict__:
            self.message_event.set()

    def start(self, app: Any, loop: asyncio.AbstractEventLoop) -> None:
        """Let the application answer."""
        self._task = task = loop.create_task(self.run_asgi(app))
        self._tasks.add(task)

    async def run_asgi(self, app: Any) -> None:
        """Let the application answer; what it does wrong is uvicorn's to deal with."""
        try:
            await app(self.scope, self.receive, self.send)
        except BaseException as error:  # raised again, where uvicorn catches it
            await super().run_asgi(_raising(error))
        else:
            if not (self.response_complete or self.disconnected):
                if self.response_started:
                    self.transport.close()  # what was begun cannot be ended; why is in the log
                else:
                    await super().run_asgi(_do_nothing)
        finally:
            self._tasks.discard(self._task)  # a callback would be one more step of the loop
            self._task = None
            self.on_response = _forget  # or connection and cycle would keep each other
            self.body.clear()  # the connection keeps the cycle until the next request

    def take_body(self) -> bytes | None:
        """Return the body when it has come whole and nobody has read of it; else None."""
        if self.more_body or self._is_read or self.disconnected:
            return None
        self._is_read = True
        return bytes(self.body)

    async def receive(self) -> Any:
        """Return what has come of the body, or what ended it."""
        if self.waiting_for_100_continue and not self.transport.is_closing():
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

    def answer(
        self, status: int, media_type: bytes, body: bytes, headers: Iterable[Header]
    ) -> bool:
        """Write a whole answer at once.

        Returns
        -------
        bool
            False when nothing was written, because the caller has to take earlier answers first, or
            wants no body: `send` knows what to do.
        """
        if self.flow.write_paused or self.response_started or self.scope["method"] == "HEAD":
            return False
        if self.disconnected:
            return True
        self.response_started = self.response_complete = True
        self.waiting_for_100_continue = False
        self.transport.write(
            b"%s%scontent-type: %s\r\ncontent-length: %d\r\n%s%s\r\n%s"
            % (
                STATUS_LINE[status],
                _lines_of(self.default_headers),
                media_type,
                len(body),
                _lines(headers),
                b"" if self.keep_alive else b"connection: close\r\n",
                body,
            )
        )
        self.wake()
        if not self.keep_alive:
            self.transport.close()
        self.on_response()
        return True


def cycle_of(way: object) -> Cycle | None:
    """Return whose `send` or `receive` it is; None when something stands between."""
    cycle = getattr(way, "__self__", None)
    return cycle if isinstance(cycle, Cycle) else None


async def reply(
    send: Send, status: int, media_type: bytes, body: bytes, headers: Iterable[Header] = ()
) -> None:
    """Send one complete answer.

    Names of headers are in lower case; they and their values are our own words.
    """
    cycle = cycle_of(send)
    if cycle is not None and cycle.answer(status, media_type, body, headers):
        return
    length = b"%d" % len(body)
    described = [(b"content-type", media_type), (b"content-length", length), *headers]
    await send({"type": "http.response.start", "status": status, "headers": described})
    await send({"type": "http.response.body", "body": body})


def _raising(error: BaseException) -> Any:
    async def app(*_: object) -> None:
        raise error

    return app


def _forget() -> None:
    pass


async def _do_nothing(*_: object) -> None:
    pass


def _lines(headers: Iterable[Header]) -> bytes:
    return b"".join([b"%s: %s\r\n" % header for header in headers])


_written: tuple[list[Header], bytes] = ([], b"")


def _lines_of(default_headers: list[Header]) -> bytes:
    """Write the headers that all answers of a second share: their list is made anew each second."""
    global _written
    known, lines = _written
    if known is not default_headers:
        lines = _lines(default_headers)
        _written = default_headers, lines
    return lines
