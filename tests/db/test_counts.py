from __future__ import annotations

import asyncio
import random
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import func, select

import db.counts
import db.rollup
from db.counts import plan
from db.engine import connect, session
from db.ids import new_id
from db.inserts import inserter
from db.log import Log
from db.marks import DAY, FIVE_MINUTES, HOUR
from db.migrate import migrate
from db.queries import Counts, Reader
from db.rollup import Roller, Write, in_own_transactions, roll
from db.tables import PREDICTION_COLUMNS, rollups, unrolled
from pipeline.schema import FEATURES
from tests.db.rows import row, running_log, store

NOON = datetime(2026, 1, 30, 12, tzinfo=UTC)
LATER = NOON + timedelta(days=9)

MINUTE = timedelta(minutes=1)
HOUR_LONG = 60 * MINUTE
WHENCE = ("live", "what-if")
VERSIONS = ("v1", "v2")

Rows = list[tuple[Any, ...]]


def at(moment: datetime, **changes: Any) -> tuple[Any, ...]:
    """Return a row that was received at a moment."""
    return row(id=new_id(int(moment.timestamp() * 1000)), **changes)


def roll_up(url: str, now: datetime = LATER, write: Write | None = None) -> int:
    read = connect(url, read_only=True)
    try:
        return roll(read, write or in_own_transactions(connect(url)), now)
    finally:
        read.dispose()


def counts(url: str, **window: Any) -> Counts:
    reader = Reader(url)
    found = reader.counts(**window)
    reader.close()
    return found


def waiting(url: str) -> int:
    with session(connect(url)) as connection:
        return connection.scalar(select(func.count()).select_from(unrolled)) or 0


def widths(url: str) -> dict[int, int]:
    """Return how many buckets of each width are rolled up."""
    c = rollups.c
    buckets = select(c.width_s, func.count(c.bucket.distinct())).group_by(c.width_s)
    with session(connect(url)) as connection:
        return {row[0]: row[1] for row in connection.execute(buckets)}


@pytest.fixture(autouse=True)
def _no_window_is_small(monkeypatch: pytest.MonkeyPatch) -> None:
    """These tests have few rows and are about the rollups."""
    monkeypatch.setattr(db.counts, "SMALL_MAX", 0)


@pytest.fixture
def url(database_url: str) -> str:
    migrate(database_url, lambda _: None)
    return database_url


def test_values_are_counted_to_the_step_and_what_is_not_known_too(url: str) -> None:
    asyncio.run(
        store(
            url,
            [
                at(NOON, oldpeak=1.4, chol=233.0, ca=None, prediction=1, probability=0.804),
                at(NOON, oldpeak=1.44, chol=233.5, ca=None, prediction=1, probability=0.8),
                at(NOON, oldpeak=1.46, chol=None, ca=3, probability=0.0),
            ],
        )
    )
    for _ in ("from the rows", "from the rollups"):
        found = counts(url)
        assert (found.n, found.n_positive, found.exact) == (3, 2, True)
        assert found.values["oldpeak"] == {1.4: 2, 1.5: 1}
        assert found.values["chol"] == {233.0: 1, 234.0: 1, None: 1}
        assert found.values["ca"] == {3.0: 1, None: 2}
        assert {p: n for p, n in enumerate(found.probability) if n} == {0: 1, 80: 2}
        roll_up(url)
    assert waiting(url) == 0


def test_an_empty_log_has_no_counts(url: str) -> None:
    found = counts(url)
    assert (found.n, found.exact) == (0, True)
    assert found.values["age"] == {}


@pytest.mark.parametrize(
    ("seconds_after", "rolled"), [(0, 0), (19, 0), (21, 1)], ids=["at once", "soon", "then"]
)
def test_a_bucket_is_rolled_up_when_no_row_comes_any_more(
    url: str, seconds_after: int, rolled: int
) -> None:
    asyncio.run(store(url, [at(NOON)]))
    assert roll_up(url, NOON + 5 * MINUTE + timedelta(seconds=seconds_after)) == rolled


