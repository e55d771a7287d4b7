from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import func, insert, select, update

from db.engine import DatabaseUnavailable, open_engine, session
from db.ids import timestamp_of
from db.reader.queries import Reader
from db.schema import idempotency, models, predictions
from db.writer.file_lock import LogLocked
from db.writer.idempotency import IdempotencyClaim, StoredResponse, delete_expired_keys
from db.writer.writer import LogWriter, RowRejected
from tests.db.rows import ANSWERED, FIRST_PATIENT, row, running_log


def stored(url: str) -> int:
    with session(open_engine(url)) as connection:
        return connection.execute(select(func.count()).select_from(predictions)).scalar_one()


def test_an_acknowledged_row_is_in_the_database_as_it_was_sent(database_url: str) -> None:
    async def run() -> None:
        async with running_log(database_url) as log:
            sent = row(thal=None, oldpeak=1.4)
            await log.append([sent])
            reader = Reader(database_url)
            found = reader.get(sent[0])
            reader.close()
            assert found == {
                "id": sent[0],
                "received_at": timestamp_of(sent[0]),
                **FIRST_PATIENT,
                **ANSWERED,
                "thal": None,
                "oldpeak": 1.4,
                "outcome": None,
                "observed_at": None,
                **dict.fromkeys(("decision", "reason", "action")),
            }

    asyncio.run(run())


def test_codes_may_come_as_whole_floats(database_url: str) -> None:
    async def run() -> None:
        async with running_log(database_url) as log:
            await log.append([row(sex=0.0, cp=4.0, ca=3.0)])

    asyncio.run(run())
    reader = Reader(database_url)
    (found,), _ = reader.page()
    reader.close()
    assert [found["sex"], found["cp"], found["ca"]] == [0, 4, 3]
    assert {type(found[name]) for name in ("sex", "cp", "ca")} == {int}


WRONG: list[dict[str, object]] = [
    {"age": 17.0},
    {"age": None},
    {"cp": 0},
    {"ca": 1.5},
    {"thal": 4},
    {"oldpeak": 10.5},
    {"source": "elsewhere"},
    {"probability": 1.01},
    {"prediction": 2},
    {"id": "no id"},
]


def test_rows_that_break_a_rule_are_refused_alone(database_url: str) -> None:
    """In one batch, good calls stand between bad ones; each call is stored whole or not at all."""

    async def run() -> list[list[object]]:
        async with running_log(database_url) as log:
            good = [log.append([row()]) for _ in WRONG]
            bad = [log.append([row(), row(**wrong)]) for wrong in WRONG]
            calls = [call for pair in zip(good, bad, strict=True) for call in pair]
            results = await asyncio.gather(*calls, return_exceptions=True)
            return [results[0::2], results[1::2]]

    good, bad = asyncio.run(run())

    assert good == [None] * len(WRONG)
    for wrong, refused in zip(WRONG, bad, strict=True):
        assert isinstance(refused, RowRejected), wrong
        assert "145" not in str(refused), "a message never holds a patient's values"
    assert stored(database_url) == len(WRONG)


def test_an_id_is_stored_once(database_url: str) -> None:
    async def run() -> None:
        async with running_log(database_url) as log:
            twice = row()
            await log.append([twice])
            with pytest.raises(RowRejected):
                await log.append([twice])

    asyncio.run(run())
    assert stored(database_url) == 1


def test_stopping_commits_everything_that_is_queued(database_url: str) -> None:
    async def run() -> None:
        async with running_log(database_url) as log:
            calls = [asyncio.create_task(log.append([row()])) for _ in range(500)]
            await asyncio.sleep(0)
        await asyncio.gather(*calls)

    asyncio.run(run())
    assert stored(database_url) == 500


def test_a_key_keeps_its_first_answer_and_its_rows_only(database_url: str) -> None:
    async def run() -> None:
        async with running_log(database_url) as log:
            first = IdempotencyClaim("key/predict", "k1", b"hash", b"first")
            retry = first._replace(response=b"second")
            assert await log.find_response("key/predict", "k1") is None

            answers = await asyncio.gather(
                log.append([row()], idempotency=first),
                log.append([row()], idempotency=retry),
                log.append([row()], idempotency=retry._replace(key="k2")),
            )
            assert answers == [None, StoredResponse(b"hash", b"first"), None]
            assert await log.append([row()], idempotency=retry) == StoredResponse(b"hash", b"first")
            assert await log.find_response("key/predict", "k1") == StoredResponse(b"hash", b"first")
            assert await log.find_response("other/predict", "k1") is None

    asyncio.run(run())
    assert stored(database_url) == 2


