from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import func, insert, select, text
from sqlalchemy.exc import DBAPIError

import db.engine
import db.reader.queries
from db.engine import DatabaseUnavailable, open_engine, session, transaction
from db.ids import new_id
from db.migrate import migrate
from db.reader.queries import Reader
from db.schema import models, predictions
from tests.db.rows import row, running_log, store
from tests.db.windows import roll_up
from tests.postgres import Cluster

NOON = datetime(2026, 1, 31, 12, tzinfo=UTC)


def id_at(seconds: float) -> str:
    """Return an id of so many seconds after noon."""
    return new_id(int(NOON.timestamp() * 1000 + seconds * 1000))


@pytest.fixture
def reader(database_url: str) -> Iterator[Reader]:
    """The log of 40 seconds: one live patient a second, every fourth of them ill, and a what-if.

    Latencies are 1, 2, ..., 40 ms.
    """
    rows = [
        row(
            id=id_at(i), prediction=int(i % 4 == 0), latency_ms=i + 1.0, model_version=f"v{i // 20}"
        )
        for i in range(40)
    ]
    asyncio.run(store(database_url, [*rows, row(id=id_at(100), source="what-if", latency_ms=500)]))
    reader = Reader(database_url)
    yield reader
    reader.close()


def seconds(rows: list[dict[str, object]]) -> list[float]:
    return [(r["received_at"] - NOON).total_seconds() for r in rows]  # type: ignore[operator]


def test_a_page_holds_the_newest_first_and_leads_to_the_next(reader: Reader) -> None:
    first, cursor = reader.page(source="live", limit=25)
    second, end = reader.page(source="live", limit=25, cursor=cursor)
    assert seconds(first) == [*range(39, 14, -1)]
    assert seconds(second) == [*range(14, -1, -1)]
    assert end is None


def test_a_window_holds_its_start_and_not_its_end(reader: Reader) -> None:
    window = {"since": NOON + timedelta(seconds=3), "until": NOON + timedelta(seconds=5)}
    assert seconds(reader.page(**window)[0]) == [4, 3]


def test_a_page_holds_one_prediction_or_the_other_when_asked(reader: Reader) -> None:
    until = NOON + timedelta(seconds=10)
    assert seconds(reader.page(until=until, only={"prediction": 1})[0]) == [8, 4, 0]
    assert seconds(reader.page(until=until, only={"prediction": 0})[0]) == [9, 7, 6, 5, 3, 2, 1]


def test_a_page_holds_a_cohort_by_value_and_by_range(reader: Reader) -> None:
    until = NOON + timedelta(seconds=10)
    assert len(reader.page(until=until, only={"age": (55, 65), "model_version": "v0"})[0]) == 10
    for none in {"age": (55, 63)}, {"age": (64, 70)}, {"model_version": "v1"}, {"key_id": "k"}:
        assert reader.page(until=until, only=none)[0] == []


