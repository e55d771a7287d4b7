"""uvicorn's HTTP/1.1 connection with limits on slow, large and pipelined requests.

The limits cost a well-behaved request nothing: slow clients are found by a check of all connections
once a second, and bytes are counted only while something is incomplete.
"""

from __future__ import annotations

import asyncio
import socket
import struct
import time
from functools import lru_cache
from types import SimpleNamespace
from typing import Any, NamedTuple
from urllib.parse import unquote

import httptools
from uvicorn.protocols.http.flow_control import HIGH_WATER_LIMIT
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from api.server import connection_limits, shutdown
from api.server.request_cycle import EXTENSIONS, RequestCycle

MAX_HEAD_BYTES = 16 * 1024
"""Of a request line and headers; also of the trailer of a chunked body."""

REQUEST_TIMEOUT_S = 10.0
"""Within it a request must be complete, and some of a waiting response must be taken."""

_MAX_READ = 256_000
"""Bytes that uvloop reads at once."""

_PIECE = 4 * 1024
"""Bytes that are parsed at once: they may hold a hundred requests, which delay everybody."""

_MAX_PIPELINED = 16
"""Parsed requests that wait on a connection; a thousand clients may send so many in 1 KB each."""

_MAX_UNPARSED = 8 * 1024 * 1024
"""Unparsed bytes that wait, on all connections together."""
_unparsed_bytes = 0


class Rejection(NamedTuple):
    """A response of the connection itself, without the application; it ends the connection."""

    status: int
    reason: str
    detail: str


