"""Whoever changes the log without its key is found."""

from __future__ import annotations

import asyncio
import os
import random
import re
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import Connection, delete, func, select, update

from db.audit.chain_heads import read_heads
from db.audit.seal_key import SealError, SealKey, create_seal_key, load_key
from db.audit.verify_chain import verify_chains
from db.engine import open_engine, session
from db.erase import erase_patient
from db.ids import new_id
from db.migrate import migrate
from db.retention.delete_expired import delete_expired
from db.rollups.rollup_worker import transaction_runner
from db.schema import DEPENDENT_TABLES, outcomes, predictions, tombstones, writers
from db.verify import format_result, verify_log
from db.writer.writer import LogWriter
from tests.db.mutations import mutate
from tests.db.rows import row, running_log, store_as_before
from tests.programs import invoke

pytestmark = pytest.mark.slow

MUTATIONS = 1_000 if os.environ.get("SOAK") else 100
PATIENT = "ward 3, bed 7"
A_TIME = r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d"
LONG_AGO = datetime.now(UTC) - timedelta(days=40)


@pytest.fixture
def heads(tmp_path: Path) -> Path:
    return tmp_path / "log.db.key.heads"


def rows_of(number: int, chance: random.Random, **changes: object) -> list[tuple[object, ...]]:
    """Return rows with whatever a row may hold."""
    return [
        row(
            age=float(chance.randint(30, 80)),
            chol=chance.choice([None, 233.0, chance.uniform(100, 400)]),
            oldpeak=chance.choice([0.0, -0.0, 0.1 + 0.2, None]),
            thal=chance.choice([3, 6.0, 7, None]),
            fbs=chance.choice([True, 0, None]),
            probability=chance.random(),
            key_id=chance.choice([None, "0a1b2c3d"]),
            **changes,
        )
        for _ in range(number)
    ]


