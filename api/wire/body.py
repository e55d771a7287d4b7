"""Reads a request's body within its limit, and nothing else than JSON."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

from starlette.types import Receive

from api.wire.problems import Problem

Headers = Mapping[bytes, bytes]
HEADERS = "cardiowatch.headers"
"""Where the gate leaves the headers, read once, in the ASGI scope."""

LARGE, LARGE_AT_ONCE = 64 * 1024, 64
"""So many bodies over 64 KiB are taken in at once; each may grow to 1 MiB and come slowly."""
LARGE_OF_ONE_KEY = LARGE_AT_ONCE // 4
"""Those of one key, once half of all places are taken."""
_large: Counter[str] = Counter()
"""By the key that sends them; "" where there are no keys."""
_BUSY = "Too many large bodies are on their way at once. Nothing was logged; try again."


class Disconnected(Exception):
    """The caller went away before its body was complete; there is nobody to answer."""


def _too_large(limit: int) -> Problem:
    detail = f"The body is over {limit // 1024} KiB; send less, or several batches."
    return Problem(413, "too-large", detail)  # what still comes is dropped by the connection


def check_media_type(headers: Headers) -> None:
    """Refuse with 415 whatever does not claim to be plain JSON in UTF-8."""
    kind = headers.get(b"content-type", b"")
    if kind == b"application/json":  # nearly always
        return
    name, _, parameters = kind.lower().partition(b";")
    charset = parameters.strip().replace(b'"', b"")
    if name.strip() != b"application/json" or charset not in (b"", b"charset=utf-8"):
        raise Problem(415, "not-json", "Send the body with Content-Type: application/json.")


async def read_json_body(headers: Headers, receive: Receive, limit: int, key_id: str) -> bytes:
    """Return the body.

    Raises
    ------
    Problem
        413 over `limit` bytes, before the body is read where its length is announced; 415 when it
        is not plain JSON.
    Disconnected
        The caller hung up.
    """
    check_media_type(headers)
    if b"content-encoding" in headers:
        raise Problem(415, "encoded", "Send the body as it is, without Content-Encoding.")
    length = headers.get(b"content-length", b"0")
    if not length.isdigit() or int(length[:12]) > limit:
        raise _too_large(limit)
    message = await receive()
    body: bytes = message.get("body", b"")
    if message.get("more_body"):
        body = await _receive_rest(bytearray(body), receive, limit, key_id)
    elif message["type"] == "http.disconnect":
        raise Disconnected
    if len(body) > limit:
        raise _too_large(limit)
    return body


def _is_full(key_id: str) -> bool:
    """Say whether a key's caller has to wait, so that others find a place."""
    all_of_them = _large.total()
    half = bool(key_id) and all_of_them >= LARGE_AT_ONCE // 2
    return all_of_them >= LARGE_AT_ONCE or (half and _large[key_id] >= LARGE_OF_ONE_KEY)


async def _receive_rest(body: bytearray, receive: Receive, limit: int, key_id: str) -> bytes:
    """Return a body that arrives in pieces, while not too many large ones do."""
    is_large = False
    try:
        while len(body) <= limit:
            if not is_large and len(body) > LARGE:
                if _is_full(key_id):
                    raise Problem(503, "busy", _BUSY, headers={"Retry-After": "1"})
                _large[key_id] += 1
                is_large = True
            message = await receive()
            if message["type"] == "http.disconnect":
                raise Disconnected
            body += message.get("body", b"")
            if not message.get("more_body"):
                return bytes(body)
    finally:
        _large[key_id] -= is_large
    raise _too_large(limit)