def test_hours_and_days_are_folded_when_they_have_ended(url: str) -> None:
    asyncio.run(store(url, [at(NOON + i * 10 * MINUTE) for i in range(12)]))
    roll_up(url, NOON + 61 * MINUTE)
    assert widths(url) == {FIVE_MINUTES: 6, HOUR: 1}
    roll_up(url, NOON + 121 * MINUTE)
    assert widths(url) == {FIVE_MINUTES: 12, HOUR: 2}
    roll_up(url, NOON + timedelta(hours=13))
    assert widths(url) == {FIVE_MINUTES: 12, HOUR: 2, DAY: 1}
    assert waiting(url) == 0


def test_a_second_pass_has_nothing_to_do(url: str) -> None:
    asyncio.run(store(url, [at(NOON)]))
    assert roll_up(url) == 3  # five minutes, an hour, a day
    assert roll_up(url) == 0


def test_rows_of_the_past_are_counted_at_once_and_rolled_up_again(url: str) -> None:
    async def run() -> None:
        async with running_log(url) as log:
            await log.append([at(NOON, age=50.0)])
            roll_up(url)
            await log.append([at(NOON, age=60.0), at(NOON - timedelta(days=2), age=70.0)])

    asyncio.run(run())
    for _ in ("from the rows", "from the rollups"):
        assert counts(url).values["age"] == {50.0: 1, 60.0: 1, 70.0: 1}
        roll_up(url)
    assert counts(url).n == 3
    assert waiting(url) == 0


def test_a_row_that_comes_while_its_bucket_is_counted_is_not_forgotten(url: str) -> None:
    own = in_own_transactions(connect(url))

    async def run() -> None:
        async with running_log(url) as log:
            await log.append([at(NOON)])
            came = []

            def write(work: Callable[[Any], Any]) -> Any:
                # The counts have been read by now. The first call only waits for the writers.
                if not came and work.__class__.__name__ == "partial":
                    came.append(at(NOON))
                    asyncio.run_coroutine_threadsafe(log.append(came), loop).result(5)
                return own(work)

            loop = asyncio.get_running_loop()
            assert await asyncio.to_thread(roll_up, url, LATER, write) == 0
            assert counts(url).n == 2

    asyncio.run(run())
    roll_up(url)
    assert (counts(url).n, waiting(url)) == (2, 0)


