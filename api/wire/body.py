"""Reads the body of a request within its limit, and nothing but JSON."""

from __future__ import annotations

from codecs import BOM_UTF8
from collections import Counter
from collections.abc import Mapping

from starlette.types import Receive

from api.wire.problems import Problem, unavailable

Headers = Mapping[bytes, bytes]
HEADERS_KEY = "cardiowatch.headers"
"""Key of the ASGI scope under which the dispatcher keeps the headers, read once."""

LARGE_BODY, MAX_LARGE_BODIES = 64 * 1024, 64
"""Bodies over 64 KiB that are read at once; each may grow to 1 MiB and arrive slowly."""
MAX_LARGE_BODIES_PER_KEY = MAX_LARGE_BODIES // 4
"""Those of one key, once half of all are in use."""
_large: Counter[str] = Counter()
"""By API key; "" where there are no keys."""
_BUSY = "Too many large uploads in progress. Nothing was logged; try again."


class ClientDisconnected(Exception):
    """The client disconnected before its body was complete."""


def _too_large(limit: int) -> Problem:
    detail = f"The body exceeds {limit // 1024} KiB; shorten it or split it into several batches."
    return Problem(413, "too-large", detail)  # the connection drops the rest


def check_media_type(headers: Headers) -> None:
    """Reject with 415 whatever does not claim to be plain JSON in UTF-8."""
    kind = headers.get(b"content-type", b"")
    if kind == b"application/json":  # nearly always
        return
    name, _, parameters = kind.lower().partition(b";")
    charset = parameters.strip().replace(b'"', b"")
    if name.strip() != b"application/json" or charset not in (b"", b"charset=utf-8"):
        raise Problem(415, "not-json", "Send the body with Content-Type: application/json.")


async def read_json_body(headers: Headers, receive: Receive, limit: int, key_id: str) -> bytes:
    """Return the body, without the byte order mark that some programs put before JSON.

    Raises
    ------
    Problem
        413 over `limit` bytes, before the body is read where its length is announced; 415 when it
        is not plain JSON.
    Disconnected
        The client hung up.
    """
    check_media_type(headers)
    if b"content-encoding" in headers:
        raise Problem(415, "encoded", "Send the body uncompressed, without Content-Encoding.")
    length = headers.get(b"content-length", b"0")
    if not length.isdigit() or int(length[:12]) > limit:
        raise _too_large(limit)
    message = await receive()
    body: bytes = message.get("body", b"")
    if message.get("more_body"):
        body = await _receive_rest(bytearray(body), receive, limit, key_id)
    elif message["type"] == "http.disconnect":
        raise ClientDisconnected
    if len(body) > limit:
        raise _too_large(limit)
    return body.removeprefix(BOM_UTF8)


def _is_full(key_id: str) -> bool:
    """Return whether a key's caller has to wait, so that others are not kept out."""
    total = _large.total()
    half = bool(key_id) and total >= MAX_LARGE_BODIES // 2
    return total >= MAX_LARGE_BODIES or (half and _large[key_id] >= MAX_LARGE_BODIES_PER_KEY)


async def _receive_rest(body: bytearray, receive: Receive, limit: int, key_id: str) -> bytes:
    """Return a body that arrives in pieces, while not too many large ones do."""
    is_large = False
    try:
        while len(body) <= limit:
            if not is_large and len(body) > LARGE_BODY:
                if _is_full(key_id):
                    raise unavailable("busy", _BUSY)
                _large[key_id] += 1
                is_large = True
            message = await receive()
            if message["type"] == "http.disconnect":
                raise ClientDisconnected
            body += message.get("body", b"")
            if not message.get("more_body"):
                return bytes(body)
    finally:
        _large[key_id] -= is_large
    raise _too_large(limit)
