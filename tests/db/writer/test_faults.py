"""What breaks, and what the callers are told: a refusal in time, nothing stored behind it."""

from __future__ import annotations

import asyncio
import contextlib
import os
import resource
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import func, select

from db.audit.chain_heads import heads_path, read_heads
from db.audit.seal_key import SealKey
from db.engine import open_engine, session
from db.migrate import migrate
from db.reader.queries import Reader
from db.schema import predictions, writers
from db.verify import verify_log
from db.writer.writer import LogUnavailable
from tests.db.faults import callers, loop_stays_free
from tests.db.rows import row, running_log
from tests.postgres import Cluster

pytestmark = pytest.mark.slow

TIMEOUT_S = 0.5
FAULT_S = 6 * TIMEOUT_S
IN_TIME_S = (
    3 * TIMEOUT_S
)  # long before the fault ends; `cardiowatch measure faults` measures how long it takes
RECOVERED_S = 5.0


def file_of(url: str) -> Path:
    return Path(url.removeprefix("sqlite:///"))


def test_a_locked_file_is_a_refusal_in_time_and_then_over(sqlite_url: str) -> None:
    async def run() -> None:
        async with running_log(sqlite_url, timeout_s=TIMEOUT_S) as log:
            other = sqlite3.connect(file_of(sqlite_url), isolation_level=None)
            async with callers(log) as told:
                await told.seconds_until_stored()
                other.execute("BEGIN IMMEDIATE")
                async with loop_stays_free():
                    await asyncio.sleep(FAULT_S)
                with pytest.raises(LogUnavailable):
                    await log.ping()
                Reader(sqlite_url).ping()  # readers do not mind
                other.execute("ROLLBACK")
                assert await told.seconds_until_stored() < RECOVERED_S
            other.close()
        assert told.not_stored
        assert told.longest_s < IN_TIME_S
        told.agrees_with(sqlite_url)

    asyncio.run(run())


def test_a_deleted_file_is_a_refusal_and_a_new_one_is_written(sqlite_url: str) -> None:
    async def run() -> None:
        async with running_log(sqlite_url) as log:
            await log.append([row()])
            for file in file_of(sqlite_url).parent.glob("log.db*"):
                file.unlink()
            with pytest.raises(LogUnavailable, match=r"run cardiowatch migrate"):
                await log.append([row()])
            migrate(sqlite_url, lambda _: None)
            await log.append([row()])

    asyncio.run(run())
    assert len(Reader(sqlite_url).page()[0]) == 1


@pytest.fixture
def small_disk() -> Iterator[Path]:
    """A file system of 4 MB."""
    folder = Path(tempfile.mkdtemp(prefix="disk"))
    mount = ["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", str(folder)]
    if os.getuid() != 0 or subprocess.run(mount, capture_output=True, check=False).returncode:
        folder.rmdir()
        pytest.skip("only root can mount a small file system to fill")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)
    folder.rmdir()


def test_a_full_disk_is_a_refusal_until_there_is_room(small_disk: Path) -> None:
    url = f"sqlite:///{small_disk}/log.db"
    migrate(url, lambda _: None)
    ballast = small_disk / "ballast"

    async def fill() -> None:
        """Take all the room there is, again and again: SQLite gives some back when it fails."""
        with ballast.open("ab", 0) as file:
            while True:
                with contextlib.suppress(OSError):
                    while file.write(bytes(4096)):
                        pass
                await asyncio.sleep(0.01)

    async def run() -> None:
        async with running_log(url, timeout_s=TIMEOUT_S) as log, callers(log) as told:
            await told.seconds_until_stored()
            filling = asyncio.create_task(fill())
            async with loop_stays_free():
                while len(told.not_stored) < 500:
                    await asyncio.sleep(0.05)
            filling.cancel()
            ballast.unlink()
            assert await told.seconds_until_stored() < RECOVERED_S
        assert told.longest_s < IN_TIME_S
        told.agrees_with(url)

    asyncio.run(run())


