from __future__ import annotations

import asyncio
import random
from collections import Counter
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import db.rollups.counts
from db.reader.queries import Reader
from db.rollups.counts import plan_window
from db.rollups.dirty_buckets import DAY, FIVE_MINUTES, HOUR
from db.schema import PREDICTION_COLUMNS
from pipeline.schema import FEATURES
from tests.db.rows import running_log, store
from tests.db.windows import HOUR_LONG, MINUTE, NOON, Rows, at, counts, roll_up, waiting

WHENCE = ("live", "what-if")
VERSIONS = ("v1", "v2")


pytestmark = pytest.mark.usefixtures("no_window_is_small")


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


def test_a_deep_tail_is_a_sample_of_the_newest(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(db.rollups.counts, "MAX_PENDING_ROWS", 10)
    asyncio.run(store(url, [at(NOON + i * MINUTE, age=20.0 + i) for i in range(40)]))
    found = counts(url)
    assert (found.n, found.exact) == (10, False)
    assert sorted(found.values["age"]) == [*range(50, 60)]  # type: ignore[type-var]
    roll_up(url)
    assert (counts(url).n, counts(url).exact) == (40, True)


def test_a_window_of_few_rows_is_counted_from_them_however_scattered(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    scattered = [at(NOON + i * HOUR_LONG) for i in range(db.rollups.counts.MAX_GAPS + 5)]
    asyncio.run(store(url, [*scattered, at(NOON, source="what-if")]))
    assert not counts(url, source="live").exact
    monkeypatch.setattr(db.rollups.counts, "SMALL_WINDOW", len(scattered))
    found = counts(url, source="live")
    assert (found.n, found.exact) == (len(scattered), True)
    monkeypatch.setattr(db.rollups.counts, "SMALL_WINDOW", len(scattered) - 1)
    assert not counts(url, source="live").exact


def test_the_old_rollup_stands_for_what_is_too_deep_to_read(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(db.rollups.counts, "MAX_PENDING_ROWS", 2)

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
    monkeypatch.setattr(db.rollups.counts, "MAX_GAPS", 1_000)
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


@settings(deadline=None)
@given(st.integers(0, 3 * DAY * 1000), st.integers(0, 3 * DAY * 1000), MARKED)
def test_a_plan_covers_its_window_once_and_takes_no_marked_bucket(
    start: int, end: int, marked: set[tuple[int, int]]
) -> None:
    rolled, edges, tail = plan_window(start, end, marked)
    pieces = sorted([(a, b) for _, a, b in rolled] + edges + tail)
    covered = [start, *(b for _, b in pieces)]
    assert [a for a, _ in pieces] == covered[:-1]
    assert covered[-1] == max(start, end) if pieces else start >= end
    for width, a, b in rolled:
        assert a % (width * 1000) == b % (width * 1000) == 0
        inside = [mark for mark in marked if mark[0] <= width and a <= mark[1] * 1000 < b]
        assert not inside