def test_two_processes_that_get_the_same_keys_store_each_once(postgres_url: str) -> None:
    async def run() -> None:
        async with running_log(postgres_url) as log, running_log(postgres_url) as other:
            claims = [IdempotencyClaim("s", f"k{i}", b"hash", b"answer") for i in range(50)]
            await asyncio.gather(
                *[log.append([row()], idempotency=claim) for claim in claims],
                *[other.append([row()], idempotency=claim) for claim in reversed(claims)],
            )

    asyncio.run(run())
    assert stored(postgres_url) == 50


def test_a_refused_row_leaves_its_key_free(database_url: str) -> None:
    async def run() -> None:
        async with running_log(database_url) as log:
            claim = IdempotencyClaim("s", "k", b"hash", b"answer")
            with pytest.raises(RowRejected):
                await log.append([row(age=0)], idempotency=claim)
            assert await log.append([row()], idempotency=claim) is None

    asyncio.run(run())


def test_a_key_passes_to_the_next_when_its_first_holder_is_refused(database_url: str) -> None:
    async def run() -> None:
        async with running_log(database_url) as log:
            claim = IdempotencyClaim("s", "k", b"hash", b"answer")
            refused, stored_ = await asyncio.gather(
                log.append([row(age=0)], idempotency=claim),
                log.append([row()], idempotency=claim),
                return_exceptions=True,
            )
            assert isinstance(refused, RowRejected)
            assert stored_ is None

    asyncio.run(run())
    assert stored(database_url) == 1


def test_keys_are_forgotten_after_a_day(database_url: str) -> None:
    async def run() -> None:
        async with running_log(database_url) as log:
            for key in ("old", "young"):
                await log.append([row()], idempotency=IdempotencyClaim("s", key, b"", b""))

    asyncio.run(run())
    with session(open_engine(database_url)) as connection:
        age = datetime.now(UTC) - timedelta(hours=24, minutes=1)
        old = update(idempotency).where(idempotency.c.key == "old")
        connection.execute(old.values(created_at=age))
        assert delete_expired_keys(connection) == 1
        assert connection.scalars(select(idempotency.c.key)).all() == ["young"]


def test_many_old_keys_are_forgotten_some_at_a_time(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After a day's pause there are millions: one statement for all would take too long."""
    monkeypatch.setattr("db.writer.idempotency.DELETE_BATCH", 3)
    answer = {"request_hash": b"", "response": b"", "scope": "s"}
    old = datetime.now(UTC) - timedelta(hours=25)
    with session(open_engine(database_url)) as connection:
        keys = [answer | {"key": str(n), "created_at": old} for n in range(8)]
        connection.execute(insert(idempotency), keys)
        assert [delete_expired_keys(connection) for _ in range(4)] == [3, 3, 2, 0]


def test_a_model_is_remembered_once(database_url: str) -> None:
    async def run() -> None:
        async with running_log(database_url) as log:
            await log.register_model("abc", '{"a": 1}')
            await log.register_model("abc", '{"a": 2}')

    asyncio.run(run())
    with session(open_engine(database_url)) as connection:
        assert connection.scalars(select(models.c.scorecard)).all() == ['{"a": 1}']


def test_refusals_are_counted_per_minute_and_reason(database_url: str) -> None:
    async def run() -> None:
        async with running_log(database_url) as log:
            for field in ("chol", "age", "chol", "chol"):
                log.count_rejection(
                    route="/predict", status=422, field=field, reason="range", source="live"
                )

    asyncio.run(run())
    asyncio.run(run())  # another process, the same minute: the counts add up
    reader = Reader(database_url)
    counts: dict[str, int] = {}
    for found in reader.rejections():
        counts[found["field"]] = counts.get(found["field"], 0) + found["count"]
    reader.close()
    assert counts == {"chol": 6, "age": 2}


def test_different_refusals_are_bounded(sqlite_url: str) -> None:
    async def run() -> None:
        async with running_log(sqlite_url) as log:
            for i in range(1_500):
                log.count_rejection(route=f"/{i}", status=404, field="", reason="route", source="")

    asyncio.run(run())
    reader = Reader(sqlite_url)
    found = reader.rejections(limit=5_000)
    assert len(found) <= 1_002
    assert sum(each["count"] for each in found) == 1_500


def test_a_second_writer_of_a_sqlite_file_is_refused_with_the_reason(sqlite_url: str) -> None:
    async def run() -> None:
        async with running_log(sqlite_url):
            with pytest.raises(LogLocked, match="Another process is writing to"):
                await LogWriter(sqlite_url).start()
        await _start_and_stop(sqlite_url)  # free again

    asyncio.run(run())


def test_a_database_without_tables_is_not_written(empty_database_url: str) -> None:
    if empty_database_url.startswith("sqlite"):
        open_engine(empty_database_url, create=True).connect().close()
    with pytest.raises(DatabaseUnavailable, match=r"run cardiowatch migrate"):
        asyncio.run(_start_and_stop(empty_database_url))


async def _start_and_stop(url: str) -> None:
    log = LogWriter(url)
    await log.start()
    await log.stop()
