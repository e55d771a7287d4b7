"""The log's only reader: every query is bounded, none can write.

Rows are plain dicts: UCI codes as integers, measurements as floats, None = unknown, times in UTC.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, and_, func, literal, select

from db.engine import keep_snapshot, session
from db.ids import (
    YEAR_10000_MS,
    ceil_to_ms,
    is_id,
    lowest_id_at,
    lowest_id_of_ms,
    new_id,
    timestamp_ms,
    timestamp_of,
)
from db.reader.results import ResultsReader
from db.reader.samples import (
    MAX_SAMPLE,
    SampledRow,
    rows_with_outcome,
    rows_with_response,
    sample_rows,
)
from db.reader.statistics import (
    TimeBucket,
    WindowStatistics,
    bucket_count,
    summarize,
    summarize_buckets,
)
from db.rollups.counts import ValueCounts, count_window, predictions_by_step
from db.schema import EXPORTED_COLUMNS, RECORDED_COLUMNS, SOURCES, models, predictions

__all__ = ["Reader", "TimeBucket", "ValueCounts", "WindowStatistics"]

MAX_ROWS = 50_000
"""Newest rows whose latencies and versions are read; with more, statistics are truncated."""

MAX_RECOUNTED = 12
"""Steps of a window that are counted without their rollups; with more they are left out."""

MAX_PAGE = 1_000
"""Rows of the largest page, and of each step of a stream."""

_ALL_ROWS: Mapping[str, Any] = {}

MAX_COUNT = 100_000
"""A source's count stops here: an exact count would read the whole table."""


