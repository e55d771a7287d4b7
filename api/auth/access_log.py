"""The access log: who read what, or sent an outcome; one line per request with a key, on stdout.

Predictions are not in it: their rows carry the key's id, and the service has no time for two.
"""

from __future__ import annotations

from starlette.types import Scope

import logs


def log_access(key_id: str, scope: Scope) -> None:
    """Write one line: the key's id, and the request line as sent, with its percent-encoding."""
    path, query = (scope[part].decode("ascii", "replace") for part in ("raw_path", "query_string"))
    logs.access.info("key %s: %s %s%s", key_id, scope["method"], path, query and f"?{query}")
