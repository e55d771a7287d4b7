"""Retention and erasure hold the key: nobody can have them vouch for what was altered."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, delete, insert, select, update

from db.audit.seal_key import SealError, SealKey
from db.audit.tombstones import read_tombstones, sign
from db.engine import open_engine, transaction
from db.erase import erase_patient
from db.ids import new_id, timestamp_of
from db.retention.delete_expired import delete_expired
from db.rollups.rollup_worker import transaction_runner
from db.schema import SEAL_COLUMNS, outcomes, predictions, tombstones
from db.verify import verify_log
from tests.db.rows import row, running_log

PATIENT = "ward 3 / bed 7"
LONG_AGO = int((datetime.now(UTC) - timedelta(days=400)).timestamp() * 1000)
ENTRIES = 13


@pytest.fixture
def heads(tmp_path: Path) -> Path:
    return tmp_path / "log.db.key.heads"


@pytest.fixture
def url(database_url: str, key: SealKey, heads: Path) -> str:
    """A log of one writer: entries 1 to 4 of long ago, 5 to 12 of now, 13 an outcome of 2.

    Entries 6 and 8 are of one patient.
    """

    async def write() -> None:
        async with running_log(database_url, key=key, heads_path=heads) as log:
            old = [row(id=new_id(LONG_AGO + n), age=40.0 + n) for n in range(4)]
            new = [
                row(
                    age=50.0 + n,
                    patient=key.hash_patient_reference(PATIENT) if n in (6, 8) else None,
                )
                for n in range(5, 13)
            ]
            await log.append(old)
            await log.append(new)
            await log.record_outcome(str(old[1][0]), 1, None)

    asyncio.run(write())
    return database_url


def expire_all(url: str, key: SealKey) -> int:
    read = open_engine(url, read_only=True)
    try:
        return delete_expired(
            read, transaction_runner(open_engine(url)), datetime.now(UTC), 30, key
        )
    finally:
        read.dispose()


def copy_of(connection: Connection, number: int) -> dict[str, Any]:
    wanted = select(predictions).where(predictions.c.number == number)
    return dict(connection.execute(wanted).mappings().one())


def moved(connection: Connection, number: int) -> None:
    """Give an entry an id of long ago."""
    id_ = new_id(LONG_AGO)
    new = {"id": id_, "received_at": timestamp_of(id_)}
    connection.execute(update(predictions).where(predictions.c.number == number).values(new))


def stood_in(connection: Connection, numbers: range) -> None:
    """Delete entries and put old rows with their places and seals there."""
    for number in numbers:
        there = copy_of(connection, number)
        connection.execute(delete(predictions).where(predictions.c.number == number))
        id_ = new_id(LONG_AGO)
        there |= {"id": id_, "received_at": timestamp_of(id_), "age": 60.0}
        connection.execute(insert(predictions).values(there))


def one_moved(connection: Connection) -> None:
    moved(connection, 6)


def next_to_the_old_moved(connection: Connection) -> None:
    moved(connection, 5)


def an_end_stood_in(connection: Connection) -> None:
    stood_in(connection, range(7, 13))


def an_old_one_edited(connection: Connection) -> None:
    connection.execute(update(predictions).where(predictions.c.number == 2).values(age=77.0))


def an_old_seal_edited(connection: Connection) -> None:
    new = {"seal": copy_of(connection, 3)["seal"]}
    connection.execute(update(predictions).where(predictions.c.number == 2).values(new))


def an_old_one_of_nobody(connection: Connection) -> None:
    there = copy_of(connection, 5)
    id_ = new_id(LONG_AGO)
    there |= {"id": id_, "received_at": timestamp_of(id_), "writer": 0}
    connection.execute(delete(predictions).where(predictions.c.number == 5))
    connection.execute(insert(predictions).values(there))


@pytest.mark.parametrize(
    "alter",
    [
        one_moved, next_to_the_old_moved, an_end_stood_in, an_old_one_edited, an_old_seal_edited,
        an_old_one_of_nobody,
    ],
)  # fmt: skip
def test_what_was_altered_stays_a_finding_when_it_expires(
    url: str, key: SealKey, heads: Path, alter: Callable[[Connection], None]
) -> None:
    with transaction(open_engine(url)) as connection:
        alter(connection)
    assert verify_log(url, key, [heads]).findings

    assert expire_all(url, key) >= 4

    assert verify_log(url, key, [heads]).findings


def test_what_was_not_altered_expires_without_a_finding(
    url: str, key: SealKey, heads: Path
) -> None:
    assert expire_all(url, key) == 4
    verdict = verify_log(url, key, [heads])
    assert verdict.findings == []
    assert verdict.counts["expired"] == 5


def joined_as_before(connection: Connection, key: SealKey) -> None:
    """Expire the rest as the version before did, which kept the last record's digest."""
    kept = next(found for found, _ in read_tombstones(connection, key) if found.first == ENTRIES)
    whole = kept._replace(first=1)
    connection.execute(delete(tombstones))
    connection.execute(delete(predictions))
    signed = whole._asdict() | {"signature": sign(whole, key)}
    connection.execute(insert(tombstones).values(signed))


