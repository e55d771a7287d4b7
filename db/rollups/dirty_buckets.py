"""Which buckets of time hold rows that the rollups do not count yet.

A row marks its five-minute bucket in its own transaction, so a mark is never missing: not after a
kill, and not when a row comes with a time long past (a replayed history, a slow disk). The roller
takes a mark away in the transaction that stores the bucket's counts. What is not marked is counted.

The first row of a bucket writes the mark, the others find it: `Marks` remembers the bucket.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from typing import Any

from sqlalchemy import Connection

from db.engine import upsert
from db.ids import first_id_of, milliseconds, new_id
from db.schema import unrolled

FIVE_MINUTES, HOUR, DAY = WIDTHS = (300, 3_600, 86_400)
"""Seconds of the buckets, finest first; each width divides the next."""

OPEN_S = 10.0
"""So long after its end a bucket's rows still come as usual; later ones mark it anew."""

CLOSED_S = 2 * OPEN_S
"""So long after its end a bucket is counted; the difference is what two hosts' clocks may differ.

Nothing depends on `LOG_TIMEOUT_S`: a row that is stored later than this marks its bucket.
"""


class Marks:
    """Marks the buckets of a writer's rows; forget() when a transaction was rolled back."""

    def __init__(self) -> None:
        self.forget()

    def forget(self) -> None:
        """Take no mark for granted."""
        self._first, self._end, self._until = "", "", 0.0

    def add(self, connection: Connection, rows: Sequence[tuple[Any, ...]]) -> None:
        """Mark the buckets of rows (id first) that this transaction has just inserted.

        After, not before: a transaction that found its bucket open has begun to write by then, so
        the roller, who waits for those that have, does not miss it.
        """
        now = time.time()
        ids = [row[0] for row in rows]
        if self._first <= min(ids) and max(ids) < self._end and now < self._until:
            return
        buckets = {milliseconds(i) // 1000 // FIVE_MINUTES * FIVE_MINUTES for i in ids}
        mark(connection, FIVE_MINUTES, buckets)
        newest = max(buckets)
        if now < newest + FIVE_MINUTES + OPEN_S:
            self._first = first_id_of(newest * 1000)
            self._end = first_id_of((newest + FIVE_MINUTES) * 1000)
            self._until = newest + FIVE_MINUTES + OPEN_S


def mark(connection: Connection, width_s: int, buckets: Iterable[int]) -> None:
    """Mark buckets of one width, each with a new mark."""
    insert = upsert(connection, unrolled)
    insert = insert.on_conflict_do_update(
        index_elements=["width_s", "bucket"], set_={"mark": insert.excluded.mark}
    )
    # In order: two processes that mark the same ones never wait in a circle.
    rows = [{"width_s": width_s, "bucket": bucket, "mark": new_id()} for bucket in sorted(buckets)]
    connection.execute(insert, rows)