class Reader(ResultsReader):
    """Reads the log; safe to use from several threads.

    Every method raises `DatabaseUnavailable` when the database is missing, not migrated, locked or
    silent, and `ValueError` when a time has no zone.

    Parameters
    ----------
    url
        SQLAlchemy URL; nothing is opened before the first query.
    timeout_s
        Seconds after which a query fails.
    """

    def ping(self) -> None:
        """Read from the log's table; raise DatabaseUnavailable when that fails."""
        self._rows(select(predictions.c.id).limit(1))

    def get(self, id: str) -> dict[str, Any] | None:  # noqa: A002 - the field's name everywhere
        """Return one prediction with its newest outcome and response, or None."""
        if not is_id(id):
            return None
        received_at = predictions.c.received_at == timestamp_of(id)
        one = select(*EXPORTED_COLUMNS).where(predictions.c.id == id, received_at)
        rows = self._with_recorded(self._rows(one))
        return rows[0] if rows else None

    def page(
        self,
        *,
        since: datetime | None = None,
        until: datetime | None = None,
        source: str | None = None,
        limit: int = 100,
        cursor: str | None = None,
        only: Mapping[str, Any] = _ALL_ROWS,
    ) -> tuple[list[dict[str, Any]], str | None]:
        """Return the newest predictions of a window, and where the next page begins.

        Parameters
        ----------
        since, until
            `since <= received_at < until`.
        source
            One of `SOURCES`; None = all.
        limit
            Rows, 1 to `MAX_PAGE`.
        cursor
            From the previous page.
        only
            Column -> its value, or a tuple: from, and below.

        Returns
        -------
        tuple
            Rows in descending order of (received_at, id), and the next cursor or None.
        """
        if not 1 <= limit <= MAX_PAGE:
            raise ValueError(f"limit must be from 1 to {MAX_PAGE}")
        if cursor is not None and not is_id(cursor):
            raise ValueError("cursor must be the one from the previous page")
        wanted = select(*EXPORTED_COLUMNS).where(*_window(since, until, source), *_only(only))
        if cursor is not None:
            wanted = wanted.where(predictions.c.id < cursor)
        wanted, rows = wanted.order_by(*_NEWEST_FIRST).limit(limit + 1), []
        if self._engine.dialect.name == "postgresql":  # plans for every partition of the range
            rows = self._rows(wanted.where(predictions.c.id >= _day_before(until, cursor)))
        if len(rows) <= limit:
            rows = self._rows(wanted)
        following = rows[limit - 1]["id"] if len(rows) > limit else None
        return self._with_recorded(rows[:limit]), following

    def stream(
        self,
        *,
        since: datetime | None = None,
        until: datetime | None = None,
        source: str | None = None,
        only: Mapping[str, Any] = _ALL_ROWS,
    ) -> Iterator[dict[str, Any]]:
        """Yield all predictions of a window, newest first, in flat memory.

        Each step is a separate page, so that no transaction stays open while a slow client reads.
        """
        cursor = None
        while True:
            rows, cursor = self.page(
                since=since, until=until, source=source, limit=MAX_PAGE, cursor=cursor, only=only
            )
            yield from rows
            if cursor is None:
                return

    def model(self, version: str) -> str | None:
        """Return the scorecard (JSON text) of a model version."""
        rows = self._rows(select(models.c.scorecard).where(models.c.version == version))
        return rows[0]["scorecard"] if rows else None

    def sources(self) -> dict[str, int]:
        """Return the number of predictions of every source, counted up to `MAX_COUNT`."""
        counts = {}
        with session(self._engine) as connection:
            for source in SOURCES:
                some = select(literal(1)).where(predictions.c.source == source).limit(MAX_COUNT)
                count = select(func.count()).select_from(some.subquery())
                counts[source] = connection.execute(count).scalar_one()
        return counts

    def history(
        self, *, since: datetime, until: datetime, width_s: float, source: str | None = None
    ) -> tuple[WindowStatistics, list[TimeBucket]]:
        """Summarise a window, and its steps of `width_s` seconds, oldest first, empty ones too.

        When it holds more than `MAX_ROWS` predictions, versions and latencies are of the newest,
        and the other steps have none: these are counted from the rollups, or left out where the
        rollups are not current. The numbers of the whole window are always of all.
        """
        count, c = bucket_count(since, until, width_s), predictions.c  # rejects a bad width
        newest = select(c.id, c.prediction, c.latency_ms, c.model_version)
        newest = newest.where(*_window(since, until, source)).order_by(*_NEWEST_FIRST)
        with session(self._engine) as connection:
            rows = connection.execute(newest.limit(MAX_ROWS)).all()
        found = summarize(rows, truncated=len(rows) == MAX_ROWS)
        steps = summarize_buckets(rows, since, until, width_s, truncated=found.truncated)
        steps = self._counted(since, width_s, count - len(steps), source) + steps
        if found.truncated and len(steps) == count:
            n, positive = sum(step.n for step in steps), sum(step.n_positive for step in steps)
            found = replace(found, n=n, n_positive=positive)
        elif found.truncated:
            counts = self.counts(since=since, until=until, source=source)
            found = replace(found, n=counts.n, n_positive=counts.n_positive)
        return found, steps

    def _counted(
        self, since: datetime, width_s: float, n: int, source: str | None
    ) -> list[TimeBucket]:
        """Count the first `n` steps of a window, from their rollups where these are current."""
        if not n:
            return []
        start_s = since.timestamp()
        with session(self._engine) as connection:
            end_s = start_s + n * width_s
            counted = predictions_by_step(connection, start_s, end_s, width_s, source)
        if n - len(counted) > MAX_RECOUNTED:
            return []
        steps = []
        for i in range(n):
            start = since + timedelta(seconds=i * width_s)
            if i in counted:
                total, positive = counted[i].total(), counted[i][1]
            else:
                until = start + timedelta(seconds=width_s)
                found = self.counts(since=start, until=until, source=source)
                total, positive = found.n, found.n_positive
            steps.append(TimeBucket(start, total, positive, None, None))
        return steps

    def counts(
        self,
        *,
        since: datetime | None = None,
        until: datetime | None = None,
        source: str | None = None,
        model_version: str | None = None,
    ) -> ValueCounts:
        """Count how often each feature had each value, whatever the number of rows.

        A window that begins and ends with a five-minute bucket reads at most `MAX_PENDING_ROWS`
        rows; any other also reads those of the two buckets that it cuts.
        """
        start = ceil_to_ms(since) if since else 0
        end = ceil_to_ms(until) if until else YEAR_10000_MS
        owner = {"source": source, "model_version": model_version}
        with session(self._engine) as connection:
            keep_snapshot(connection)
            return count_window(connection, start, end, owner)

    def sample(
        self,
        *,
        since: datetime,
        until: datetime,
        n: int,
        source: str | None = None,
        size: int = MAX_SAMPLE,
        seed: int = 0,
    ) -> list[SampledRow]:
        """Draw at most `size` predictions of a window at random; all, when they are no more.

        Parameters
        ----------
        since, until, source
            As in `page`.
        n
            The window's number of predictions, from its `counts`.
        size
            Up to `MAX_SAMPLE`.
        seed
            The same seed draws the same rows.
        """
        if not 1 <= size <= MAX_SAMPLE:
            raise ValueError(f"size must be from 1 to {MAX_SAMPLE}")
        window = ceil_to_ms(since), ceil_to_ms(until)
        with session(self._engine) as connection:
            return sample_rows(connection, window, source, n, size=size, seed=seed)

    def sample_with_outcomes(
        self, *, since: datetime, until: datetime, source: str, known_before: datetime
    ) -> list[SampledRow]:
        """Return the newest predictions of a window whose outcome was known before a time.

        Returns
        -------
        list
            At most `MAX_SAMPLE` rows as of `sample`, each with its outcome (0 or 1).
        """
        ids = lowest_id_at(since), lowest_id_at(until)
        with session(self._engine) as connection:
            return rows_with_outcome(connection, ids, source, known_before, limit=MAX_SAMPLE)

    def sample_with_responses(
        self, *, since: datetime, until: datetime, source: str
    ) -> list[SampledRow]:
        """Return the newest predictions of a window that have a response, each with its decision.

        At most `MAX_SAMPLE`.
        """
        ids = lowest_id_at(since), lowest_id_at(until)
        with session(self._engine) as connection:
            return rows_with_response(connection, ids, source, limit=MAX_SAMPLE)

    def first_received_at(self, source: str) -> datetime | None:
        """Return when the oldest prediction of a source was made, or None."""
        oldest = select(predictions.c.id).where(predictions.c.source == source)
        rows = self._rows(oldest.order_by(predictions.c.id).limit(1))
        return timestamp_of(rows[0]["id"]) if rows else None

    def _with_recorded(self, rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """Return predictions with their newest outcomes and responses.

        These are queried by id, not joined: PostgreSQL then reads only the partitions of those ids,
        while a join would plan for all of them.
        """
        if not rows:
            return []
        for table, recorded in RECORDED_COLUMNS.items():
            c = table.c
            place = func.row_number().over(partition_by=c.prediction_id, order_by=c.id.desc())
            of_them = c.prediction_id.in_([row["id"] for row in rows])
            all_of_them = select(c.prediction_id, *recorded, place.label("place")).where(of_them)
            found = all_of_them.subquery().c
            wanted = select(found.prediction_id, *(found[column.name] for column in recorded))
            known = self._rows(wanted.where(found.place == 1))
            newest = {one.pop("prediction_id"): one for one in known}
            nothing = {column.name: None for column in recorded}
            rows = [row | newest.get(row["id"], nothing) for row in rows]
        return rows


_NEWEST_FIRST = (predictions.c.id.desc(),)

_DAY_MS = 86_400_000


def _day_before(until: datetime | None, cursor: str | None) -> str:
    """Return the first id of the 24 hours before the end of a window."""
    ends = [end for end in (cursor, until and lowest_id_at(until)) if end]
    return lowest_id_of_ms(max(0, timestamp_ms(min(ends, default=new_id())) - _DAY_MS))


def _only(wanted: Mapping[str, Any]) -> Iterator[ColumnElement[bool]]:
    for name, value in wanted.items():
        column = predictions.c[name]
        if isinstance(value, tuple):
            yield and_(column >= value[0], column < value[1])
        else:
            yield column == value


def _window(
    since: datetime | None, until: datetime | None, source: str | None
) -> list[ColumnElement[bool]]:
    """Express a window as a range of ids, which the primary key serves."""
    conditions: list[ColumnElement[bool]] = []
    if since is not None:
        conditions.append(predictions.c.id >= lowest_id_at(since))
    if until is not None:
        conditions.append(predictions.c.id < lowest_id_at(until))
    if source is not None:
        conditions.append(predictions.c.source == source)
    return conditions
