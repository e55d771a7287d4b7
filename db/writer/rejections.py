"""Counts of rejected requests: in memory per minute, added to the table by the writer."""

from __future__ import annotations

import time
from collections import Counter
from datetime import UTC, datetime

from sqlalchemy import Connection

from db.engine import upsert
from db.schema import rejections

MAX_DISTINCT = 1_000
"""Distinct rejections kept between two flushes; any others are counted as "other"."""

RejectionKey = tuple[int, str, int, str, str, str]
"""Minute since 1970, route, status, field, reason, source."""

_KEY = ("minute", "route", "status", "field", "reason", "source")


class RejectionCounter:
    """Counts the rejections since the last flush."""

    def __init__(self) -> None:
        self._counts: Counter[RejectionKey] = Counter()

    def count(self, route: str, status: int, field: str, reason: str, source: str) -> None:
        """Count one rejection in the current minute."""
        minute = int(time.time()) // 60
        key = (minute, route[:128], status, field[:64], reason[:64], source[:16])
        if len(self._counts) >= MAX_DISTINCT and key not in self._counts:
            key = (minute, "other", status, "other", "other", "other")
        self._counts[key] += 1

    def drain(self) -> Counter[RejectionKey]:
        """Return the counts and start again from zero."""
        counts, self._counts = self._counts, Counter()
        return counts

    def restore(self, counts: Counter[RejectionKey]) -> None:
        """Keep counts that could not be written for the next flush, as far as there is room."""
        for key, count in counts.items():
            if key in self._counts or len(self._counts) < MAX_DISTINCT:
                self._counts[key] += count


def add_rejections(connection: Connection, counts: Counter[RejectionKey]) -> None:
    """Add counts to the table."""
    insert = upsert(connection, rejections)
    insert = insert.on_conflict_do_update(
        index_elements=_KEY, set_={"count": rejections.c.count + insert.excluded.count}
    )
    # In order: two processes that update the same rows never deadlock.
    rows = [
        dict(zip(_KEY, (datetime.fromtimestamp(key[0] * 60, UTC), *key[1:]), strict=True))
        | {"count": count}
        for key, count in sorted(counts.items())
    ]
    connection.execute(insert, rows)
