"""What is not known, or left behind, is said, and never passed over."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from pathlib import Path

import pytest

from db.audit.chain_heads import heads_path
from db.audit.seal_key import SealError, SealKey, load_key
from db.engine import DatabaseUnavailable, open_engine, session, transaction
from db.erase import command, erase_patient, purge_deleted_pages
from db.retention.delete_expired import delete_expired
from db.rollups.rollup_worker import maintenance_lock, transaction_runner
from db.verify import format_result, verify_log
from db.writer.file_lock import lock_file
from db.writer.writes import check_writable
from tests.db.rows import row, running_log
from tests.programs import invoke

pytestmark = pytest.mark.slow


def write(url: str, key: SealKey, times: int = 1) -> Path:
    """Write as so many writers, one after the other; return the heads."""
    heads = heads_path(key, None)
    assert heads is not None

    async def write_once() -> None:
        async with running_log(url, key=key, heads_path=heads) as log:
            await log.append([row(patient=key.hash_patient_reference("bed 7")), row()])

    for _ in range(times):
        asyncio.run(write_once())
    return heads


@contextmanager
def reading(url: str) -> Iterator[None]:
    """Read the log for as long as that lasts."""
    with session(open_engine(url, read_only=True)) as reader:
        reader.exec_driver_sql("BEGIN")
        reader.exec_driver_sql("SELECT * FROM predictions").all()
        yield


def test_heads_that_name_nobody_are_refused(sqlite_url: str, key: SealKey) -> None:
    write(sqlite_url, key).write_text("")
    assert key.path is not None
    with pytest.raises(SealError, match="name no writer"):
        verify_log(sqlite_url, key, [heads_path(key, None) or key.path])


def test_a_writer_that_the_heads_leave_out_is_named(sqlite_url: str, key: SealKey) -> None:
    heads = write(sqlite_url, key, times=2)
    heads.write_text(heads.read_text().splitlines()[0] + "\n")
    verdict = verify_log(sqlite_url, key, [heads])
    assert (verdict.findings, verdict.writers_without_head) == ([], [2])
    assert "tail of writer 2 was truncated" in format_result(verdict, with_heads=True)[-1]


def test_what_a_reader_keeps_of_an_erased_patient_is_said(
    sqlite_url: str, key: SealKey, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("db.erase._CLEAR_TRIES", 2)
    write(sqlite_url, key)
    engine = open_engine(sqlite_url)
    with reading(sqlite_url):
        assert erase_patient(engine, key, "bed 7") == 1
        with pytest.raises(DatabaseUnavailable):
            purge_deleted_pages(engine)
    purge_deleted_pages(engine)


def test_an_erasure_that_waits_for_readers_keeps_no_writer_out(
    sqlite_url: str, key: SealKey, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("db.erase._CLEAR_TRIES", 2)
    monkeypatch.setenv("CARDIOWATCH_DATABASE_URL", sqlite_url)
    write(sqlite_url, key)
    with ThreadPoolExecutor() as pool, reading(sqlite_url):
        ended = pool.submit(command.callback, "bed 7")
        while not ended.done():
            with transaction(open_engine(sqlite_url, timeout_s=2)) as connection:
                check_writable(connection)
        with pytest.raises(DatabaseUnavailable, match="Deleted data may remain in the database"):
            ended.result()


def test_a_file_that_somebody_writes_to_is_not_mended(sqlite_url: str, tmp_path: Path) -> None:
    with session(open_engine(sqlite_url)) as connection:
        connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)")
    lock = lock_file(open_engine(sqlite_url))
    assert lock is not None
    with (tmp_path / "log.db").open("r+b") as file:
        file.seek(2 * 4096)
        file.write(b"\xff" * 4096)
    with closing(lock):
        ended = invoke("repair", database_url=sqlite_url)
    assert ended.returncode == 4
    assert "Another process is writing to" in ended.stderr
    assert not list(tmp_path.glob("log.db.damaged-*"))


def test_a_key_that_is_a_link_to_nothing_is_an_error(sqlite_url: str, tmp_path: Path) -> None:
    (tmp_path / "log.db.key").symlink_to(tmp_path / "not mounted")
    with pytest.raises(SealError, match="cannot be read"):
        load_key(sqlite_url, None)


def test_retention_passes_over_a_partition_that_is_no_day(postgres_url: str, key: SealKey) -> None:
    write(postgres_url, key)
    with session(open_engine(postgres_url)) as connection:
        connection.exec_driver_sql("CREATE TABLE rest PARTITION OF predictions DEFAULT")
    read = open_engine(postgres_url, read_only=True)
    now = datetime(2126, 1, 1, tzinfo=UTC)
    assert delete_expired(read, transaction_runner(open_engine(postgres_url)), now, 30, key) == 2
    read.dispose()


def test_a_pass_beside_another_says_that_nothing_was_deleted(postgres_url: str) -> None:
    other = open_engine(postgres_url, read_only=True)
    with maintenance_lock(other) as allowed:
        assert allowed
        ended = invoke("retention", database_url=postgres_url, retention_days=30)
    other.dispose()
    assert (ended.returncode, ended.stdout) == (4, "")
    assert ended.stderr.startswith("cardiowatch: Nothing deleted: another process")
    assert ended.stderr.count("\n") == 1


@pytest.mark.parametrize("command", ["verify", "erase"])
def test_an_address_that_is_none_is_one_sentence(command: str) -> None:
    arguments = ["--patient", "x"] if command == "erase" else []
    ended = invoke(command, *arguments, database_url="foo")
    assert ended.returncode == 4
    assert len(ended.stderr.splitlines()) == 1
