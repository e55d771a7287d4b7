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
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from api.server import connection_limits
from api.server.request_cycle import EXTENSIONS, RequestCycle

MAX_HEAD_BYTES = 16 * 1024
"""Of a request line and headers; also of the trailer of a chunked body."""

REQUEST_TIMEOUT_S = 10.0
"""Within it a request must be complete, and some of a waiting response must be taken."""

DRAIN_S = 1.0
"""Seconds after SIGTERM in which every response says `Connection: close`. A server that closes
kept-alive connections at once drops the requests that lie unread in them."""

_PIECE = 4 * 1024
"""Bytes that are parsed at once; a larger piece may hold thousands of requests."""

_MAX_PIPELINED = 16
"""Parsed requests that wait on a connection; a thousand clients may send so many in 1 KB each."""


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
    _rejected = False
    """Set when the rest of what is sent is ignored."""
    _waiting_since = 0.0
    idle_since = 0.0
    """When the last response was sent, or a new connection's grace period ended."""
    _waiting_for: object = None
    _unsent = 0
    _incomplete_bytes = 0
    """Bytes since the last complete head or piece of a body."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Keep the transport and track the connection."""
        super().connection_made(transport)
        self.idle_since = time.monotonic() + connection_limits.FIRST_REQUEST_GRACE_S
        connection_limits.track(self)
        if getattr(self.loop, "draining", False):  # it was accepted just before the end
            self.shutdown()

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the connection."""
        connection_limits.untrack(self)
        if self._running is not None:
            self._running.disconnected = True
            self._running.message_event.set()
        super().connection_lost(exc)

    def shutdown(self) -> None:
        """Close the connection once what lies unread in it is answered."""
        self.loop.call_later(DRAIN_S, super().shutdown)

    def data_received(self, data: bytes) -> None:
        """Parse, as long as what is incomplete stays small."""
        if len(data) <= _PIECE:
            self._parse(data)
            return
        for at in range(0, len(data), _PIECE):
            self._parse(data[at : at + _PIECE])
        if not (self.flow.read_paused or self.transport.is_closing()):
            # Not before the next iteration of the loop: libuv would read 32 times, 8 MB in all.
            self.flow.pause_reading()
            self.loop.call_soon(self._resume)

    def _resume(self) -> None:
        if not self.transport.is_closing():
            self.flow.resume_reading()

    def _parse(self, data: bytes) -> None:
        if self._rejected:
            return
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade as found:
            self._ignore_upgrade(data[found.args[0] :])
        except httptools.HttpParserError:
            self._reject(_NOT_HTTP)
        self._incomplete_bytes += len(data)
        if self._incomplete_bytes >= MAX_HEAD_BYTES:
            self._reject(_HEAD_TOO_LARGE)

    def on_headers_complete(self) -> None:
        """Start the application, or queue the request behind those before it."""
        self._incomplete_bytes = 0
        scope, parser = self.scope, self.parser
        version = parser.get_http_version()
        if version != "1.1":
            scope["http_version"] = version
        scope["method"] = parser.get_method().decode("ascii")
        scope["path"], scope["raw_path"], scope["query_string"] = _split_url(self.url)
        scope["extensions"] = EXTENSIONS  # type: ignore[typeddict-item]
        before = self.cycle
        draining = getattr(self.loop, "draining", False)
        keep_alive = version != "1.0" and parser.should_keep_alive() and not draining
        self.cycle = RequestCycle(self, keep_alive=keep_alive)
        if before is None or before.response_complete:
            self._start_asgi_task(self.cycle, self.app)
        else:
            self.flow.pause_reading()
            self.pipeline.appendleft((self.cycle, self.app))
            if len(self.pipeline) > _MAX_PIPELINED:
                self._close_after(before)

    def _start_asgi_task(self, cycle: RequestCycle, app: Any) -> None:  # type: ignore[override]
        self._running = cycle
        cycle.task = self.loop.create_task(cycle.run_asgi(app))
        self.tasks.add(cycle.task)

    def on_response_complete(self) -> None:
        """Continue with the requests that arrived meanwhile, or wait for the next one."""
        self.server_state.total_requests += 1
        if self.transport.is_closing():
            return
        if self.pipeline:
            self._start_asgi_task(*self.pipeline.pop())  # type: ignore[arg-type]
        if not self.pipeline:
            self.flow.resume_reading()
            self.idle_since = time.monotonic()

    def on_chunk_header(self) -> None:
        """Discard the trailer, in which a client could add headers that a proxy has removed."""
        self.headers = []

    def on_body(self, body: bytes) -> None:
        """Keep a piece of the body, or drop it once the response is complete."""
        self._incomplete_bytes = 0
        super().on_body(body)

    def _ignore_upgrade(self, rest: bytes) -> None:
        """Read the body of a request that offers another protocol, as Java's HTTP client does.

        The parser leaves the body to that protocol. So a second parser is given only its length,
        and that the connection ends after it.
        """
        self.cycle.keep_alive = False
        lengths = [h for h in self.headers if h[0] in (b"content-length", b"transfer-encoding")]
        if not lengths:
            return
        self.cycle.more_body = True
        only_body = SimpleNamespace(
            on_body=self.on_body, on_message_complete=self.on_message_complete
        )
        self.parser = httptools.HttpRequestParser(only_body)
        head = b"".join(b"%s: %s\r\n" % header for header in lengths)
        self._parse(b"POST / HTTP/1.1\r\nconnection: close\r\n%s\r\n%s" % (head, rest))

    def check_timeouts(self, now: float) -> bool:
        """Close the connection if its client took too long; return whether it did."""
        awaited = self._expected_of_client()
        if awaited is None and self.is_idle() and now - self.idle_since > self.timeout_keep_alive:
            self.transport.close()
            return True
        if awaited is None or awaited is not self._waiting_for:
            self._waiting_for, self._waiting_since = awaited, now
            return False
        if now - self._waiting_since < REQUEST_TIMEOUT_S:
            return False
        if awaited is self.flow:  # discard what the client has not read, in the kernel too
            self.transport.get_extra_info("socket").setsockopt(
                socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0)
            )
            self.transport.abort()
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
        before, self._unsent = self._unsent, self.transport.get_write_buffer_size()
        if self._unsent:
            return self.flow if self._unsent == before else None
        if self.flow.read_paused:
            return None
        if cycle is None:
            return self.scope or self  # the rest of a head, or its first byte
        if cycle.more_body:
            return cycle
        return self.scope if cycle.response_complete and self.scope is not cycle.scope else None

    def render(self, rejection: Rejection) -> tuple[bytes, bytes]:
        """Return media type and body of a rejection; called for each one, so it may count them."""
        return b"text/plain; charset=utf-8", rejection.detail.encode()

    def _reject(self, rejection: Rejection, *, silently: bool = False) -> None:
        """Respond instead of the application, unless it is responding already, and close."""
        running = self._running
        if running is not None and not running.response_complete:
            if not running.more_body:
                self._close_after(running)
                return
            running.disconnected = True
            silently = silently or running.response_started
        elif running is not None and running.more_body:
            silently = True  # it was answered
        self._rejected = True
        if not silently:
            media_type, body = self.render(rejection)
            self.transport.write(
                b"%scontent-type: %s\r\ncontent-length: %d\r\nconnection: close\r\n\r\n%s"
                % (STATUS_LINE[rejection.status], media_type, len(body), body)
            )
        self.transport.close()

    def _close_after(self, running: RequestCycle) -> None:
        """Parse nothing more, and close once the complete requests are answered."""
        self._rejected = True
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


_NOT_HTTP = Rejection(400, "not-http", "The request is not valid HTTP/1.1 and was ignored.")
_HEAD_TOO_LARGE = Rejection(
    431, "head-too-large", f"The request line and headers exceed {MAX_HEAD_BYTES // 1024} KiB."
)
_TOO_SLOW = Rejection(
    408, "too-slow", f"The request was not complete within {REQUEST_TIMEOUT_S:g} s."
)
