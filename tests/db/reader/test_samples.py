from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import event, text

from db.engine import open_engine
from db.ids import lowest_id_at, new_id
from db.reader.queries import Reader
from db.reader.samples import SCAN_FACTOR, SampledRow, rows_with_outcome, sample_rows
from db.writer.writer import LogWriter
from tests.db.rows import row, running_log, store

START = datetime(2026, 11, 1, tzinfo=UTC)
START_MS = int(START.timestamp() * 1000)
DAY = timedelta(days=1)


def minute(number: float, **changes: Any) -> tuple[Any, ...]:
    return row(id=new_id(int(START_MS + 60_000 * number)), **changes)


def ask(url: str, **changes: Any) -> list[SampledRow]:
    reader = Reader(url)
    try:
        return reader.sample(**{"since": START, "until": START + DAY, "source": "live"} | changes)
    finally:
        reader.close()


def test_few_rows_are_all_taken(database_url: str) -> None:
    rows = [minute(i, age=20.0 + i) for i in range(10)]
    asyncio.run(store(database_url, [*rows, minute(1, source="what-if"), minute(24 * 60)]))
    found = ask(database_url, n=10)
    assert [sampled.id for sampled in found] == [stored[0] for stored in rows]
    assert [sampled.features[0] for sampled in found] == [20.0 + i for i in range(10)]


def test_a_sample_has_the_size_that_was_asked_for_and_can_be_drawn_again(database_url: str) -> None:
    asyncio.run(store(database_url, [minute(i % 1440) for i in range(3_000)]))
    first = ask(database_url, n=3_000, size=200)
    assert 150 <= len(first) <= 200
    assert first == ask(database_url, n=3_000, size=200)
    other = ask(database_url, n=3_000, size=200, seed=1)
    assert len({r.id for r in first} & {r.id for r in other}) < 50


@pytest.mark.parametrize("size", [200, 3_000])
def test_a_sample_is_the_same_in_whichever_order_the_rows_are_found(
    postgres_url: str, size: int
) -> None:
    asyncio.run(store(postgres_url, [minute(1_439 - i % 1_440) for i in range(3_000)]))
    window = (START_MS, START_MS + 86_400_000)
    found = []
    with open_engine(postgres_url).connect() as connection:
        for avoided in ("seqscan", "indexscan", "bitmapscan"):
            connection.execute(text(f"SET enable_{avoided} = off"))
            found.append(sample_rows(connection, window, "live", 3_000, size=size, seed=0))
    assert found[0] == found[1] == found[2] == sorted(found[0])


def test_a_batch_that_came_at_once_does_not_crowd_out_the_rest(database_url: str) -> None:
    # Half of the rows share one millisecond.
    batch = [minute(700, age=30.0) for _ in range(2_000)]
    others = [minute(i % 1440, age=60.0) for i in range(2_000)]
    asyncio.run(store(database_url, batch + others))
    found = ask(database_url, n=4_000, size=1_000)
    share = sum(sampled.features[0] == 30.0 for sampled in found) / len(found)
    assert 0.4 < share < 0.6  # four standard errors are 0.06


def test_no_more_than_the_largest_sample_is_read(sqlite_url: str) -> None:
    with pytest.raises(ValueError, match="size"):
        ask(sqlite_url, n=10, size=10_000)


async def _with_outcomes(url: str) -> None:
    async with running_log(url) as log:
        rows = [minute(0), minute(1), minute(2), minute(3)]
        await log.append(rows)
        await _record(log, rows[0][0], 0, 1)
        await _record(log, rows[0][0], 1, 2)  # corrected a day later
        await _record(log, rows[1][0], 1, 9)
        await log.record_outcome(rows[2][0], 0, None)  # known when it was recorded: now


async def _record(log: LogWriter, prediction: str, outcome: int, days: int) -> None:
    await log.record_outcome(prediction, outcome, START + days * DAY)


@pytest.mark.parametrize(
    ("known_before_days", "expected"), [(1.5, [0]), (5, [1]), (10, [1, 1]), (9_999, [0, 1, 1])]
)
def test_outcomes_are_seen_as_they_were_known_then_the_newest_counts(
    database_url: str, known_before_days: float, expected: list[int]
) -> None:
    asyncio.run(_with_outcomes(database_url))
    reader = Reader(database_url)
    found = reader.sample_with_outcomes(
        since=START, until=START + DAY, source="live", known_before=START + known_before_days * DAY
    )
    reader.close()
    assert [sampled.outcome for sampled in found] == expected


def test_corrections_of_one_outcome_do_not_hide_another(database_url: str) -> None:
    rows = [minute(0), minute(1)]

    async def run() -> None:
        async with running_log(database_url) as log:
            await log.append(rows)
            await log.record_outcome(rows[0][0], 1, None)
            for nth in range(4):  # as many as are read at first
                await log.record_outcome(rows[1][0], nth % 2, None)

    asyncio.run(run())
    ids = lowest_id_at(START), lowest_id_at(START + DAY)
    with open_engine(database_url).connect() as connection:
        found = rows_with_outcome(connection, ids, "live", datetime.now(UTC) + 9_999 * DAY, limit=2)
    assert [(sampled.id, sampled.outcome) for sampled in found] == [
        (rows[1][0], 1),
        (rows[0][0], 1),
    ]


def test_the_oldest_prediction_of_a_source_is_found(database_url: str) -> None:
    asyncio.run(store(database_url, [minute(5), minute(2), minute(1, source="what-if")]))
    reader = Reader(database_url)
    assert reader.first_received_at("live") == START + timedelta(minutes=2)
    assert reader.first_received_at("replay") is None
    reader.close()


def looked_at(plan: dict[str, Any]) -> float:
    """Return how many rows a plan of PostgreSQL read from tables or compared in a join."""
    removed = sum(plan[name] for name in plan if name.startswith("Rows Removed by"))
    rows = removed + ("Relation Name" in plan and plan["Actual Rows"])
    return float(rows * plan["Actual Loops"] + sum(map(looked_at, plan.get("Plans", []))))


@pytest.mark.parametrize("seed", [0, 1794355200])
def test_a_sample_looks_at_a_few_rows_whatever_its_seed(postgres_url: str, seed: int) -> None:
    n, size, asked = 20_000, 500, []

    async def write() -> None:
        async with running_log(postgres_url, timeout_s=60) as log:
            await log.append([minute(i * 1_440 / n) for i in range(n)])

    asyncio.run(write())
    with open_engine(postgres_url).connect() as connection:
        connection.execute(text("ANALYZE predictions"))
        event.listen(connection, "before_cursor_execute", lambda *call: asked.append(call[2:4]))
        found = sample_rows(
            connection, (START_MS, START_MS + 86_400_000), "live", n, size=size, seed=seed
        )
        plans = [
            connection.exec_driver_sql(f"EXPLAIN (ANALYZE, FORMAT JSON) {query}", values)
            for query, values in list(asked)
        ]
    assert len(found) == size
    rows = sum(looked_at(plan.scalar_one()[0]["Plan"]) for plan in plans)
    assert rows < 2 * SCAN_FACTOR * size
