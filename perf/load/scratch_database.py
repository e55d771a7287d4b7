"""Databases that hold nothing but load tests."""

from __future__ import annotations

from contextlib import closing

from db.reader.queries import Reader
from perf.load.server_process import ServerFailed


def require_scratch_database(url: str) -> None:
    """Raise ServerFailed when a database holds more than load tests: it is somebody's log."""
    with closing(Reader(url)) as reader:
        counts = reader.sources()
    if any(count for source, count in counts.items() if source != "load-test"):
        raise ServerFailed("the database holds predictions of its own; name an empty one")
