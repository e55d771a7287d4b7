"""An erased patient is really gone, and the rest of the log still verifies."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import event, select

from db.audit.seal_key import SealKey, create_seal_key
from db.engine import open_engine, session
from db.erase import _answers_about, erase_patient
from db.reader.queries import Reader
from db.schema import DEPENDENT_TABLES, dirty_buckets, idempotency
from db.verify import verify_log
from db.writer.idempotency import IdempotencyClaim
from db.writer.writer import LogWriter
from tests.db.retention.test_retention import (
    NOW,
    count,
    days_ago,
    roll_up,
    values_in_statements,
    write,
)
from tests.db.rows import row, running_log
from tests.programs import invoke

PATIENT = "ward 3 / bed 7"


def about(log: LogWriter, key: SealKey) -> Callable[[], object]:
    """Return a call that logs two predictions about a patient, one of somebody else between."""
    patient = key.hash_patient_reference(PATIENT)
    rows = [row(patient=patient, age=77.0), row(), row(patient=patient, age=78.0, thal=None)]
    answer = json.dumps([each[0] for each in rows]).encode()

    async def call() -> list[str]:
        await log.append(rows, idempotency=IdempotencyClaim("s", "k", b"hash", answer))
        await log.append([row()], idempotency=IdempotencyClaim("s", "other", b"hash", b"{}"))
        for each in rows:
            await log.record_outcome(str(each[0]), 1, NOW)
            await log.record_response(str(each[0]), "override", "other", "angiography")
        return [str(each[0]) for each in rows]

    return call


def write_about(url: str, key: SealKey) -> list[str]:
    async def live() -> list[str]:
        async with running_log(url, key=key) as log:
            ids: list[str] = await about(log, key)()  # type: ignore[misc]
            return ids

    return asyncio.run(live())


def test_an_erased_patient_is_gone_and_the_log_still_verifies(
    database_url: str, key: SealKey
) -> None:
    one, other, two = write_about(database_url, key)
    assert erase_patient(open_engine(database_url), key, PATIENT) == 2
    reader = Reader(database_url)
    assert [reader.get(each) is None for each in (one, other, two)] == [True, False, True]
    assert reader.counts().values["age"] == {63.0: 2}
    reader.close()
    assert [count(database_url, table) for table in DEPENDENT_TABLES] == [1, 1]
    with session(open_engine(database_url)) as connection:
        assert connection.scalars(select(idempotency.c.key)).all() == ["other"]
    verdict = verify_log(database_url, key)
    assert (verdict.counts["erased"], verdict.findings) == (6, [])
    assert erase_patient(open_engine(database_url), key, PATIENT) == 0


def test_an_erasure_looks_through_the_answers_before_it_keeps_others_from_writing(
    sqlite_url: str, key: SealKey, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("db.erase._ANSWERS_AT_ONCE", 2)
    write_about(sqlite_url, key)
    engine = open_engine(sqlite_url)
    asked: list[str] = []

    @event.listens_for(engine, "before_cursor_execute")
    def note(*args: object) -> None:
        asked.append(str(args[2]))

    assert erase_patient(engine, key, PATIENT) == 2
    locked = asked[asked.index("BEGIN IMMEDIATE") :]
    assert [each for each in locked if "idempotency.response" in each] == []
    assert any("DELETE FROM idempotency" in each for each in locked)


def test_what_is_answered_while_an_erasure_looks_is_forgotten_too(
    sqlite_url: str, key: SealKey, monkeypatch: pytest.MonkeyPatch
) -> None:
    written: list[str] = []

    def look(*arguments: Any) -> list[dict[str, str]]:
        if not written:
            written.extend(write_about(sqlite_url, key))
        return _answers_about(*arguments)

    write(sqlite_url, key, [row()])
    monkeypatch.setattr("db.erase._answers_about", look)
    assert erase_patient(open_engine(sqlite_url), key, PATIENT) == 2
    with session(open_engine(sqlite_url)) as connection:
        assert connection.scalars(select(idempotency.c.key)).all() == ["other"]


def test_counts_that_were_rolled_up_forget_an_erased_patient(
    database_url: str, key: SealKey, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("db.rollups.counts.SMALL_WINDOW", 0)
    patient = key.hash_patient_reference(PATIENT)
    write(database_url, key, [days_ago(3, patient=patient, age=77.0), days_ago(3)])
    roll_up(database_url)
    assert count(database_url, dirty_buckets) == 0
    erase_patient(open_engine(database_url), key, PATIENT)
    for _ in ("from the rows", "from the rollups"):
        reader = Reader(database_url)
        assert reader.counts().values["age"] == {63.0: 1}
        reader.close()
        roll_up(database_url)
    assert count(database_url, dirty_buckets) == 0


def test_an_erased_patient_leaves_the_file_too(sqlite_url: str, key: SealKey) -> None:
    one, other, _ = write_about(sqlite_url, key)
    folder = Path(sqlite_url.removeprefix("sqlite:///")).parent

    def written() -> bytes:
        return b"".join(file.read_bytes() for file in folder.glob("log.db*"))

    assert one.encode() in written()
    erase_patient(open_engine(sqlite_url), key, PATIENT)
    assert other.encode() in written()
    assert one.encode() not in written()
    assert key.hash_patient_reference(PATIENT) not in written()


def test_a_patient_is_exported_and_erased_by_name(
    database_url: str, key: SealKey, tmp_path: Path
) -> None:
    one, _, two = write_about(database_url, key)
    settings = {"database_url": database_url, "log_hmac_key_file": key.path}
    export = "export", "--format", "jsonl", "--patient", PATIENT
    done = invoke(*export, **settings)
    assert done.returncode == 0, done.stderr
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    assert {row["id"] for row in rows} == {one, two}
    assert {(row["decision"], row["action"]) for row in rows} == {("override", "angiography")}
    assert PATIENT not in done.stdout
    erased = invoke("erase", "--patient", PATIENT, **settings)
    assert erased.stdout == "2 predictions erased, with their outcomes and responses\n"
    assert invoke(*export, **settings).stdout == ""
    assert key.path is not None
    settings["log_hmac_key_file"] = key.path.rename(tmp_path / "elsewhere.key")
    without = invoke(*export, database_url=database_url)
    assert (without.returncode, without.stderr.count("\n")) == (4, 1)
    assert "set CARDIOWATCH_LOG_HMAC_KEY_FILE" in without.stderr
    create_seal_key(tmp_path / "other.key")
    wrong = invoke(*export, **settings | {"log_hmac_key_file": tmp_path / "other.key"})
    assert (wrong.returncode, wrong.stdout) == (4, "")
    assert "was not sealed with" in wrong.stderr


def test_a_patient_of_many_predictions_is_erased_some_at_a_time(
    database_url: str, key: SealKey
) -> None:
    patient = key.hash_patient_reference(PATIENT)
    write(database_url, key, [days_ago(3, patient=patient) for _ in range(2_500)])
    engine = open_engine(database_url)
    largest = values_in_statements(engine)
    assert erase_patient(engine, key, PATIENT) == 2_500
    assert max(largest) < 1_100
    verdict = verify_log(database_url, key)
    assert (verdict.counts["erased"], verdict.findings) == (2_502, [])
