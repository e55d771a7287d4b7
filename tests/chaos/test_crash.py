"""Kill the API under load: every acknowledged row is stored; a stop answers what it accepted."""

from __future__ import annotations

import asyncio
import math
import os
import random
from collections import Counter
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import pytest
import uvloop

from db.audit.seal_key import create_seal_key, load_key
from db.reader.queries import Reader
from db.verify import verify_log
from perf.load.open_loop_client import OpenLoopClient
from perf.load.scratch import scratch_folder, start_service
from perf.load.server_process import Server
from tests.chaos.clients import numbered_request, patient_number, patients_with_status

pytestmark = pytest.mark.slow

KILLS = {"KILL": 200, "TERM": 50} if os.environ.get("SOAK") else {"KILL": 2, "TERM": 2}
SECONDS = (0.3, 1.0)
"""From the first answer to the kill; random, so that it hits every phase of a commit."""
MOST = 50_000  # requests: more than any service answers in that time


async def _kill_under_load(server: Server, traffic: OpenLoopClient, signal: str) -> None:
    load = asyncio.create_task(traffic.run(asyncio.Event()))
    while not traffic.answers:
        await asyncio.sleep(0.01)
    await asyncio.sleep(random.uniform(*SECONDS))  # noqa: S311
    server.terminate() if signal == "TERM" else server.kill()
    await asyncio.wait_for(load, 60)


def kill_once(server: Server, database: str, signal: str) -> Counter[str]:
    """Kill a service under load and compare what it acknowledged with what is stored."""
    since = datetime.now(UTC)
    traffic = OpenLoopClient(server.port, math.inf, numbered_request, MOST, connections=64)
    uvloop.run(_kill_under_load(server, traffic, signal))
    bad_exit = signal == "TERM" and server.exit_code() != 0
    with closing(Reader(database)) as reader:
        rows = reader.stream(since=since, source="load-test")
        stored = {patient_number(row) for row in rows}
    acknowledged = patients_with_status(traffic.answers, "stored")
    lost = patients_with_status(traffic.answers, "connection lost")
    return Counter(
        acknowledged=len(acknowledged),
        missing=len(acknowledged - stored),
        unacknowledged=len(stored - acknowledged),  # it ended between commit and answer
        rejected=len(traffic.answers) - len(acknowledged) - len(lost),
        interrupted=len(lost - stored),
        bad_exits=int(bad_exit),
    )


def crash(database: str, signal: str, **service: object) -> Counter[str]:
    """Start the service, with the options of `start_service`, load it and kill it, repeatedly."""
    total: Counter[str] = Counter()
    for _ in range(KILLS[signal]):
        with start_service(database, **service) as server:
            total += kill_once(server, database, signal)
    print(f"SIG{signal}, {KILLS[signal]} times: {dict(total)}")
    return total


@pytest.fixture
def _model(model_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CARDIOWATCH_MODEL_DIR", str(model_dir))


@pytest.mark.usefixtures("_model")
@pytest.mark.parametrize("signal", ["KILL", "TERM"])
@pytest.mark.parametrize("database", ["sqlite", "postgresql"])
def test_nothing_acknowledged_is_missing(
    database: str, signal: str, request: pytest.FixtureRequest
) -> None:
    with scratch_folder() as folder:
        url, workers = f"sqlite:///{folder}/log.db", 1
        if database == "postgresql":
            url, workers = request.getfixturevalue("postgres_url"), 3
        else:
            create_seal_key(folder / "log.db.key")

        total = crash(url, signal, api_workers=workers)

        assert total["acknowledged"]
        assert total["missing"] == 0
        if signal == "TERM":  # a stop, as in a rollout, may interrupt nothing that was accepted
            assert (total["unacknowledged"], total["rejected"], total["bad_exits"]) == (0, 0, 0)
        if key := load_key(url, None):
            assert verify_log(url, key).findings == []


@pytest.mark.usefixtures("_model")
def test_a_service_that_acknowledges_without_storing_is_found_out(sqlite_url: str) -> None:
    with start_service(sqlite_url, module="perf.baselines.no_log") as server:
        counts = kill_once(server, sqlite_url, "KILL")

    assert counts["acknowledged"] > 0
    assert counts["missing"] == counts["acknowledged"]
