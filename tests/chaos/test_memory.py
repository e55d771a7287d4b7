"""Memory of the API over a million requests: it does not grow; Linux only, with SOAK=1."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median

import pytest
import uvloop

from perf.load.http_client import encode_requests
from perf.load.open_loop_client import send_all
from perf.load.request_bodies import write_bodies
from perf.load.scratch import scratch_folder, start_service
from perf.load.server_process import Server
from tests.programs import run

MAX_MB = 120.0
"""Of a worker."""
MAX_GROWTH_MB = 2.0
"""In the second half of the requests; the first fills caches and counts a bucket."""
REQUESTS = 1_000_000
STEPS = (0.01, 0.02, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0)
STARTS = 10


def memory_mb(server: Server) -> tuple[float, float]:
    """Return RSS of the largest process, and PSS of all, which divides shared pages, MB."""
    held = []
    for process in server.processes():
        lines = Path(f"/proc/{process}/smaps_rollup").read_text().splitlines()[1:]
        kb = {line.split(":")[0]: int(line.split()[1]) for line in lines}
        held.append((kb["Rss"] * 1024 / 1e6, kb["Pss"] * 1024 / 1e6))
    return max(held)[0], sum(pss for _, pss in held)


@contextmanager
def service(database: str, request: pytest.FixtureRequest) -> Iterator[tuple[Server, list[bytes]]]:
    """Start one worker on SQLite or three on PostgreSQL; yield it and requests."""
    with scratch_folder() as folder:
        url, workers = f"sqlite:///{folder}/log.db", 1
        if database == "postgresql":
            url, workers = request.getfixturevalue("postgres_url"), 3
        with start_service(url, api_workers=workers) as server:
            yield server, encode_requests(write_bodies(folder / "bodies.jsonl"))


@pytest.mark.skipif("SOAK" not in os.environ, reason="takes a million requests")
@pytest.mark.parametrize("database", ["sqlite", "postgresql"])
def test_memory_is_bounded_and_does_not_grow(
    database: str, model_dir: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> None:
    monkeypatch.setenv("CARDIOWATCH_MODEL_DIR", str(model_dir))
    largest, done = {}, 0
    with service(database, request) as (server, requests):
        for until in [round(share * REQUESTS) for share in STEPS]:
            uvloop.run(send_all(server.port, requests, until - done, 64))
            done = until
            largest[done], pss = memory_mb(server)
            print(f"{done:,} requests: {largest[done]:.1f} MB RSS, {pss:.1f} MB PSS of all")

    assert max(largest.values()) < MAX_MB
    assert largest[REQUESTS] - largest[REQUESTS // 2] < MAX_GROWTH_MB


@pytest.mark.skipif("SOAK" not in os.environ, reason="prints a time")
def test_the_time_to_ready(
    model_dir: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> None:
    monkeypatch.setenv("CARDIOWATCH_MODEL_DIR", str(model_dir))
    ready = []
    for _ in range(STARTS):
        with service("sqlite", request) as (server, _):
            ready.append(server.start_s)

    print(f"ready after {median(ready):.2f} s, median of {STARTS}")
    assert ready


@pytest.mark.slow
def test_on_sqlite_the_driver_of_postgresql_is_not_in_memory(tmp_path: Path) -> None:
    look = (
        "import sys, api.app; from db.writer.writer import LogWriter; LogWriter(sys.argv[1]); "
        "print('psycopg' in sys.modules)"
    )

    on_sqlite = run("-c", look, f"sqlite:///{tmp_path}/log.db")
    on_postgresql = run("-c", look, "postgresql+psycopg://nobody@127.0.0.1/none")

    assert (on_sqlite.stdout, on_postgresql.stdout) == ("False\n", "True\n")