def test_what_the_version_before_expires_after_a_rollback_is_no_finding(
    url: str, key: SealKey, heads: Path
) -> None:
    expire_all(url, key)
    with transaction(open_engine(url)) as connection:
        joined_as_before(connection, key)
    verdict = verify_log(url, key, [heads])
    assert (verdict.findings, verdict.counts["expired"]) == ([], ENTRIES)


def record_of_nothing(connection: Connection, writer: int, first: int, last: int) -> None:
    """Forge the record of a removal; without the key nobody can sign it."""
    forged = {
        "writer": writer, "first": first, "last": last, "reason": "expired", "digest": None,
        "removed_at": datetime.now(UTC), "signature": b"\0" * 32,
        "seal": copy_of(connection, last)["seal"] if writer else None,
    }  # fmt: skip
    connection.execute(insert(tombstones).values(forged))


def test_a_forged_record_is_not_signed_with_its_neighbours(
    url: str, key: SealKey, heads: Path
) -> None:
    with transaction(open_engine(url)) as connection:
        record_of_nothing(connection, 1, 5, 9)
        connection.execute(delete(predictions).where(predictions.c.number.between(5, 9)))

    with pytest.raises(SealError, match="was altered, so nothing more is removed"):
        expire_all(url, key)

    assert any("the record of" in finding for finding in verify_log(url, key, [heads]).findings)


def test_a_forged_number_of_unsealed_rows_is_not_signed_with_more(
    url: str, key: SealKey, heads: Path
) -> None:
    unsealed = dict.fromkeys(SEAL_COLUMNS)
    with transaction(open_engine(url)) as connection:
        there = copy_of(connection, 5)
        old = {"id": new_id(LONG_AGO)}
        for changed in (old, {"id": new_id()}, {"id": new_id()}):
            changed["received_at"] = timestamp_of(changed["id"])  # type: ignore[assignment]
            connection.execute(insert(predictions).values({**there, **unsealed, **changed}))
        record_of_nothing(connection, 0, 1, -3)

    with pytest.raises(SealError, match="was altered, so nothing more is removed"):
        expire_all(url, key)

    findings = verify_log(url, key, [heads]).findings
    assert "2 rows without a seal are newer than the chain" in findings


def test_an_entry_that_was_given_to_a_patient_stays_a_finding_when_that_one_is_erased(
    url: str, key: SealKey, heads: Path
) -> None:
    of_patient = {"patient": key.hash_patient_reference(PATIENT)}
    with transaction(open_engine(url)) as connection:
        for number, changed in ((7, of_patient), (10, {**of_patient, "salt": None})):
            which = predictions.c.number == number
            connection.execute(update(predictions).where(which).values(changed))

    assert erase_patient(open_engine(url), key, PATIENT) == 4

    findings = verify_log(url, key, [heads]).findings
    assert len(findings) == 2
    assert "the erased entry 7 of writer 1 (entry 7 of writer 1): altered" in findings[0]
    assert findings[1].startswith("entry 10 of writer 1: missing")


def test_the_unsealed_rows_of_a_sealed_log_that_are_newer_than_its_chain_are_found(
    url: str, key: SealKey, heads: Path
) -> None:
    """Their number alone would not tell: one of before is taken away for it."""
    with transaction(open_engine(url)) as connection:
        outcome = {
            "prediction_id": copy_of(connection, 12)["id"], "id": new_id(), "outcome": 1,
            "received_at": copy_of(connection, 12)["received_at"],
        }  # fmt: skip
        connection.execute(insert(outcomes).values(outcome))
    assert (
        "1 rows without a seal are newer than the chain" in verify_log(url, key, [heads]).findings
    )
