"""Keeps load tests away from real logs."""

from __future__ import annotations

from contextlib import closing

from db.reader.queries import Reader
from perf.load.server_process import ServerFailed


def require_scratch_database(url: str) -> None:
    """Raise ServerFailed if a database holds anything but load tests: it is a real log."""
    with closing(Reader(url)) as reader:
        counts = reader.sources()
    if any(count for source, count in counts.items() if source != "load-test"):
        raise ServerFailed("the database holds other predictions; name an empty one")
