"""The access log: who read what, or sent an outcome; one line per request with a key, on stdout.

Predictions are not in it: their rows carry the key's id, and the service has no time for two.

A line is written before the request is checked, so it repeats only what the service knows: the
route, its parameters' names, and ids and times. `*` stands for anything else.
"""

from __future__ import annotations

from http import HTTPMethod

from starlette.types import Scope

import logs
from api.wire.query_params import PARAMS, RFC3339, split_query
from db.ids import is_id


def log_access(key_id: str, scope: Scope) -> None:
    """Write one line: the key's id and what the request asks of the matched route."""
    method = scope["method"] if scope["method"] in HTTPMethod.__members__ else "*"
    path, found = scope["route"].path, scope["path_params"].get("id", "")
    query = "&".join(_known_params(scope["query_string"]))
    logs.access.info(
        "key %s: %s %s%s",
        key_id, method, path.replace("{id}", found) if is_id(found) else path,
        query and f"?{query}",
    )  # fmt: skip


def _known_params(query: bytes) -> list[str]:
    pairs = split_query(query)
    if pairs is None:
        return ["*"]
    return list(dict.fromkeys(_known_param(name, value) for name, value in pairs))


def _known_param(name: str, value: str) -> str:
    if name not in PARAMS:
        return "*"
    return f"{name}={value}" if is_id(value) or RFC3339.fullmatch(value) else name
