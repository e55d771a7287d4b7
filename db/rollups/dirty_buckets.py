"""Dirty buckets: buckets of time with rows that the rollups do not count yet.

A row marks its five-minute bucket in its own transaction, so a mark is never missing: not after a
kill, and not when a row comes late (a replayed history, a slow disk). The rollup worker removes a
mark in the transaction that stores the bucket's counts. A bucket without a mark is counted.

The first row of a bucket writes the mark; for the others `DirtyBuckets` remembers it.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from typing import Any

from sqlalchemy import Connection

from db.engine import upsert
from db.ids import lowest_id_of_ms, new_id, timestamp_ms
from db.schema import dirty_buckets

FIVE_MINUTES, HOUR, DAY = WIDTHS = (300, 3_600, 86_400)
"""Seconds of the buckets, finest first; each width divides the next."""

LATE_ROWS_S = 10.0
"""How long after its end a bucket's rows still count as on time; later ones mark it again."""

ROLLUP_DELAY_S = 2 * LATE_ROWS_S
"""How long after its end a bucket is counted; the difference allows for clock skew of hosts.

Nothing depends on `LOG_TIMEOUT_S`: a row stored later than this marks its bucket.
"""


class DirtyBuckets:
    """Marks the buckets of a writer's rows; reset() after a rollback."""

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """Forget the marked bucket."""
        self._first, self._end, self._until = "", "", 0.0

    def mark_rows(self, connection: Connection, rows: Sequence[tuple[Any, ...]]) -> None:
        """Mark the buckets of rows (id first) that this transaction has just inserted.

        After, not before: a transaction that found its bucket open has already written, so the
        rollup worker, which waits for transactions in progress, does not miss it.
        """
        now = time.time()
        ids = [row[0] for row in rows]
        if self._first <= min(ids) and max(ids) < self._end and now < self._until:
            return
        buckets = {timestamp_ms(i) // 1000 // FIVE_MINUTES * FIVE_MINUTES for i in ids}
        mark_dirty(connection, FIVE_MINUTES, buckets)
        newest = max(buckets)
        if now < newest + FIVE_MINUTES + LATE_ROWS_S:
            self._first = lowest_id_of_ms(newest * 1000)
            self._end = lowest_id_of_ms((newest + FIVE_MINUTES) * 1000)
            self._until = newest + FIVE_MINUTES + LATE_ROWS_S


def mark_dirty(connection: Connection, width_s: int, buckets: Iterable[int]) -> None:
    """Mark buckets of one width, each with a new mark."""
    insert = upsert(connection, dirty_buckets)
    insert = insert.on_conflict_do_update(
        index_elements=["width_s", "bucket"], set_={"mark": insert.excluded.mark}
    )
    # In order: two processes that mark the same ones never deadlock.
    rows = [{"width_s": width_s, "bucket": bucket, "mark": new_id()} for bucket in sorted(buckets)]
    connection.execute(insert, rows)
