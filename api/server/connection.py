"""uvicorn's HTTP/1.1 connection with the limits that it has none of, and refusals in our one shape.

Nothing here costs a good request anything: what is slow is found by looking at every connection
once a second, and what is large by counting only while something is incomplete.
"""

from __future__ import annotations

import asyncio
import socket
import struct
import time
from functools import cache, lru_cache
from types import SimpleNamespace
from typing import Any
from urllib.parse import unquote

import httptools
from uvicorn.protocols.http.flow_control import HIGH_WATER_LIMIT
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from api.metrics import REFUSALS
from api.server import connection_limits
from api.server.request_cycle import Cycle
from api.wire.problems import MEDIA_TYPE, Problem

HEAD_MAX = 16 * 1024
"""Bytes of a request's line and headers; the same for what a body in chunks ends with."""

PATIENCE_S = 10.0
"""Within it a request must have come whole, and something of a waiting answer must be taken."""

_READ_MAX = 256_000
"""Bytes that uvloop reads at once."""

_PIECE = 4 * 1024
"""Bytes that are parsed at once: they may hold a hundred requests, which make everybody wait."""

_AHEAD_MAX = 16
"""Requests of a connection that wait parsed; a thousand callers may send so many in 1 KB each."""

_KEPT_MAX = 8 * 1024 * 1024
"""Bytes that wait unparsed, of all connections together."""
_kept = 0


