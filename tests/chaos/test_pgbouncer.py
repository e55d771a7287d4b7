"""The service behind a real PgBouncer: no request fails, whatever it gives from one to the next."""

from __future__ import annotations

import asyncio
import math
import os
import shutil
import subprocess
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import httpx
import pytest
import uvloop
from sqlalchemy import func, select

from db.audit.seal_key import SealKey
from db.engine import DatabaseUnavailable, open_engine, session
from db.reader.queries import Reader
from db.schema import writers
from db.verify import verify_log
from perf.load.open_loop_client import OpenLoopClient
from perf.load.scratch import start_service
from tests.chaos.clients import numbered_request, patient_number, patients_with_status
from tests.programs import free_port, invoke

PROGRAM = shutil.which("pgbouncer") or shutil.which("pgbouncer", path="/usr/sbin")
REQUESTS = 10_000 if os.environ.get("SOAK") else 1_000
WORKERS = 3
SERVERS = {"transaction": 8, "session": 63}
"""Connections to PostgreSQL: a few that all share, or one for each that a process may open."""

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        PROGRAM is None and os.environ.get("CI") != "true", reason="needs PgBouncer"
    ),
]

_CONFIG = """
[databases]
* = host={folder} user=test
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {port}
unix_socket_dir =
auth_type = any
pool_mode = {mode}
default_pool_size = {servers}
max_client_conn = 200
"""


@contextmanager
def _pooled(url: str, mode: str, folder: Path) -> Iterator[str]:
    """Run PgBouncer in front of a server and yield the URL of the same database through it."""
    server, port = url.partition("?host=")[2], free_port()
    config = folder / "pgbouncer.ini"
    config.write_text(
        _CONFIG.format(folder=server, port=port, mode=mode, servers=SERVERS[mode]), "utf-8"
    )
    user = ["-u", Path(server).owner()] if os.getuid() == 0 else []  # who may pass its folder
    pool = subprocess.Popen([PROGRAM or "pgbouncer", "-q", *user, str(config)])
    through = url.replace("@/", f"@127.0.0.1:{port}/").partition("?")[0]
    try:
        _wait(through)
        yield through
    finally:
        pool.kill()
        pool.wait()


def _wait(url: str) -> None:
    deadline = time.monotonic() + 20
    while True:
        with closing(Reader(url)) as reader:
            try:
                reader.ping()
                return
            except DatabaseUnavailable:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.05)


@pytest.fixture(params=list(SERVERS))
def pooled(request: pytest.FixtureRequest, postgres_url: str, tmp_path: Path) -> Iterator[str]:
    with _pooled(postgres_url, request.param, tmp_path) as url:
        yield url


async def _while_reading(client: OpenLoopClient, read: Callable[[], Counter[int]]) -> Counter[int]:
    reading = asyncio.create_task(asyncio.to_thread(read))
    await client.run(asyncio.Event())
    return await reading


def test_no_request_fails_and_each_process_writes_one_chain(
    pooled: str, key: SealKey, model_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CARDIOWATCH_MODEL_DIR", str(model_dir))
    options = {"api_workers": WORKERS, "log_hmac_key_file": key.path, "log_timeout_s": 10}
    with start_service(pooled, **options) as server:

        def read() -> Counter[int]:
            found: Counter[int] = Counter()
            with httpx.Client(base_url=f"http://127.0.0.1:{server.port}", trust_env=False) as asks:
                for _ in range(REQUESTS // 20):
                    for path in ("/predictions?limit=20", "/readyz", "/metrics"):
                        found[asks.get(path, timeout=30).status_code] += 1
            return found

        client = OpenLoopClient(server.port, math.inf, numbered_request, REQUESTS, connections=64)
        reads = uvloop.run(_while_reading(client, read))
        server.terminate()
        assert server.exit_code() == 0
    assert Counter(answer.status for answer in client.answers) == {"stored": REQUESTS}
    assert set(reads) == {200}
    with closing(Reader(pooled)) as reader:
        stored = Counter(patient_number(row) for row in reader.stream(source="load-test"))
    assert stored == Counter(patients_with_status(client.answers, "stored"))
    with session(open_engine(pooled)) as connection:
        chains = connection.scalar(select(func.count()).select_from(writers))
    assert 1 <= chains <= WORKERS  # not one for each batch that failed
    assert verify_log(pooled, key).findings == []


def test_the_commands_work_through_a_pool(pooled: str, key: SealKey) -> None:
    settings = {"database_url": pooled, "log_hmac_key_file": key.path, "retention_days": 30}
    patient = ["--patient", "bed 7"]
    for command in (["migrate"], ["retention"], ["export", *patient], ["erase", *patient]):
        done = invoke(*command, **settings)
        assert done.returncode == 0, (command, done.stderr)


def test_what_is_set_for_one_transaction_reaches_no_other(
    postgres_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(SERVERS, "transaction", 1)
    with _pooled(postgres_url, "transaction", tmp_path) as url:
        reading = open_engine(url, read_only=True, timeout_s=0.5)
        writing = open_engine(url, timeout_s=60)
        with session(reading) as connection:
            assert connection.exec_driver_sql("SHOW statement_timeout").scalar() == "450ms"
            assert connection.exec_driver_sql("SHOW transaction_read_only").scalar() == "on"
        with session(writing) as connection:
            assert connection.exec_driver_sql("SHOW statement_timeout").scalar() == "0"
            assert connection.exec_driver_sql("SHOW transaction_read_only").scalar() == "off"
        reading.dispose()
