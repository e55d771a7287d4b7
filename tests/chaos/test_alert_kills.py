"""Kills of the program that sends alerts and of their receiver: none is lost.

20 kills of each with SOAK=1.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest
from sqlalchemy import select

from db.engine import open_engine, session
from db.migrate import migrate
from db.schema import alert_messages
from db.writer.results import MonitoringRun, add_monitoring_run
from pipeline.monitoring.alerts import read_receivers
from tests.alert_receiver import running_receiver
from tests.programs import ROOT

KILLS = 20 if os.environ.get("SOAK") else 3
RUNS = 40
FACTS = {
    "verdict": "Input drift.", "certainty": "", "source": "live", "model_version": "m", "n": 50,
    "since": "2026-11-03T00:00:00+00:00", "until": "2026-11-04T00:00:00+00:00",
}  # fmt: skip
SENDER = """
import sys
from datetime import timedelta
from db.writer import alerts as outbox
from pipeline.monitoring.alerts import deliver, read_receivers
outbox.LEASE = timedelta(seconds=1)
outbox.MAX_PAUSE = timedelta(seconds=0.2)
print("started", flush=True)
raise SystemExit(deliver(sys.argv[1], read_receivers(sys.argv[2]), "http://dashboard"))
"""
"""The delivery of `cardiowatch monitor`, with short pauses."""


def queue(url: str, address: str) -> set[str]:
    """Store monitoring runs, red and green in turn; return the ids of their messages."""
    for day in range(RUNS):
        since = datetime(2026, 10, 1, tzinfo=UTC) + timedelta(days=day)
        status = ("red", "green")[day % 2]
        done = MonitoringRun("live", "m", since, since + timedelta(days=1), status, "-")
        receivers = read_receivers(address)
        add_monitoring_run(url, {}, done, version=1, facts=FACTS, receivers=receivers)
    with session(open_engine(url)) as connection:
        return {str(row.id) for row in connection.execute(select(alert_messages))}


@contextmanager
def sender(url: str, address: str) -> Iterator[subprocess.Popen[str]]:
    """Start the program that sends, and wait for its end."""
    process = subprocess.Popen(
        [sys.executable, "-c", SENDER, url, address], cwd=ROOT, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "started\n"
    yield process
    process.communicate(timeout=60)


@pytest.mark.slow
def test_kills_lose_no_alert_and_repeat_only_what_was_not_noted(tmp_path: Path) -> None:
    url, chance = f"sqlite:///{tmp_path}/log.db", np.random.default_rng(7)
    migrate(url, lambda _: None)
    with running_receiver() as receiver:
        queued, killed = queue(url, receiver.url), 0
        for _ in range(KILLS):
            with sender(url, receiver.url) as process:
                receiver.status = chance.choice([204, 204, 500])  # as while it is restarted
                time.sleep(chance.uniform(0, 0.3))
                killed += process.poll() is None
                process.kill()
        receiver.status = 204
        deadline = time.monotonic() + 120
        while queued - {got["id"] for got in receiver.got}:
            assert time.monotonic() < deadline
            with sender(url, receiver.url) as process:
                process.wait(timeout=100)
    with session(open_engine(url)) as connection:
        rows = {str(row.id): row for row in connection.execute(select(alert_messages))}
    assert set(rows) == queued == {got["id"] for got in receiver.got}
    assert all(row.sent_at is not None for row in rows.values())
    times = Counter(got["id"] for got in receiver.got)
    print(f"{len(queued)} alerts, {killed} kills, {sum(times.values()) - len(times)} sent twice")
    assert sum(times.values()) - len(times) <= killed
    assert all(number <= rows[name].attempts for name, number in times.items())