class Connection(HttpToolsProtocol):
    """One connection of a caller."""

    cycle: Cycle
    _running: Cycle | None = None
    """What is being answered; of requests sent in a row uvicorn's `cycle` is the last."""
    _since = 0.0
    idle_since = 0.0
    """When the last answer was out, or a new connection had its time to ask."""
    _awaited: object = None
    _untaken = 0
    _fruitless = 0
    """Bytes since something whole came: a head, or a piece of a body."""
    _rest = b""
    """What has come and is not parsed while earlier requests wait for their answers."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Keep the transport, and this connection in view."""
        super().connection_made(transport)
        self.idle_since = time.monotonic() + connection_limits.FIRST_S
        connection_limits.enter(self)

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the connection."""
        connection_limits.leave(self)
        self._keep(b"")
        if self._running is not None:
            self._running.disconnected = True
            self._running.wake()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Read on, as long as what is incomplete stays small."""
        if self._rest:
            self._keep(self._rest + data)
            self.flow.pause_reading()
        elif len(data) > HEAD_MAX and self._head_is_next() and b"\r\n\r\n" not in data[:HEAD_MAX]:
            self._refuse(_HEAD_TOO_LARGE)
        elif len(data) > _PIECE or data.count(b"\r\n\r\n") > _AHEAD_MAX:
            self._read_on(data)
            self._let_others_send()
        else:
            self._read(data)

    def _let_others_send(self) -> None:
        """Read no more in this round of the loop; libuv would read on 32 times, 8 MB in all."""
        if not (self.flow.read_paused or self.transport.is_closing()):
            self.flow.pause_reading()
            self.loop.call_soon(self._take_a_turn)

    def _take_a_turn(self) -> None:
        if not self.transport.is_closing():
            self.flow.resume_reading()

    def _read_on(self, rest: bytes) -> None:
        """Read what has come, until a request has to wait for the answer to the one before."""
        at = 0
        while at < len(rest) and not self.pipeline:
            end = at + _PIECE
            if self._head_is_next():
                head_end = rest.find(b"\r\n\r\n", at, end)
                end = head_end + 4 if head_end >= 0 else end
            at = end if self._read(memoryview(rest)[at:end]) else len(rest)
        self._keep(rest[at:])

    def _keep(self, rest: bytes) -> None:
        """Keep what has to wait, or answer no more than what was asked before it."""
        global _kept
        _kept += len(rest) - len(self._rest)
        self._rest = rest
        if rest and _kept > _KEPT_MAX:
            self._keep(b"")
            self._refuse(_TOO_MANY)

    def _read(self, data: bytes | memoryview) -> bool:
        """Parse; return whether what comes next can be parsed too."""
        before = self.scope
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade as found:
            self._stay_with_http(data[found.args[0] :])
        except httptools.HttpParserError:
            self._refuse(_NOT_HTTP)
            return False
        cycle = self.cycle
        if cycle is None or cycle.more_body or self.scope is not cycle.scope:
            # Nobody knows where in these bytes a head began; it is counted from the next on.
            self._fruitless = 0 if self.scope is not before else self._fruitless + len(data)
            if self._fruitless > HEAD_MAX:
                self._refuse(_HEAD_TOO_LARGE)
                return False
        else:
            self._fruitless = 0
        return True

    def on_headers_complete(self) -> None:
        """Begin to answer, or stand behind what was asked before."""
        scope, parser = self.scope, self.parser
        version = parser.get_http_version()
        if version != "1.1":
            scope["http_version"] = version
        scope["method"] = parser.get_method().decode("ascii")
        scope["path"], scope["raw_path"], scope["query_string"] = _address(self.url)
        before = self.cycle
        self.cycle = Cycle(self, keep_alive=version != "1.0" and parser.should_keep_alive())
        if before is None or before.response_complete:
            self._start_asgi_task(self.cycle, self.app)
        else:
            self.flow.pause_reading()
            if len(self.pipeline) < _AHEAD_MAX:
                self.pipeline.appendleft((self.cycle, self.app))
            else:
                self._refuse(_TOO_MANY)

    def _start_asgi_task(self, cycle: Cycle, app: Any) -> None:  # type: ignore[override]
        self._running = cycle
        cycle.start(app, self.loop)

    def on_response_complete(self) -> None:
        """Go on with what was asked meanwhile, or wait for the next request."""
        self.server_state.total_requests += 1
        if self.transport.is_closing():
            return
        if self.pipeline:
            cycle, app = self.pipeline.pop()
            self._start_asgi_task(cycle, app)  # type: ignore[arg-type]
        if self._rest and not self.pipeline:
            self._read_on(self._rest)
        if not self._rest and not self.pipeline:
            self.flow.resume_reading()
            self.idle_since = time.monotonic()

    def _head_is_next(self) -> bool:
        return self.cycle is None or not self.cycle.more_body

    def on_chunk_header(self) -> None:
        """Keep what comes after the last chunk from becoming headers.

        A caller could add there what something in front of us has taken out of the head.
        """
        self.headers = _Nowhere()

    def on_body(self, body: bytes) -> None:
        """Take a piece of a body, or drop it when the answer is out.

        Who waits for the body is not woken for each drop of it.
        """
        self._fruitless = -_READ_MAX
        cycle = self.cycle
        if cycle.response_complete:
            return
        cycle.body += body
        if len(cycle.body) > HIGH_WATER_LIMIT:
            self.flow.pause_reading()
            cycle.wake()

    def on_message_complete(self) -> None:
        """Take note that the request is whole."""
        cycle = self.cycle
        cycle.more_body = False
        cycle.wake()

    def _stay_with_http(self, rest: bytes | memoryview) -> None:
        """Read the body of a request that offers another protocol, as Java's own client does.

        The parser leaves a body to that protocol, so another one is told only how long it is, and
        that nothing comes after it.
        """
        cycle = self.cycle
        cycle.keep_alive = False
        lengths = [h for h in self.headers if h[0] in (b"content-length", b"transfer-encoding")]
        if not lengths:
            return
        cycle.more_body = True
        only_body = SimpleNamespace(
            on_body=self.on_body, on_message_complete=self.on_message_complete
        )
        self.parser = httptools.HttpRequestParser(only_body)
        head = b"".join(b"%s: %s\r\n" % header for header in lengths)
        try:
            self.parser.feed_data(
                b"POST / HTTP/1.1\r\nconnection: close\r\n%s\r\n%s" % (head, rest)
            )
        except httptools.HttpParserError:
            self._refuse(_NOT_HTTP)

    def look(self, now: float) -> bool:
        """Close the connection when it has waited too long for its caller, and say so."""
        awaited = self._what_is_awaited()
        if (
            self.cycle is not None
            and self.is_idle()
            and now - self.idle_since > self.timeout_keep_alive
        ):
            self.transport.close()
            return True
        if awaited is None or awaited is not self._awaited:
            self._awaited, self._since = awaited, now
            return False
        if now - self._since < PATIENCE_S:
            return False
        if awaited is self.flow:
            self._cut_off()
        else:
            self._refuse(_TOO_SLOW, silently=awaited is self)
        return True

    def is_idle(self) -> bool:
        """Say whether nothing is under way: nothing was asked yet, or all of it is answered."""
        cycle = self.cycle
        return cycle is None or (cycle.response_complete and self.scope is cycle.scope)

    def _what_is_awaited(self) -> object:
        """Return what the caller is to do next, another object each time; None = nothing."""
        cycle = self.cycle
        if self.flow.write_paused:
            before, self._untaken = self._untaken, self.transport.get_write_buffer_size()
            return self.flow if self._untaken == before else None
        if self.flow.read_paused:
            return None
        if cycle is None:
            return self.scope or self  # a head, or its first byte
        if cycle.more_body:
            return cycle
        return self.scope if cycle.response_complete and self.scope is not cycle.scope else None

    def _cut_off(self) -> None:
        """Close without waiting, here or in the kernel, until what was sent is taken."""
        at_once = struct.pack("ii", 1, 0)
        self.transport.get_extra_info("socket").setsockopt(
            socket.SOL_SOCKET, socket.SO_LINGER, at_once
        )
        self.transport.abort()

    def _refuse(self, problem: Problem, *, silently: bool = False) -> None:
        """Answer in the application's place, unless it answers already, and hang up."""
        running = self._running
        if running is not None and not running.response_complete:
            if not running.more_body:
                self._end_after_those_before(running)
                return
            running.disconnected = True
            silently = silently or running.response_started
        elif running is not None and running.more_body:
            silently = True  # it has its answer
        if not silently:
            REFUSALS.labels("connection", str(problem.status)).inc()
            self.transport.write(_reply(problem))
        self.transport.close()

    def _end_after_those_before(self, running: Cycle) -> None:
        """Answer what was asked whole before, and hang up then."""
        if self.pipeline and self.pipeline[0][0].more_body:
            self.pipeline.popleft()
        last = self.pipeline[0][0] if self.pipeline else running
        last.keep_alive = False
        self.flow.pause_reading()


@lru_cache(maxsize=64)
def _address(url: bytes) -> tuple[str, bytes, bytes]:
    """Return path, path as it was sent, and query."""
    parsed = httptools.parse_url(url)
    return unquote(parsed.path.decode("ascii")), parsed.path, parsed.query or b""


class _Nowhere(list[Any]):
    """Keeps nothing."""

    def append(self, _: object) -> None:
        """Drop it."""


@cache
def _reply(problem: Problem) -> bytes:
    body = problem.body()
    return b"%scontent-type: %s\r\ncontent-length: %d\r\nconnection: close\r\n\r\n%s" % (
        STATUS_LINE[problem.status], MEDIA_TYPE.encode(), len(body), body,
    )  # fmt: skip


_NOT_HTTP = Problem(400, "not-http", "This cannot be read as HTTP/1.1; nothing of it was used.")
_HEAD_TOO_LARGE = Problem(
    431, "head-too-large", f"Address and headers are over {HEAD_MAX // 1024} KiB."
)
_TOO_MANY = Problem(503, "busy", "Too many requests wait for the answers to those before them.")
_TOO_SLOW = Problem(408, "too-slow", f"The request did not come whole within {PATIENCE_S:g} s.")