def test_a_bucket_waits_for_a_transaction_that_still_writes_to_it(
    postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(db.rollup, "_WRITERS_S", 0.1)
    asyncio.run(store(postgres_url, [at(NOON)]))
    with session(connect(postgres_url)) as slow:
        slow.exec_driver_sql("BEGIN")
        inserter(slow.engine)(slow, [at(NOON)])
        assert roll_up(postgres_url) == 0
        slow.exec_driver_sql("COMMIT")
    assert roll_up(postgres_url) == 3
    assert counts(postgres_url).n == 2


def test_a_pass_that_is_killed_leaves_nothing_half_done(url: str) -> None:
    asyncio.run(store(url, [at(NOON + i * HOUR_LONG) for i in range(4)]))
    own = in_own_transactions(connect(url))
    left = [3]

    def write(work: Callable[[Any], Any]) -> Any:
        def killed_before_commit(connection: Any) -> Any:
            result = work(connection)
            left[0] -= 1
            if left[0] < 0:
                raise KeyboardInterrupt
            return result

        return own(killed_before_commit)

    with pytest.raises(KeyboardInterrupt):
        roll_up(url, LATER, write)
    assert counts(url).values["age"] == {63.0: 4}
    roll_up(url)
    assert counts(url).values["age"] == {63.0: 4}
    assert waiting(url) == 0


def test_of_two_passes_at_once_each_bucket_is_counted_by_one(url: str) -> None:
    asyncio.run(store(url, [at(NOON + i * HOUR_LONG) for i in range(20)]))
    done: list[int] = []
    passes = [threading.Thread(target=lambda: done.append(roll_up(url))) for _ in range(2)]
    for each in passes:
        each.start()
    for each in passes:
        each.join()
    roll_up(url)
    assert widths(url) == {FIVE_MINUTES: 20, HOUR: 20, DAY: 2}
    assert counts(url).values["age"] == {63.0: 20}


def test_the_rows_of_the_present_mark_their_bucket_once(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("db.marks.time.time", (NOON + MINUTE).timestamp)

    def mark() -> str | None:
        with session(connect(url)) as connection:
            return connection.scalar(select(unrolled.c.mark))

    async def run() -> None:
        async with running_log(url) as log:
            await log.append([at(NOON)])
            first = mark()
            await log.append([at(NOON + MINUTE)])
            assert mark() == first
            monkeypatch.setattr("db.marks.time.time", (NOON + 6 * MINUTE).timestamp)
            await log.append([at(NOON)])  # late: the roller may have been there
            assert mark() != first

    asyncio.run(run())


def test_a_refused_row_does_not_leave_its_neighbours_bucket_unmarked(url: str) -> None:
    async def run() -> None:
        async with running_log(url) as log:
            refused, stored = row(age=17.0), row()
            await asyncio.gather(
                log.append([refused]), log.append([stored]), return_exceptions=True
            )
            await log.append([row()])

    asyncio.run(run())
    assert waiting(url) >= 1
    assert counts(url).n == 2


def test_a_deep_tail_is_a_sample_of_the_newest(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(db.counts, "TAIL_MAX", 10)
    asyncio.run(store(url, [at(NOON + i * MINUTE, age=20.0 + i) for i in range(40)]))
    found = counts(url)
    assert (found.n, found.exact) == (10, False)
    assert sorted(found.values["age"]) == [*range(50, 60)]  # type: ignore[type-var]
    roll_up(url)
    assert (counts(url).n, counts(url).exact) == (40, True)


def test_a_window_of_few_rows_is_counted_from_them_however_scattered(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    scattered = [at(NOON + i * HOUR_LONG) for i in range(db.counts.GAPS_MAX + 5)]
    asyncio.run(store(url, [*scattered, at(NOON, source="what-if")]))
    assert not counts(url, source="live").exact
    monkeypatch.setattr(db.counts, "SMALL_MAX", len(scattered))
    found = counts(url, source="live")
    assert (found.n, found.exact) == (len(scattered), True)
    monkeypatch.setattr(db.counts, "SMALL_MAX", len(scattered) - 1)
    assert not counts(url, source="live").exact


def test_the_old_rollup_stands_for_what_is_too_deep_to_read(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(db.counts, "TAIL_MAX", 2)

    async def run() -> None:
        async with running_log(url) as log:
            await log.append([at(NOON), at(NOON), at(NOON)])
            roll_up(url)
            await log.append([at(NOON), *(at(NOON + HOUR_LONG) for _ in range(3))])

    asyncio.run(run())
    found = counts(url)
    assert (found.n, found.exact) == (3 + 2, False)


def brute_force(rows: Rows, start: datetime, end: datetime, **owner: str) -> dict[str, Any]:
    """Count as a reader would: row by row."""
    values: dict[str, Counter[float | None]] = {f.name: Counter() for f in FEATURES}
    for each in (dict(zip(PREDICTION_COLUMNS, r, strict=True)) for r in rows):
        received_at = datetime.fromtimestamp(int(each["id"][:8] + each["id"][9:13], 16) / 1000, UTC)
        if start <= received_at < end and owner.items() <= each.items():
            for name, found in values.items():
                found[each[name]] += 1
    return values


def test_whatever_the_window_the_counts_are_those_of_the_rows(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(db.counts, "GAPS_MAX", 1_000)
    chance = random.Random(1)  # noqa: S311 - the same windows every time

    def some(number: int) -> Rows:
        return [
            at(
                NOON + chance.randint(0, 20) * 90 * MINUTE + chance.random() * 7 * MINUTE,
                age=float(chance.randint(40, 45)),
                oldpeak=chance.choice([0.0, 0.1, 2.3, None]),
                thal=chance.choice([3, 6, 7, None]),
                source=chance.choice(WHENCE),
                model_version=chance.choice(VERSIONS),
            )
            for _ in range(number)
        ]

    rows: Rows = []

    async def check() -> None:
        async with running_log(url) as log:
            for _ in range(4):
                more = some(30)
                rows.extend(more)
                await log.append(more)
                roll_up(url, NOON + timedelta(hours=chance.uniform(0, 50)))
                for _ in range(8):
                    window = sorted(NOON + timedelta(hours=chance.uniform(-1, 34)) for _ in "ab")
                    if chance.random() < 0.5:  # on the borders of the buckets
                        window = [t.replace(minute=0, second=0, microsecond=0) for t in window]
                    owner = chance.choice(
                        [{}, {"source": "live"}, {"source": "what-if", "model_version": "v2"}]
                    )
                    found = reader.counts(since=window[0], until=window[1], **owner)
                    assert found.exact
                    assert found.values == brute_force(rows, *window, **owner), (window, owner)

    reader = Reader(url)
    asyncio.run(check())
    reader.close()


BUCKETS = st.integers(0, 3 * DAY // FIVE_MINUTES).map(lambda i: i * FIVE_MINUTES)
MARKED = st.sets(
    st.tuples(st.sampled_from([FIVE_MINUTES, HOUR, DAY]), BUCKETS).map(
        lambda mark: (mark[0], mark[1] // mark[0] * mark[0])
    ),
    max_size=6,
)


@given(st.integers(0, 3 * DAY * 1000), st.integers(0, 3 * DAY * 1000), MARKED)
def test_a_plan_covers_its_window_once_and_takes_no_marked_bucket(
    start: int, end: int, marked: set[tuple[int, int]]
) -> None:
    rolled, edges, tail = plan(start, end, marked)
    pieces = sorted([(a, b) for _, a, b in rolled] + edges + tail)
    covered = [start, *(b for _, b in pieces)]
    assert [a for a, _ in pieces] == covered[:-1]
    assert covered[-1] == max(start, end) if pieces else start >= end
    for width, a, b in rolled:
        assert a % (width * 1000) == b % (width * 1000) == 0
        inside = [mark for mark in marked if mark[0] <= width and a <= mark[1] * 1000 < b]
        assert not inside


def test_the_api_s_roller_rolls_through_the_log(url: str) -> None:
    async def run() -> None:
        async with running_log(url) as log:
            await log.append([at(NOON + i * MINUTE) for i in range(30)])
            roller = Roller(log, url, every_s=0.01)
            roller.start()
            for _ in range(500):
                if not waiting(url):
                    break
                await asyncio.sleep(0.01)
            await roller.stop()

    asyncio.run(run())
    assert widths(url) == {FIVE_MINUTES: 6, HOUR: 1, DAY: 1}


def test_a_roller_survives_a_log_that_cannot_write(
    url: str, caplog: pytest.LogCaptureFixture
) -> None:
    async def run() -> None:
        log = Log(url)
        await log.start()
        await log.append([at(NOON)])
        await log.stop()
        roller = Roller(log, url, every_s=0.01)
        roller.start()
        while "The log is not running" not in caplog.text:
            await asyncio.sleep(0.01)
        await roller.stop()

    asyncio.run(asyncio.wait_for(run(), 10))


def test_the_program_makes_one_pass_and_says_what_it_did(url: str) -> None:
    asyncio.run(store(url, [at(NOON), row()]))
    done = subprocess.run(
        [sys.executable, "-m", "db.rollup"],
        env={"CARDIOWATCH_DATABASE_URL": url},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == "3 buckets rolled up, 1 wait for their time to pass\n"


def test_the_program_says_in_one_line_what_is_wrong(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "db.rollup"],
        env={"CARDIOWATCH_DATABASE_URL": f"sqlite:///{tmp_path}/none.db"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1
    assert "run python -m db.migrate" in done.stderr