def test_a_failing_write_is_a_refusal_until_it_works_again(sqlite_url: str) -> None:
    """Files may not grow, which needs no root: the system answers with an error, not "full"."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)

    async def run() -> None:
        async with running_log(sqlite_url, timeout_s=TIMEOUT_S) as log, callers(log) as told:
            await told.seconds_until_stored()
            wal = file_of(sqlite_url).with_name("log.db-wal")
            resource.setrlimit(resource.RLIMIT_FSIZE, (wal.stat().st_size, hard))
            try:
                while not told.not_stored | told.unknown:
                    await asyncio.sleep(0.05)
            finally:
                resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
            assert await told.seconds_until_stored() < RECOVERED_S
        told.agrees_with(sqlite_url)

    asyncio.run(run())


def test_a_full_queue_is_a_refusal_at_once(sqlite_url: str) -> None:
    async def run() -> None:
        async with running_log(sqlite_url, timeout_s=TIMEOUT_S, queue_max=10) as log:
            other = sqlite3.connect(file_of(sqlite_url), isolation_level=None)
            other.execute("BEGIN IMMEDIATE")
            waiting = [asyncio.create_task(log.append([row(), row()])) for _ in range(5)]
            await asyncio.sleep(0.01)
            with pytest.raises(LogUnavailable, match="10 rows are already queued") as refused:
                await log.append([row()])
            assert not any(task.done() for task in waiting)  # refused before their time is over
            assert refused.value.queue_full
            assert not refused.value.commit_unknown
            other.execute("ROLLBACK")
            await asyncio.gather(*waiting)
            other.close()

    asyncio.run(run())


def test_a_call_larger_than_the_queue_passes_when_nothing_waits(sqlite_url: str) -> None:
    async def run() -> None:
        async with running_log(sqlite_url, queue_max=10) as log:
            await log.append([row() for _ in range(11)])

    asyncio.run(run())


def test_a_stopped_server_is_a_refusal_in_time_and_then_over(mortal_server: Cluster) -> None:
    url = mortal_server.url(mortal_server.new_database())
    migrate(url, lambda _: None)

    async def run() -> None:
        async with running_log(url, timeout_s=TIMEOUT_S) as log, callers(log) as told:
            await told.seconds_until_stored()
            await asyncio.to_thread(mortal_server.stop)
            async with loop_stays_free():
                await asyncio.sleep(FAULT_S)
            with pytest.raises(LogUnavailable):
                await log.ping()
            await asyncio.to_thread(mortal_server.start)
            assert await told.seconds_until_stored() < RECOVERED_S
        assert told.not_stored
        assert told.longest_s < IN_TIME_S
        told.agrees_with(url)

    asyncio.run(run())


def test_a_frozen_server_is_a_refusal_in_time_and_then_over(mortal_server: Cluster) -> None:
    url = mortal_server.url(mortal_server.new_database())
    migrate(url, lambda _: None)

    async def run() -> None:
        async with running_log(url, timeout_s=TIMEOUT_S) as log, callers(log) as told:
            await told.seconds_until_stored()
            mortal_server.pause()
            try:
                async with loop_stays_free():
                    await asyncio.sleep(FAULT_S)
            finally:
                mortal_server.resume()
            assert await told.seconds_until_stored() < RECOVERED_S
        assert told.not_stored
        assert told.longest_s < IN_TIME_S
        told.agrees_with(url)

    asyncio.run(run())


def test_a_log_whose_server_is_frozen_still_stops(mortal_server: Cluster) -> None:
    url = mortal_server.url(mortal_server.new_database())
    migrate(url, lambda _: None)

    async def run() -> float:
        async with running_log(url, timeout_s=TIMEOUT_S) as log:
            await log.append([row()])
            mortal_server.pause()
            with pytest.raises(LogUnavailable):
                await log.append([row()])
            began = time.monotonic()
        return time.monotonic() - began

    try:
        assert asyncio.run(run()) < 5
    finally:
        mortal_server.resume()


def test_a_connection_cut_while_idle_costs_no_refusal(postgres_url: str) -> None:
    async def run() -> None:
        async with running_log(postgres_url) as log:
            await log.append([row()])
            with session(open_engine(postgres_url)) as connection:
                connection.exec_driver_sql(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                    " WHERE datname = current_database() AND pid <> pg_backend_pid()"
                )
            await log.append([row()])

    asyncio.run(run())


def test_a_batch_that_failed_before_its_commit_begins_no_new_chain(
    database_url: str, key: SealKey
) -> None:
    async def run() -> None:
        async with running_log(database_url, key=key) as log:
            for _ in range(3):
                await log.append([row()])
                with pytest.raises(LogUnavailable):
                    await log.execute(lambda c: c.exec_driver_sql("SELECT * FROM nowhere"))

    asyncio.run(run())
    with session(open_engine(database_url)) as connection:
        assert connection.scalar(select(func.count()).select_from(writers)) == 1
    assert verify_log(database_url, key).findings == []


@pytest.mark.parametrize("attempt", range(2))
def test_a_killed_process_has_lost_nothing_it_acknowledged(
    database_url: str, key: SealKey, tmp_path: Path, attempt: int
) -> None:
    command = [sys.executable, "-m", "tests.db.append_forever", database_url, str(key.path)]
    heads = heads_path(key, None)
    assert heads is not None
    printed = tmp_path / "acknowledged"
    with printed.open("wb") as file, subprocess.Popen(command, stdout=file) as process:
        deadline = time.monotonic() + 30
        while not heads.exists() and time.monotonic() < deadline:
            time.sleep(0.05)
        time.sleep(0.3 + 0.1 * attempt)
        process.send_signal(signal.SIGKILL)
    # A line may have been cut off by the kill; a whole one was acknowledged.
    acknowledged = set(printed.read_text().rpartition("\n")[0].split())

    with session(open_engine(database_url)) as connection:
        ids = predictions.select().with_only_columns(predictions.c.id)
        there = set(connection.scalars(ids))
    assert len(acknowledged) > 100
    assert acknowledged <= there
    assert read_heads(heads, key)[0].entries > 0
    verdict = verify_log(database_url, key, [heads])
    assert (verdict.counts["predictions"], verdict.findings) == (len(there), [])
