"""Whoever may write the database may put anything anywhere: it is found, and breaks no program."""

from __future__ import annotations

import asyncio
import os
import random
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, select

from cardiowatch import main
from db.audit.seal_key import SealKey
from db.audit.verify_chain import Verification, verify_chains
from db.engine import open_engine, session, transaction
from db.schema import PARTITIONED_TABLES, metadata, outcomes, predictions, writers
from tests.db.audit.test_verify import lived_in
from tests.db.rows import row, running_log

pytestmark = pytest.mark.slow

CELLS = 1_000 if os.environ.get("SOAK") else 150
SEALED = ("predictions", "outcomes", "responses", "writers", "removals", "models")
JUNK: list[Any] = [
    "", "x", "0", " 1", "1.5", "\x1b[2J\n", "\ud800", "9" * 400, b"", b"\x00", b"\xff" * 32, -1, 0,
    2**31, 2**63 - 1, -(2**63), 1.5, float("inf"), -1.7976931348623157e308, None,
    "2026-11-27 00:00:00.000000", "0999-01-31 08:00:00.000000",
    "01a20aa9-7eb2-7ad1-84ce-9f1d951d9d31",
]  # fmt: skip


@pytest.fixture
def heads(tmp_path: Path) -> Path:
    return tmp_path / "log.db.key.heads"


def junk_in(file: sqlite3.Connection, chance: random.Random) -> str | None:
    """Put something into a cell and say where; None = its table does not take it."""
    table = metadata.tables[chance.choice(SEALED)]
    column = chance.choice([c.name for c in table.columns if c.name != "first_used"])
    keys = [c.name for c in table.primary_key]
    # What was there before the chain is counted, and its content not checked.
    sealed = "WHERE writer IS NOT NULL" if table in PARTITIONED_TABLES else ""
    query = f"SELECT {', '.join([*keys, column])} FROM {table.name} {sealed}"  # noqa: S608
    *place, before = chance.choice(file.execute(query).fetchall())
    value = chance.choice(JUNK)
    if isinstance(value, str) and "\ud800" in value:
        value = None if chance.random() < 0.5 else b"\xed\xa0\x80"
    where = " AND ".join(f"{key} IS ?" for key in keys)
    try:
        file.execute(f"UPDATE {table.name} SET {column} = ? WHERE {where}", [value, *place])  # noqa: S608
    except (sqlite3.IntegrityError, OverflowError):
        return None
    query = f"SELECT {column} FROM {table.name} WHERE {where}"  # noqa: S608
    now = file.execute(query, place).fetchone()
    if now == (before,):
        return None
    return f"{table.name}.{column}: {before!r} to {value!r}"


def test_anything_in_any_cell_of_a_sqlite_file_is_found(
    empty_sqlite_url: str,
    key: SealKey,
    heads: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The same cells every time; 1,000 under SOAK=1."""
    lived_in(empty_sqlite_url, key, heads)
    monkeypatch.setenv("CARDIOWATCH_DATABASE_URL", empty_sqlite_url)
    log = tmp_path / "log.db"
    with session(open_engine(empty_sqlite_url)) as connection:
        connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)")
    whole = log.read_bytes()
    tried, missed = 0, []
    for seed in range(100 * CELLS):
        chance = random.Random(seed)  # noqa: S311 - to be made again
        with closing(sqlite3.connect(log, isolation_level=None)) as file:
            file.execute("PRAGMA journal_mode = DELETE")
            made = junk_in(file, chance)
        if made is not None:
            tried += 1
            if main(["verify", "--heads", str(heads)]) == 0:
                missed.append((seed, made))
        log.write_bytes(whole)
        if tried == CELLS:
            break
    assert missed == []
    assert tried == CELLS


def found_behind(
    url: str, key: SealKey, heads: Path, put: Callable[[Connection], None]
) -> Verification:
    lived_in(url, key, heads)
    with transaction(open_engine(url)) as connection:
        put(connection)
    with session(open_engine(url)) as connection:
        connection.exec_driver_sql("BEGIN")
        return verify_chains(connection, key, None)


@pytest.mark.parametrize("moment", ["infinity", "-infinity", "4713-01-01 BC", "294276-12-31"])
def test_times_that_python_does_not_know_are_findings(
    empty_postgres_url: str, key: SealKey, heads: Path, moment: str
) -> None:
    def put(connection: Connection) -> None:
        connection.exec_driver_sql(f"UPDATE outcomes SET observed_at = '{moment}'")  # noqa: S608
        connection.exec_driver_sql(f"UPDATE removals SET removed_at = '{moment}'")  # noqa: S608

    findings = found_behind(empty_postgres_url, key, heads, put).findings
    assert sum("outcome" in finding for finding in findings) >= 5
    assert sum("the record of" in finding for finding in findings) >= 3


def test_what_is_written_to_be_shown_stays_within_its_line(
    empty_sqlite_url: str, key: SealKey, heads: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    lived_in(empty_sqlite_url, key, heads)
    monkeypatch.setenv("CARDIOWATCH_DATABASE_URL", empty_sqlite_url)
    with session(open_engine(empty_sqlite_url)) as connection:
        connection.exec_driver_sql(
            "UPDATE models SET version = 'x' || char(27) || '[2J' || char(10) || 'all is well'"
        )
    assert main(["verify"]) == 1
    said = capsys.readouterr().out
    assert "\x1b" not in said
    assert "all is well" not in said.splitlines()


def test_an_altered_row_of_a_patient_can_be_erased(
    sqlite_url: str, key: SealKey, heads: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    async def write() -> None:
        async with running_log(sqlite_url, key=key, heads_path=heads) as log:
            await log.append([row(patient=key.hash_patient_reference("bed 7")), row()])

    asyncio.run(write())
    monkeypatch.setenv("CARDIOWATCH_DATABASE_URL", sqlite_url)
    with session(open_engine(sqlite_url)) as connection:
        connection.exec_driver_sql("PRAGMA ignore_check_constraints = ON")
        connection.exec_driver_sql(
            "UPDATE predictions SET chol = 'x', salt = NULL WHERE number = 1"
        )
    assert main(["erase", "--patient", "bed 7"]) == 0
    assert "1 predictions erased" in capsys.readouterr().out
    with session(open_engine(sqlite_url)) as connection:
        assert connection.execute(select(predictions.c.number)).all() == [(2,)]
        assert connection.execute(select(outcomes.c.number)).all() == []
    assert main(["verify", "--heads", str(heads)]) == 1
    assert "entry 1 of writer 1: missing" in capsys.readouterr().out


def test_a_writer_of_a_great_number_is_a_finding_and_no_great_list(
    empty_sqlite_url: str, key: SealKey, heads: Path
) -> None:
    def put(connection: Connection) -> None:
        there = dict(connection.execute(select(writers).limit(1)).mappings().one())
        connection.execute(writers.insert().values(there | {"id": 2**40}))

    findings = found_behind(empty_sqlite_url, key, heads, put).findings
    assert any(f"writers 5 to {2**40 - 1}: missing" in finding for finding in findings)
