"""The access log: who read what, or sent an outcome; one line per request with a key, on stdout.

Predictions are not in it: their rows carry the key's id, and the service has no time for two.

A line is written before the request is checked, so it repeats only what the service knows: its own
addresses and parameters, and the values of ids and times. `*` stands for anything else.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from urllib.parse import parse_qsl

from starlette.types import Scope

import logs
from api.wire.query_params import MAX_PARAMS, MESSAGES, parse_rfc3339
from db.ids import is_id

_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})

_SEGMENTS = frozenset({
    "", "predict", "batch", "predictions", "explanation", "outcome", "model", "schema", "healthz",
    "readyz", "metrics", "openapi.json", "docs", "assets",
})  # fmt: skip
"""Of the paths of our routes; a test holds them against the routes."""

_OTHER = "*"


def log_access(key_id: str, scope: Scope) -> None:
    """Write one line: the key's id and what it asks."""
    method = scope["method"] if scope["method"] in _METHODS else _OTHER
    path = "/".join(_known_segments(scope["raw_path"].decode("latin-1")))
    query = "&".join(_known_parameters(scope["query_string"]))
    logs.access.info("key %s: %s %s%s", key_id, method, path, query and f"?{query}")


def _known_segments(path: str) -> Iterator[str]:
    for segment in path.split("/"):
        if segment not in _SEGMENTS and not is_id(segment):
            yield _OTHER
            return
        yield segment


def _is_time(text: str) -> bool:
    try:
        parse_rfc3339(text)
    except ValueError:
        return False
    return True


_WRITTEN: Mapping[str, Callable[[str], bool]] = {
    "cursor": is_id, "since": _is_time, "until": _is_time,
}  # fmt: skip
"""The parameters whose values are written, when they are what they should be."""


def _known_parameters(query: bytes) -> list[str]:
    try:
        pairs = parse_qsl(
            query.decode("latin-1"), keep_blank_values=True, max_num_fields=MAX_PARAMS
        )
    except ValueError:
        return [_OTHER]
    return list(dict.fromkeys(_written(name, value) for name, value in pairs))


def _written(name: str, value: str) -> str:
    if name not in MESSAGES:
        return _OTHER
    is_written = _WRITTEN.get(name)
    return f"{name}={value}" if is_written and is_written(value) else name