async def write_some(
    url: str, key: SealKey | None, heads: Path, number: int, **changes: object
) -> list[str]:
    """Write predictions, responses and outcomes as one writer."""
    chance = random.Random(number)  # noqa: S311 - the same log every time
    rows = rows_of(number, chance, **changes)
    async with running_log(url, key=key, heads_path=heads) as log:
        await asyncio.gather(*[log.append(rows[i : i + 3]) for i in range(0, number, 3)])
        for each in rows[:: max(1, number // 5)]:
            said = chance.choice([("agree", None, "none"), ("override", "other", None)])
            actor = chance.choice([None, b"x" * 32])
            await log.record_response(str(each[0]), *said, key_id="0a1b2c3d", actor=actor)
            observed = chance.choice([None, datetime(2026, 1, 31, 8, tzinfo=UTC)])
            await log.record_outcome(str(each[0]), chance.randint(0, 1), observed, "0a1b2c3d")
    return [str(each[0]) for each in rows]


def lived_in(url: str, key: SealKey, heads: Path) -> None:
    """Fill an empty database: unsealed rows, three writers, rows expired and erased."""
    migrate(url, lambda _: None, to="0003")
    long_ago = int(LONG_AGO.timestamp() * 1000)
    store_as_before(url, [row(), row(), row(id=new_id(long_ago))])
    migrate(url, lambda _: None)
    asyncio.run(_past(url, key, heads))
    assert erase_patient(open_engine(url), key, PATIENT) == 2
    read = open_engine(url, read_only=True)
    assert (
        delete_expired(read, transaction_runner(open_engine(url)), datetime.now(UTC), 30, key) == 8
    )
    read.dispose()
    asyncio.run(write_some(url, key, heads, 21))


async def _past(url: str, key: SealKey, heads: Path) -> None:
    long_ago = int(LONG_AGO.timestamp() * 1000)
    async with running_log(url, key=key, heads_path=heads) as log:
        for age in (61, 62, 63):
            await log.append([row(id=new_id(long_ago + age), age=age), row(age=age)])
        await log.append([row(id=new_id(long_ago + i), age=50 + i) for i in range(4)])
    async with running_log(url, key=key, heads_path=heads) as log:
        patient = key.hash_patient_reference(PATIENT)
        about = [row(patient=patient), row(), row(patient=patient, thal=None)]
        await log.append(about)
        await log.record_response(str(about[0][0]), "override")
        await log.record_outcome(str(about[0][0]), 1, None)
        await log.record_outcome(str(about[1][0]), 0, LONG_AGO)
    await write_some(url, key, heads, 9)


@contextmanager
def undone(url: str) -> Iterator[Connection]:
    """Lend a connection whose changes are rolled back."""
    with session(open_engine(url)) as connection:
        connection.exec_driver_sql("BEGIN")
        yield connection
        connection.exec_driver_sql("ROLLBACK")


def test_a_log_that_nobody_touched_holds_after_all_that_happened_to_it(
    empty_database_url: str, key: SealKey, heads: Path
) -> None:
    lived_in(empty_database_url, key, heads)
    verdict = verify_log(empty_database_url, key, [heads])
    assert verdict.findings == []
    assert verdict.writers == 4
    assert verdict.counts["unsealed"] == 2
    assert verdict.counts["erased"] == 4
    assert verdict.counts["expired"] == 7


def test_each_single_change_is_found(empty_database_url: str, key: SealKey, heads: Path) -> None:
    """Edits, deletions, insertions and swaps: 1,000 under SOAK=1, else the first hundred."""
    lived_in(empty_database_url, key, heads)
    known = read_heads(heads, key)
    missed = []
    for seed in range(MUTATIONS):
        with undone(empty_database_url) as connection:
            made = mutate(connection, random.Random(seed))  # noqa: S311 - to be made again
            if not verify_chains(connection, key, known).findings:
                missed.append((seed, made))
    assert missed == []
    assert verify_log(empty_database_url, key, [heads]).findings == []


def test_the_row_that_was_edited_is_named_and_no_other(
    database_url: str, key: SealKey, heads: Path
) -> None:
    ids = asyncio.run(write_some(database_url, key, heads, 20))
    with undone(database_url) as connection:
        edit = update(predictions).where(predictions.c.id == ids[7]).values(age=64.5)
        connection.execute(edit)
        (finding,) = verify_chains(connection, key, None).findings
    assert finding.startswith(f"prediction {ids[7]} ")
    assert "altered" in finding


def test_a_row_that_was_deleted_is_named_by_its_neighbours(
    database_url: str, key: SealKey, heads: Path
) -> None:
    ids = asyncio.run(write_some(database_url, key, heads, 20))
    with undone(database_url) as connection:
        connection.execute(delete(predictions).where(predictions.c.id == ids[7]))
        (finding,) = verify_chains(connection, key, None).findings
    assert finding == (
        f"entry 8 of writer 1: missing, between prediction {ids[6]} and prediction {ids[8]}"
    )


def test_a_removed_end_is_found_with_the_heads_and_said_to_be_unknown_without(
    database_url: str, key: SealKey, heads: Path
) -> None:
    asyncio.run(write_some(database_url, key, heads, 20))
    with session(open_engine(database_url)) as connection:
        entries = connection.scalar(select(func.max(outcomes.c.number)))
        connection.execute(delete(outcomes).where(outcomes.c.number == entries))
    assert entries == 30
    without = verify_log(database_url, key)
    assert without.findings == []
    assert "that requires --heads FILE" in format_result(without, with_heads=False)[-1]
    (finding,) = verify_log(database_url, key, [heads]).findings
    assert finding.startswith("entry 30 of writer 1: missing, tail truncated after ")
    assert re.search(rf" \(1 written from {A_TIME} to {A_TIME} UTC\)$", finding)


def test_a_writer_that_was_removed_whole_is_found_with_the_heads(
    database_url: str, key: SealKey, heads: Path
) -> None:
    asyncio.run(write_some(database_url, key, heads, 6))
    began = f"{datetime.now(UTC):%Y-%m-%d %H:%M:%S}"
    asyncio.run(write_some(database_url, key, heads, 6))
    with session(open_engine(database_url)) as connection:
        entries = 0
        for table in (*DEPENDENT_TABLES, predictions):
            of_two = select(func.count()).select_from(table).where(table.c.writer == 2)
            entries += connection.scalar(of_two) or 0
            connection.execute(delete(table).where(table.c.writer == 2))
        connection.execute(delete(writers).where(writers.c.id == 2))
    assert verify_log(database_url, key).findings == []
    (finding,) = verify_log(database_url, key, [heads]).findings
    lost = re.fullmatch(
        rf"writer 2: missing, with its entire chain \((\d+) written from ({A_TIME}) to ({A_TIME}) "
        r"UTC\)", finding,
    )  # fmt: skip
    assert lost, finding
    assert int(lost[1]) == entries
    assert began <= lost[2] <= lost[3] <= f"{datetime.now(UTC):%Y-%m-%d %H:%M:%S}"


def test_every_process_has_a_chain_of_its_own(postgres_url: str, key: SealKey, heads: Path) -> None:
    async def run_three() -> None:
        async with (
            running_log(postgres_url, key=key, heads_path=heads) as one,
            running_log(postgres_url, key=key, heads_path=heads) as two,
            running_log(postgres_url, key=key, heads_path=heads) as three,
        ):
            await asyncio.gather(*[log.append([row()]) for log in (one, two, three) * 30])

    asyncio.run(run_three())
    verdict = verify_log(postgres_url, key, [heads])
    assert (verdict.writers, verdict.counts["predictions"]) == (3, 90)
    assert verdict.findings == []


def test_a_refused_row_leaves_no_hole_in_the_chain(
    database_url: str, key: SealKey, heads: Path
) -> None:
    async def run_some() -> None:
        async with running_log(database_url, key=key, heads_path=heads) as log:
            calls = [log.append([row(), row(age=17.0 if i % 3 else 63.0)]) for i in range(12)]
            calls += [log.append([row(age="a word")])]
            await asyncio.gather(*calls, return_exceptions=True)

    asyncio.run(run_some())
    verdict = verify_log(database_url, key, [heads])
    assert (verdict.counts["predictions"], verdict.findings) == (8, [])


def test_after_a_lost_connection_a_new_chain_begins(
    postgres_url: str, key: SealKey, heads: Path
) -> None:
    async def lose_it() -> None:
        async with running_log(postgres_url, key=key, heads_path=heads) as log:
            await log.append([row()])
            with session(open_engine(postgres_url)) as connection:
                connection.exec_driver_sql(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                    " WHERE datname = current_database() AND pid <> pg_backend_pid()"
                )
            await log.append([row(), row()])

    asyncio.run(lose_it())
    verdict = verify_log(postgres_url, key, [heads])
    assert (verdict.writers, verdict.counts["predictions"], verdict.findings) == (2, 3, [])


def test_a_sealed_log_takes_no_rows_without_its_key(
    database_url: str, key: SealKey, heads: Path, tmp_path: Path
) -> None:
    asyncio.run(write_some(database_url, key, heads, 3))
    with pytest.raises(SealError, match="set CARDIOWATCH_LOG_HMAC_KEY_FILE"):
        asyncio.run(LogWriter(database_url).start())
    create_seal_key(tmp_path / "other.key")
    other = load_key("", tmp_path / "other.key")
    with pytest.raises(SealError, match="was not sealed with"):
        asyncio.run(LogWriter(database_url, key=other).start())


def test_the_program_says_what_it_found(sqlite_url: str, key: SealKey, heads: Path) -> None:
    settings = {"database_url": sqlite_url, "log_hmac_key_file": key.path}
    ids = asyncio.run(write_some(sqlite_url, key, heads, 6))
    good = invoke("verify", "--heads", str(heads), **settings)
    assert (good.returncode, good.stderr) == (0, "")
    assert good.stdout == (
        "6 predictions, 6 outcomes and 6 responses of 1 writers: integrity check passed.\n"
    )
    with session(open_engine(sqlite_url)) as connection:
        connection.execute(update(predictions).where(predictions.c.id == ids[2]).values(sex=0))
    bad = invoke("verify", **settings)
    assert bad.returncode == 1
    assert f"prediction {ids[2]} (entry 3 of writer 1): altered" in bad.stdout
    assert "INTEGRITY CHECK FAILED: 1 findings" in bad.stdout


def test_a_log_without_a_key_is_said_to_be_unverifiable(
    sqlite_url: str, key: SealKey, heads: Path
) -> None:
    assert key.path is not None
    elsewhere = key.path.rename(key.path.with_name("elsewhere.key"))
    asyncio.run(write_some(sqlite_url, None, heads, 3))
    without = invoke("verify", database_url=sqlite_url)
    assert (without.returncode, without.stdout) == (4, "")
    assert "Without a key nothing is sealed" in without.stderr
    unsealed = invoke("verify", database_url=sqlite_url, log_hmac_key_file=elsewhere)
    assert (unsealed.returncode, unsealed.stdout) == (4, "")
    assert "This log is not sealed" in unsealed.stderr


def test_heads_that_were_altered_are_refused(sqlite_url: str, key: SealKey, heads: Path) -> None:
    asyncio.run(write_some(sqlite_url, key, heads, 3))
    heads.write_text(heads.read_text().replace('"entries": 9', '"entries": 8'))
    with pytest.raises(SealError, match="were altered"):
        verify_log(sqlite_url, key, [heads])


def test_the_removals_of_a_stretch_are_one_record(
    empty_database_url: str, key: SealKey, heads: Path
) -> None:
    lived_in(empty_database_url, key, heads)
    with session(open_engine(empty_database_url)) as connection:
        found = connection.execute(
            select(tombstones.c.writer, tombstones.c.first, tombstones.c.last).where(
                tombstones.c.reason == "expired"
            )
        ).all()
    places = [tuple(each) for each in found]
    assert (1, 7, 7) in places  # entry 6 is still there: this one leaves its digest
    assert (1, 8, 10) in places
