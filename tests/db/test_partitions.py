"""On PostgreSQL a day is a table of its own, made for its first row and dropped as a whole."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, date, datetime, timedelta
from time import sleep

import pytest
from sqlalchemy import insert, text
from sqlalchemy.exc import IntegrityError

from db.audit.chain import Chain, ChainHead, initial_seal
from db.audit.seal_key import SealKey
from db.audit.seals import FIRST_COLUMNS, content_of
from db.engine import DatabaseUnavailable, open_engine, session, transaction
from db.erase import erase_patient
from db.ids import lowest_id_at, new_id, timestamp_of
from db.migrate import migrate
from db.partitions import create_partitions, id_range, lock_for_drop, partitions_before
from db.reader.queries import Reader
from db.retention.delete_expired import RetentionTask, delete_expired
from db.rollups.rollup_worker import transaction_runner
from db.schema import PREDICTION_COLUMNS, SEAL_COLUMNS, outcomes, predictions, writers
from db.verify import verify_log
from db.writer.writer import LogWriter, RowRejected
from db.writer.writes import insert_model
from tests.db.rows import SCORECARD, VERSION, row, running_log, store, store_as_before

NOW = datetime(2026, 3, 1, 8, 30, tzinfo=UTC)
DAY = timedelta(days=1)


def at(time: datetime, **changes: object) -> tuple[object, ...]:
    return row(id=new_id(int(time.timestamp() * 1000)), **changes)


def asked(url: str, question: str) -> list[tuple[object, ...]]:
    with session(open_engine(url)) as connection:
        return [tuple(found) for found in connection.execute(text(question))]


def placed(url: str) -> list[tuple[object, ...]]:
    """Return how many predictions stand in which table."""
    question = "SELECT tableoid::regclass::text, count(*) FROM predictions GROUP BY 1 ORDER BY 1"
    return asked(url, question)


def expire_now(url: str, days: int, key: SealKey | None = None) -> int:
    read = open_engine(url, read_only=True)
    try:
        return delete_expired(read, transaction_runner(open_engine(url)), NOW, days, key)
    finally:
        read.dispose()


def test_an_id_names_its_day() -> None:
    first, end = id_range(date(2026, 3, 1))
    assert (timestamp_of(first), timestamp_of(end)) == (
        NOW.replace(hour=0, minute=0),
        datetime(2026, 3, 2, tzinfo=UTC),
    )
    midnight = int(datetime(2026, 3, 2, tzinfo=UTC).timestamp() * 1000)
    assert first <= new_id(midnight - 1) < end <= new_id(midnight)


def test_rows_stand_in_the_table_of_their_day_with_their_outcomes(postgres_url: str) -> None:
    async def run() -> None:
        async with running_log(postgres_url) as log:
            midnight = NOW.replace(hour=0, minute=0)
            rows = [at(midnight - timedelta(milliseconds=1)), at(midnight), at(NOW), at(NOW + DAY)]
            await log.append(rows)
            await log.record_outcome(str(rows[0][0]), 1, None)

    asyncio.run(run())
    assert placed(postgres_url) == [
        ("predictions_20260228", 1), ("predictions_20260301", 2), ("predictions_20260302", 1),
    ]  # fmt: skip
    assert asked(postgres_url, "SELECT tableoid::regclass::text FROM outcomes") == [
        ("outcomes_20260228",)
    ]


def test_processes_that_begin_a_day_together_make_it_once(postgres_url: str) -> None:
    async def run() -> None:
        async with running_log(postgres_url) as first, running_log(postgres_url) as second:
            for number in range(20):
                day = NOW + number * DAY
                await asyncio.gather(first.append([at(day)]), second.append([at(day)]))

    asyncio.run(run())
    assert [n for _, n in placed(postgres_url)] == [2] * 20


def test_a_day_that_a_rollback_took_back_is_made_again(postgres_url: str) -> None:
    async def run() -> None:
        async with running_log(postgres_url) as log:
            await log.append([at(NOW - DAY)])
            for _ in range(2):
                good, bad = log.append([at(NOW)]), log.append([at(NOW, age=17.0)])
                found = await asyncio.gather(bad, good, return_exceptions=True)
                assert (type(found[0]), found[1]) == (RowRejected, None)
            with pytest.raises(RowRejected):
                await log.append([at(NOW + DAY, age=17.0)])
            await log.append([at(NOW + DAY)])

    asyncio.run(run())
    assert [n for _, n in placed(postgres_url)] == [1, 2, 1]


def test_making_a_day_waits_for_no_reader(postgres_url: str) -> None:
    asyncio.run(store(postgres_url, [at(NOW)]))
    with session(open_engine(postgres_url)) as reader:
        reader.exec_driver_sql("BEGIN")
        reader.exec_driver_sql("SELECT * FROM predictions, outcomes")
        asyncio.run(store(postgres_url, [at(NOW + DAY)]))
    assert len(placed(postgres_url)) == 2


def test_no_outcome_stands_without_its_prediction(postgres_url: str) -> None:
    asyncio.run(store(postgres_url, [at(NOW)]))
    nobody = lowest_id_at(NOW)
    found = {
        "prediction_id": nobody,
        "id": new_id(),
        "received_at": timestamp_of(nobody),
        "outcome": 1,
    }
    with (
        open_engine(postgres_url).connect() as connection,
        pytest.raises(IntegrityError, match="foreign key"),
    ):
        connection.execute(insert(outcomes), found)


def test_whole_days_are_dropped_while_the_log_is_written(postgres_url: str, key: SealKey) -> None:
    async def run() -> int:
        async with running_log(postgres_url, key=key) as log:
            for number in range(8):
                rows = [at(NOW - number * DAY) for _ in range(5)]
                await log.append(rows)
                await log.record_outcome(str(rows[1][0]), 0, None)
            expiring = asyncio.create_task(asyncio.to_thread(expire_now, postgres_url, 4, key))
            while not expiring.done():
                await log.append([at(NOW)])
            return await expiring

    assert asyncio.run(run()) == 15
    with session(open_engine(postgres_url)) as connection:
        left = partitions_before(connection, date(2026, 3, 2))
    assert left == [date(2026, 2, 25) + n * DAY for n in range(5)]
    verdict = verify_log(postgres_url, key)
    assert (verdict.counts["expired"], verdict.findings) == (18, [])


def test_who_reads_for_long_keeps_old_days_and_stops_nobody(
    postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("db.retention.drop_partitions._TRIES", 2)
    monkeypatch.setattr("db.retention.drop_partitions._PAUSE_S", 0.01)
    asyncio.run(store(postgres_url, [at(NOW - 9 * DAY), at(NOW)]))
    with session(open_engine(postgres_url)) as reader:
        reader.exec_driver_sql("BEGIN")
        reader.exec_driver_sql("SELECT * FROM predictions")
        with pytest.raises(DatabaseUnavailable, match="a reader holds the log for too long"):
            expire_now(postgres_url, 4)
        asyncio.run(store(postgres_url, [at(NOW)]))
        assert [n for _, n in placed(postgres_url)] == [1, 2]
        reader.exec_driver_sql("ROLLBACK")
    assert expire_now(postgres_url, 4) == 1


def test_the_api_tries_again_in_an_hour_when_somebody_reads_for_long(
    postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("db.retention.drop_partitions._TRIES", 1)
    monkeypatch.setattr("db.retention.drop_partitions._PAUSE_S", 0)
    asyncio.run(store(postgres_url, [at(NOW - 9 * DAY), at(NOW)]))
    read, expiry = open_engine(postgres_url, read_only=True), RetentionTask(4, None)
    write = transaction_runner(open_engine(postgres_url))
    with session(open_engine(postgres_url)) as reader:
        reader.exec_driver_sql("BEGIN")
        reader.exec_driver_sql("SELECT * FROM predictions")
        with pytest.raises(DatabaseUnavailable, match="a reader holds the log for too long"):
            expiry(read, write, lambda: False)
        expiry(read, write, lambda: False)
    read.dispose()
    assert len(placed(postgres_url)) == 2


def test_nothing_is_recorded_or_erased_of_a_day_that_is_being_dropped(
    postgres_url: str, key: SealKey, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("db.partitions._QUEUE_MS", 10)
    patient = key.hash_patient_reference("bed 7")
    old, new = at(NOW - 9 * DAY, patient=patient), at(NOW)

    async def record(log: LogWriter) -> list[object]:
        return [await log.record_outcome(str(each[0]), 1, None) for each in (old, new)]

    async def run() -> None:
        async with running_log(postgres_url, key=key) as log:
            await log.append([old, new])
            with session(open_engine(postgres_url)) as dropping:
                dropping.exec_driver_sql("BEGIN")
                lock_for_drop(dropping, (NOW - 9 * DAY).date())
                assert [found is None for found in await record(log)] == [True, False]
                with pytest.raises(DatabaseUnavailable, match="try again"):
                    erase_patient(open_engine(postgres_url), key, "bed 7")
                dropping.exec_driver_sql("ROLLBACK")
            assert None not in await record(log)

    asyncio.run(run())
    assert erase_patient(open_engine(postgres_url), key, "bed 7") == 1


def test_an_erasure_comes_between_two_days_that_are_dropped(
    postgres_url: str, key: SealKey
) -> None:
    async def write() -> None:
        async with running_log(postgres_url, key=key) as log:
            await log.append([at(NOW, patient=key.hash_patient_reference("bed 7"))])

    asyncio.run(write())
    waiting = "SELECT 1 FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"
    with ThreadPoolExecutor() as others, session(open_engine(postgres_url)) as dropping:
        dropping.exec_driver_sql("BEGIN")
        lock_for_drop(dropping, (NOW - 9 * DAY).date())
        erasing = others.submit(erase_patient, open_engine(postgres_url), key, "bed 7")
        while not (erasing.done() or asked(postgres_url, waiting)):
            sleep(0.01)
        dropping.exec_driver_sql("COMMIT")
        dropping.exec_driver_sql("BEGIN")
        lock_for_drop(dropping, (NOW - 8 * DAY).date())
        assert erasing.result() == 1
        dropping.exec_driver_sql("ROLLBACK")


def test_a_log_from_before_is_put_into_its_days(empty_postgres_url: str, key: SealKey) -> None:
    migrate(empty_postgres_url, lambda _: None, to="0004")
    rows = [at(NOW + number * DAY / 2) for number in range(6)]
    chain, engine = Chain(key), open_engine(empty_postgres_url)
    with transaction(engine) as connection:
        name = new_id()
        seal = initial_seal(key, 1, name, 1, 0)
        begin = {"id": 1, "name": name, "format": 1, "unsealed": 0, "seal": seal}
        connection.execute(insert(writers), begin)
        chain.position = ChainHead(1, name, 0, seal)
        seals = chain.seal(connection, rows, content_of(FIRST_COLUMNS))
        names = (*PREDICTION_COLUMNS, *SEAL_COLUMNS)
        for each, sealed in zip(rows, seals, strict=True):
            of_row = dict(zip(names, (*each, *sealed), strict=True))
            del of_row["actor"]  # a column that came later
            of_row["received_at"] = timestamp_of(of_row["id"])
            connection.execute(insert(predictions), of_row)
        insert_model(connection, VERSION, SCORECARD)
    migrate(empty_postgres_url, lambda _: None)
    assert [n for _, n in placed(empty_postgres_url)] == [2, 2, 2]
    reader = Reader(empty_postgres_url)
    assert [found["id"] for found in reader.stream()] == [each[0] for each in rows[::-1]]
    reader.close()
    assert verify_log(empty_postgres_url, key).findings == []


def test_pages_lead_through_days_with_few_rows(postgres_url: str) -> None:
    days = (0, 0.1, 0.2, 3, 3.1, 8, 40)
    rows = [at(NOW - days_ * DAY) for days_ in days]
    asyncio.run(store(postgres_url, rows))
    reader, found, cursor = Reader(postgres_url), [], ""
    while cursor is not None:
        page, cursor = reader.page(limit=2, cursor=cursor or None, until=NOW + DAY)
        found += [each["id"] for each in page]
    newest, _ = reader.page(limit=2)  # long before now
    reader.close()
    assert found == [each[0] for each in rows]
    assert [each["id"] for each in newest] == found[:2]


def test_processes_of_the_version_before_go_on_through_an_upgrade(postgres_url: str) -> None:
    store_as_before(postgres_url, [row(id=new_id())])  # without making a day
    assert len(placed(postgres_url)) == 1


def test_days_have_the_indexes_and_checks_of_the_whole(postgres_url: str) -> None:
    with transaction(open_engine(postgres_url)) as connection:
        create_partitions(connection, [NOW.date()])

    def of(table: str, question: str) -> list[str]:
        found = asked(postgres_url, question.format(table))
        return sorted(str(one[0]).replace("_20260301", "").replace(" ONLY", "") for one in found)

    columns = "SELECT substring(indexdef from 'USING.*') FROM pg_indexes WHERE tablename = '{}'"
    checks = (
        "SELECT pg_get_constraintdef(oid) FROM pg_constraint"
        " WHERE contype = 'c' AND conrelid = '{}'::regclass"
    )
    for whole in ("predictions", "outcomes", "responses"):
        for question in (columns, checks):
            assert of(whole, question) == of(f"{whole}_20260301", question) != []