def test_a_stream_gives_every_row_once(reader: Reader, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(db.reader.queries, "MAX_PAGE", 7)
    assert seconds(list(reader.stream(source="live"))) == [*range(39, -1, -1)]


ALL = {"since": NOON - timedelta(days=9), "until": NOON + timedelta(days=9), "width_s": 86_400}


@pytest.mark.parametrize("limit", [0, 1_001])
def test_a_page_is_bounded(reader: Reader, limit: int) -> None:
    with pytest.raises(ValueError, match="from 1 to 1000"):
        reader.page(limit=limit)


def test_counts_name_every_source(reader: Reader) -> None:
    expected = {"live": 40, "what-if": 1, "synthetic": 0, "replay": 0, "load-test": 0}
    assert reader.sources() == expected


def test_a_summary_counts_and_takes_percentiles(reader: Reader) -> None:
    found = reader.history(**ALL, source="live")[0]
    assert (found.n, found.n_positive) == (40, 10)
    # Between the 20th and the 21st of 1, 2, ..., 40 ms; and so on.
    assert found.latency_p50_ms == pytest.approx(20.5)
    assert found.latency_p95_ms == pytest.approx(1 + 0.95 * 39)
    assert found.first_received_at == NOON
    assert found.model_versions == ("v1", "v0")
    assert not found.truncated


def test_an_empty_window_has_no_latency(reader: Reader) -> None:
    found = reader.history(**ALL | {"until": NOON})[0]
    assert (found.n, found.latency_p50_ms, found.first_received_at) == (0, None, None)


def test_buckets_cover_the_window_the_empty_ones_too(reader: Reader) -> None:
    _, found = reader.history(
        since=NOON - timedelta(seconds=10),
        until=NOON + timedelta(seconds=50),
        width_s=20,
        source="live",
    )
    assert [(b.start - NOON).total_seconds() for b in found] == [-10, 10, 30]
    assert [b.n for b in found] == [10, 20, 10]
    assert [b.n_positive for b in found] == [3, 5, 2]  # 0 4 8; 12 16 20 24 28; 32 36
    assert [b.latency_p50_ms for b in found] == [5.5, 20.5, 35.5]
    _, (empty,) = reader.history(
        since=NOON, until=NOON + timedelta(1), width_s=86_400, source="replay"
    )
    assert (empty.n, empty.latency_p50_ms) == (0, None)


def test_what_was_not_read_is_said_and_not_shown_as_zero(
    reader: Reader, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(db.reader.queries, "MAX_ROWS", 15)  # of the 40: those from 25 s on
    of_all = reader.history(**ALL, source="live")[0]
    assert (of_all.truncated, of_all.n, of_all.latency_p50_ms) == (True, 40, 33.0)
    _, found = reader.history(
        since=NOON, until=NOON + timedelta(seconds=40), width_s=10, source="live"
    )
    assert [(b.n, b.latency_p50_ms is None) for b in found] == [*[(10, True)] * 3, (10, False)]
    monkeypatch.setattr(db.reader.queries, "MAX_RECOUNTED", 2)
    _, found = reader.history(
        since=NOON, until=NOON + timedelta(seconds=40), width_s=10, source="live"
    )
    assert [((b.start - NOON).total_seconds(), b.n) for b in found] == [(30, 10)]


def test_counts_of_a_large_window_are_what_sql_says(
    database_url: str, monkeypatch: pytest.MonkeyPatch, no_window_is_small: None
) -> None:
    monkeypatch.setattr(db.reader.queries, "MAX_ROWS", 15)  # of 99: those of the last five hours
    since = NOON - timedelta(hours=36)
    rows = [
        row(id=id_at(-1200 * i - 60), prediction=int(i % 3 == 0), source="live") for i in range(99)
    ]
    asyncio.run(store(database_url, [*rows, row(id=id_at(-7200), source="what-if")]))
    roll_up(database_url, NOON)
    reader = Reader(database_url)
    window = {"since": since, "until": NOON, "source": "live"}
    found, steps = reader.history(**window, width_s=4 * 3600)
    reader.close()
    c, hour = predictions.c, timedelta(hours=4)
    with session(open_engine(database_url)) as connection:
        expected = [
            tuple(
                connection.execute(
                    select(func.count(), func.coalesce(func.sum(c.prediction), 0)).where(
                        c.source == "live",
                        c.received_at >= since + i * hour,
                        c.received_at < since + (i + 1) * hour,
                    )
                ).one()
            )
            for i in range(9)
        ]
    assert found.truncated
    assert (found.n, found.n_positive) == (99, 33)
    assert [(step.n, step.n_positive) for step in steps] == expected
    assert [step.start for step in steps] == [since + i * hour for i in range(9)]
    assert [step.latency_p50_ms is None for step in steps] == [True] * 8 + [False]


def test_too_many_buckets_are_refused(reader: Reader) -> None:
    with pytest.raises(ValueError, match="at most 5000"):
        reader.history(since=NOON, until=NOON + timedelta(seconds=5_001), width_s=1)


@pytest.mark.parametrize(
    "ask",
    [
        lambda r: r.page(since=datetime(2026, 1, 1)),
        lambda r: r.page(until=datetime(2026, 1, 1)),
        lambda r: r.rejections(since=datetime(2026, 1, 1)),
        lambda r: r.history(since=datetime(2026, 1, 1), until=datetime(2026, 1, 2), width_s=9e4),
    ],
)
def test_a_time_without_a_zone_is_refused(reader: Reader, ask: Callable[[Reader], object]) -> None:
    with pytest.raises(ValueError, match="zone"):
        ask(reader)


def test_models_are_found_by_their_version(reader: Reader, database_url: str) -> None:
    async def run() -> None:
        async with running_log(database_url) as log:
            await log.register_model("abc", '{"a": 1}')

    asyncio.run(run())
    assert reader.model("abc") == '{"a": 1}'
    assert reader.model("other") is None


def test_a_reader_cannot_write(reader: Reader, database_url: str) -> None:
    engine = open_engine(database_url, read_only=True)
    values = {"version": "v", "scorecard": "{}", "first_used": NOON}
    with engine.connect() as connection, pytest.raises(DBAPIError, match=r"read-?only"):
        connection.execute(insert(models).values(values))
    engine.dispose()


def test_threads_may_share_a_reader(reader: Reader) -> None:
    with ThreadPoolExecutor(8) as pool:
        pages = [page.result()[0] for page in [pool.submit(reader.page) for _ in range(40)]]
    assert all(page == pages[0] for page in pages)


def test_rows_are_read_while_others_are_written(database_url: str) -> None:
    async def run() -> None:
        async with running_log(database_url) as log:
            reader = Reader(database_url)
            for n in range(1, 20):
                reading = asyncio.to_thread(reader.page, limit=1)
                await asyncio.gather(log.append([row()]), reading)
                assert len(reader.page()[0]) == n
            reader.close()

    asyncio.run(run())


def test_a_question_that_takes_too_long_is_given_up(sqlite_url: str) -> None:
    asyncio.run(store(sqlite_url, [row() for _ in range(10_000)]))
    with pytest.raises(DatabaseUnavailable, match="choose a smaller window"):
        Reader(sqlite_url, timeout_s=0.0).page(only={"prediction": 1})


def test_a_missing_file_is_named_with_what_to_do_and_not_made(empty_sqlite_url: str) -> None:
    reader = Reader(empty_sqlite_url)
    with pytest.raises(
        DatabaseUnavailable, match=r"Database .* does not exist: run cardiowatch migrate"
    ):
        reader.ping()
    with pytest.raises(DatabaseUnavailable):
        reader.page()  # the first question did not make an empty file
    migrate(empty_sqlite_url, lambda _: None)
    reader.ping()


def test_a_database_that_is_not_migrated_is_named_with_what_to_do(empty_database_url: str) -> None:
    open_engine(empty_database_url, create=True).connect().close()
    reader = Reader(empty_database_url)
    with pytest.raises(DatabaseUnavailable, match=r"not migrated: run cardiowatch migrate"):
        reader.ping()
    reader.close()


def test_a_server_that_is_not_there_is_said_without_its_password() -> None:
    reader = Reader("postgresql+psycopg://someone:secret@127.0.0.1:1/log")
    with pytest.raises(DatabaseUnavailable, match="is PostgreSQL running") as refused:
        reader.ping()
    assert "secret" not in str(refused.value)


def test_a_slow_query_is_told_from_a_silent_server(postgres_url: str) -> None:
    engine = open_engine(postgres_url, read_only=True, timeout_s=1)
    with pytest.raises(DatabaseUnavailable, match="took too long to answer"), session(engine) as c:
        c.execute(text("SELECT pg_sleep(9)"))
    engine.dispose()


def test_a_server_that_only_reads_is_named_as_such(postgres_url: str) -> None:
    with open_engine(postgres_url).connect() as connection:
        name = connection.scalar(text("SELECT current_database()"))
        connection.execute(text(f"ALTER DATABASE {name} SET default_transaction_read_only = on"))
    with (
        pytest.raises(DatabaseUnavailable, match=f"{name} at .* is read-only: .*primary"),
        transaction(open_engine(postgres_url)) as connection,
    ):
        connection.execute(text("CREATE TABLE found (id int)"))


def test_a_server_without_a_free_connection_is_named_as_such(postgres_url: str) -> None:
    with open_engine(postgres_url).connect() as connection:
        connection.execute(text("CREATE ROLE limited LOGIN CONNECTION LIMIT 0"))
    try:
        with pytest.raises(DatabaseUnavailable, match="accepts no more connections"):
            Reader(postgres_url.replace("test@", "limited@")).ping()
    finally:
        with open_engine(postgres_url).connect() as connection:
            connection.execute(text("DROP ROLE limited"))


def test_readers_of_a_process_are_bounded(
    postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(db.engine._POOL, "pool_timeout", 0.1)
    engine = open_engine(postgres_url, read_only=True)
    with ExitStack() as stack:
        for _ in range(15):  # docs/capacity.md
            stack.enter_context(session(engine))
        with pytest.raises(DatabaseUnavailable, match="every connection of this process"):
            stack.enter_context(session(engine))
    engine.dispose()


@pytest.mark.parametrize("attributes", ["primary", "read-write"])
@pytest.mark.parametrize("read_only", [False, True])
def test_of_several_hosts_the_primary_is_used_and_the_urls_own_options_are_kept(
    postgres_url: str, attributes: str, read_only: bool
) -> None:
    base, _, folder = postgres_url.partition("?host=")
    several = (
        f"{base}?host=127.0.0.1,{folder}&port=1,5432&target_session_attrs={attributes}"
        "&options=-c%20work_mem%3D123kB"
    )
    engine = open_engine(several, read_only=read_only)
    with (session if read_only else transaction)(engine) as connection:
        found = [
            connection.scalar(text(f"SHOW {name}"))
            for name in ("work_mem", "timezone", "jit", "transaction_read_only")
        ]
    engine.dispose()
    assert found == ["123kB", "UTC", "off", "on" if read_only else "off"]


def test_each_of_several_hosts_is_named() -> None:
    reader = Reader("postgresql+psycopg://me:secret@/log?host=127.0.0.1,localhost&port=1,2")
    with pytest.raises(
        DatabaseUnavailable, match=r"log at 127\.0\.0\.1,localhost is not responding"
    ):
        reader.ping()


@pytest.mark.parametrize("url", ["a:1,b:2/log", "a:1,2/log", "/log?host=a&port=1,2", "/log?port=x"])
def test_ports_that_cannot_be_read_are_refused_with_the_form(url: str) -> None:
    with pytest.raises(DatabaseUnavailable, match="host=a,b&port=5432,5433") as refused:
        Reader(f"postgresql+psycopg://me:secret@{url}")
    assert "secret" not in str(refused.value)


def test_a_frozen_server_does_not_hold_a_reader(mortal_server: Cluster) -> None:
    url = mortal_server.url(mortal_server.new_database())
    migrate(url, lambda _: None)
    reader = Reader(url, timeout_s=0.5)
    reader.ping()
    mortal_server.pause()
    try:
        began = time.monotonic()
        with pytest.raises(DatabaseUnavailable):
            reader.ping()
        assert time.monotonic() - began < 5
    finally:
        mortal_server.resume()
    reader.ping()
    reader.close()


@pytest.mark.parametrize("url", ["", "mysql://host/db", "sqlite://", "postgresql://host/db"])
def test_another_kind_of_database_is_refused(url: str) -> None:
    with pytest.raises(DatabaseUnavailable, match="must be sqlite:///path or postgresql"):
        Reader(url)