class Connection(HttpToolsProtocol):
    """One connection of a client."""

    cycle: RequestCycle
    _running: RequestCycle | None = None
    """The request being answered; of pipelined requests uvicorn's `cycle` is the last."""
    _waiting_since = 0.0
    idle_since = 0.0
    """When the last response was sent, or a new connection's grace period ended."""
    _waiting_for: object = None
    _unsent = 0
    _incomplete_bytes = 0
    """Bytes since the last complete head or piece of a body."""
    _unparsed = b""
    """Received bytes that are not parsed while earlier requests wait for their responses."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Keep the transport and track the connection."""
        super().connection_made(transport)
        self.idle_since = time.monotonic() + connection_limits.FIRST_REQUEST_GRACE_S
        connection_limits.track(self)

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the connection."""
        connection_limits.untrack(self)
        self._hold(b"")
        if self._running is not None:
            self._running.disconnected = True
            self._running.wake()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Parse, as long as what is incomplete stays small."""
        if self._unparsed:
            self._hold(self._unparsed + data)
            self.flow.pause_reading()
        elif (
            len(data) > MAX_HEAD_BYTES
            and self._expects_head()
            and b"\r\n\r\n" not in data[:MAX_HEAD_BYTES]
        ):
            self._reject(_HEAD_TOO_LARGE)
        elif len(data) > _PIECE or data.count(b"\r\n\r\n") > _MAX_PIPELINED:
            self._read_pieces(data)
            self._pause_until_next_iteration()
        else:
            self._read(data)

    def _pause_until_next_iteration(self) -> None:
        """Read no more in this iteration of the loop; libuv would read 32 times, 8 MB in all."""
        if not (self.flow.read_paused or self.transport.is_closing()):
            self.flow.pause_reading()
            self.loop.call_soon(self._resume)

    def _resume(self) -> None:
        if not self.transport.is_closing():
            self.flow.resume_reading()

    def _read_pieces(self, rest: bytes) -> None:
        """Parse piece by piece, until a request has to wait for the response before it."""
        at = 0
        while at < len(rest) and not self.pipeline:
            end = at + _PIECE
            if self._expects_head():
                head_end = rest.find(b"\r\n\r\n", at, end)
                end = head_end + 4 if head_end >= 0 else end
            at = end if self._read(memoryview(rest)[at:end]) else len(rest)
        self._hold(rest[at:])

    def _hold(self, rest: bytes) -> None:
        """Hold bytes that have to wait; above the limit answer only the requests before them."""
        global _unparsed_bytes
        _unparsed_bytes += len(rest) - len(self._unparsed)
        self._unparsed = rest
        if rest and _unparsed_bytes > _MAX_UNPARSED:
            self._hold(b"")
            self._reject(_TOO_MANY)

    def _read(self, data: bytes | memoryview) -> bool:
        """Parse; return whether the bytes that follow can be parsed, too."""
        before = self.scope
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade as found:
            self._ignore_upgrade(data[found.args[0] :])
        except httptools.HttpParserError:
            self._reject(_NOT_HTTP)
            return False
        cycle = self.cycle
        if cycle is None or cycle.more_body or self.scope is not cycle.scope:
            if self.scope is before:
                self._incomplete_bytes += len(data)
            else:  # where in these bytes the head began is unknown; count from the next on
                self._incomplete_bytes = 0
            if self._incomplete_bytes > MAX_HEAD_BYTES:
                self._reject(_HEAD_TOO_LARGE)
                return False
        else:
            self._incomplete_bytes = 0
        return True

    def on_headers_complete(self) -> None:
        """Start the application, or queue the request behind those before it."""
        scope, parser = self.scope, self.parser
        version = parser.get_http_version()
        if version != "1.1":
            scope["http_version"] = version
        scope["method"] = parser.get_method().decode("ascii")
        scope["path"], scope["raw_path"], scope["query_string"] = _split_url(self.url)
        scope["extensions"] = EXTENSIONS  # type: ignore[typeddict-item]
        before = self.cycle
        keep_alive = version != "1.0" and parser.should_keep_alive() and not shutdown.draining
        self.cycle = RequestCycle(self, keep_alive=keep_alive)
        if before is None or before.response_complete:
            self._start_asgi_task(self.cycle, self.app)
        else:
            self.flow.pause_reading()
            if len(self.pipeline) < _MAX_PIPELINED:
                self.pipeline.appendleft((self.cycle, self.app))
            else:
                self._reject(_TOO_MANY)

    def _start_asgi_task(self, cycle: RequestCycle, app: Any) -> None:  # type: ignore[override]
        self._running = cycle
        cycle.start(app, self.loop)

    def on_response_complete(self) -> None:
        """Continue with the requests that arrived meanwhile, or wait for the next one."""
        self.server_state.total_requests += 1
        if self.transport.is_closing():
            return
        if self.pipeline:
            cycle, app = self.pipeline.pop()
            self._start_asgi_task(cycle, app)  # type: ignore[arg-type]
        if self._unparsed and not self.pipeline:
            self._read_pieces(self._unparsed)
        if not self._unparsed and not self.pipeline:
            self.flow.resume_reading()
            self.idle_since = time.monotonic()

    def _expects_head(self) -> bool:
        return self.cycle is None or not self.cycle.more_body

    def on_chunk_header(self) -> None:
        """Discard the trailer, in which a client could add headers that a proxy has removed."""
        self.headers = _Discarded()

    def on_body(self, body: bytes) -> None:
        """Keep a piece of the body, or drop it once the response is complete.

        A `receive` that waits is not woken for each small piece.
        """
        self._incomplete_bytes = -_MAX_READ
        cycle = self.cycle
        if cycle.response_complete:
            return
        cycle.body += body
        if len(cycle.body) > HIGH_WATER_LIMIT:
            self.flow.pause_reading()
            cycle.wake()

    def on_message_complete(self) -> None:
        """Mark the request as complete."""
        cycle = self.cycle
        cycle.more_body = False
        cycle.wake()

    def _ignore_upgrade(self, rest: bytes | memoryview) -> None:
        """Read the body of a request that offers another protocol, as Java's HTTP client does.

        The parser leaves the body to that protocol. So a second parser is given only its length,
        and that the connection ends after it.
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
            self._reject(_NOT_HTTP)

    def check_timeouts(self, now: float) -> bool:
        """Close the connection if its client took too long; return whether it did."""
        awaited = self._expected_of_client()
        if (
            self.cycle is not None
            and self.is_idle()
            and now - self.idle_since > self.timeout_keep_alive
        ):
            self.transport.close()
            return True
        if awaited is None or awaited is not self._waiting_for:
            self._waiting_for, self._waiting_since = awaited, now
            return False
        if now - self._waiting_since < REQUEST_TIMEOUT_S:
            return False
        if awaited is self.flow:
            self._reset()
        else:
            self._reject(_TOO_SLOW, silently=awaited is self)
        return True

    def is_idle(self) -> bool:
        """Return whether no request is under way."""
        cycle = self.cycle
        return cycle is None or (cycle.response_complete and self.scope is cycle.scope)

    def _expected_of_client(self) -> object:
        """Return what the client has to send or read next, a new object each time; or None."""
        cycle = self.cycle
        if self.flow.write_paused:
            before, self._unsent = self._unsent, self.transport.get_write_buffer_size()
            return self.flow if self._unsent == before else None
        if self.flow.read_paused:
            return None
        if cycle is None:
            return self.scope or self  # the rest of a head, or its first byte
        if cycle.more_body:
            return cycle
        return self.scope if cycle.response_complete and self.scope is not cycle.scope else None

    def _reset(self) -> None:
        """Close at once, and discard what the client has not read, in the kernel too."""
        at_once = struct.pack("ii", 1, 0)
        self.transport.get_extra_info("socket").setsockopt(
            socket.SOL_SOCKET, socket.SO_LINGER, at_once
        )
        self.transport.abort()

    def render(self, rejection: Rejection) -> tuple[bytes, bytes]:
        """Return media type and body of a rejection; called for each one, so it may count them."""
        return b"text/plain; charset=utf-8", rejection.detail.encode()

    def _reject(self, rejection: Rejection, *, silently: bool = False) -> None:
        """Respond instead of the application, unless it is responding already, and close."""
        running = self._running
        if running is not None and not running.response_complete:
            if not running.more_body:
                self._close_after_complete_requests(running)
                return
            running.disconnected = True
            silently = silently or running.response_started
        elif running is not None and running.more_body:
            silently = True  # it was answered
        if not silently:
            media_type, body = self.render(rejection)
            self.transport.write(
                b"%scontent-type: %s\r\ncontent-length: %d\r\nconnection: close\r\n\r\n%s"
                % (STATUS_LINE[rejection.status], media_type, len(body), body)
            )
        self.transport.close()

    def _close_after_complete_requests(self, running: RequestCycle) -> None:
        """Close once the complete requests are answered."""
        if self.pipeline and self.pipeline[0][0].more_body:
            self.pipeline.popleft()
        last = self.pipeline[0][0] if self.pipeline else running
        last.keep_alive = False
        self.flow.pause_reading()


@lru_cache(maxsize=64)
def _split_url(url: bytes) -> tuple[str, bytes, bytes]:
    """Return the path, decoded and as sent, and the query."""
    parsed = httptools.parse_url(url)
    return unquote(parsed.path.decode("ascii")), parsed.path, parsed.query or b""


class _Discarded(list[Any]):
    """A list that stays empty."""

    def append(self, _: object) -> None:
        """Do nothing."""


_NOT_HTTP = Rejection(400, "not-http", "The request is not valid HTTP/1.1 and was ignored.")
_HEAD_TOO_LARGE = Rejection(
    431, "head-too-large", f"The request line and headers exceed {MAX_HEAD_BYTES // 1024} KiB."
)
_TOO_MANY = Rejection(503, "busy", "Too many pipelined requests on this connection.")
_TOO_SLOW = Rejection(
    408, "too-slow", f"The request was not complete within {REQUEST_TIMEOUT_S:g} s."
)
