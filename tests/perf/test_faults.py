"""What the callers are told while the database is broken, and that a broken promise is noticed."""

from __future__ import annotations

import asyncio
import json
import socket
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from perf.chaos.fault_injection import Fault, FaultTarget
from perf.faults import FaultResult, inject_fault, table
from perf.load.open_loop_client import OpenLoopClient, _status_of, patient_number, request_body
from tests.programs import run

KEPT = FaultResult(
    "SQLite: database locked", "held", 3, acknowledged=9, not_stored=2, unknown=1, wrong=0,
    longest_s=2.04, health_failed=0, health_longest_s=0.01, ready_during=0, ready_asked=4,
    recovered_s=0.5, ready_s=0.75, missing=0, stored_though_refused=0,
)  # fmt: skip


@pytest.mark.slow
def test_a_locked_database_is_honest_refusals_and_then_over(model_dir: Path) -> None:
    ended = run(
        "-m",
        "cardiowatch",
        "measure",
        "faults",
        "--quick",
        "--fault",
        "locked",
        model_dir=model_dir,
        timeout=600,
    )

    assert ended.returncode == 0, ended.stderr
    row = ended.stdout.splitlines()[-1].split(" | ")
    assert row[0] == "| SQLite: database locked"
    assert int(row[3].replace(",", "")) > 0
    assert int(row[4].replace(",", "")) > 0
    assert row[-2:] == ["0", "0 |"]


@contextmanager
def _healthy() -> Iterator[FaultTarget]:
    with tempfile.TemporaryDirectory() as folder:
        yield FaultTarget(f"sqlite:///{folder}/log.db", lambda _: None, lambda: None, "not at all")


@pytest.mark.slow
def test_a_service_that_acknowledges_without_storing_is_found_out(
    model_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CARDIOWATCH_MODEL_DIR", str(model_dir))

    found = inject_fault(Fault("none", "none", 0, _healthy), 50, service="perf.baselines.no_log")

    assert found.acknowledged > 0
    assert found.missing == found.acknowledged
    assert found.violated


@pytest.mark.parametrize(
    "change",
    [
        {"missing": 1}, {"stored_though_refused": 1}, {"wrong": 1}, {"health_failed": 1},
        {"recovered_s": None}, {"ready_s": None}, {"acknowledged": 0},
    ],
)  # fmt: skip
def test_each_broken_promise_is_a_failure(change: dict[str, int | None]) -> None:
    assert not KEPT.violated
    assert replace(KEPT, **change).violated  # type: ignore[arg-type]


def test_the_table_shows_what_was_told_and_why_something_was_not_tried() -> None:
    lines = table([KEPT, ("PostgreSQL: disk full", "not tried: needs root")]).splitlines()

    assert lines[2] == (
        "| SQLite: database locked | held | 3 | 9 | 2 | 1 | 0 | 2.04 | 0 (0.01) | 0 of 4 "
        "| 0.50 | 0.75 | 0 | 0 |"
    )
    assert lines[3].startswith("| PostgreSQL: disk full | not tried: needs root | - |")


@pytest.mark.parametrize("number", [0, 79, 80, 31_999, 32_000, 3_199_999])
def test_a_stored_row_tells_which_request_it_was(number: int) -> None:
    assert patient_number(json.loads(request_body(number))) == number


def test_the_measurements_count_up_from_the_lowest() -> None:
    # 80 values of thalach, then 400 of chol, then trestbps.
    assert json.loads(request_body(81))["thalach"] == 101
    assert json.loads(request_body(81))["chol"] == 151
    assert json.loads(request_body(32_000))["trestbps"] == 101


@pytest.mark.parametrize(
    ("status", "head", "text", "told"),
    [
        (200, b"", b"", "stored"),
        (503, b"\r\nretry-after: 1", b"log-unavailable", "not stored"),
        (503, b"\r\nretry-after: 1", b"log-fate-unknown", "unknown"),
        (503, b"", b"log-unavailable", "503 without Retry-After"),
        (500, b"", b"", "status 500"),
    ],
)
def test_an_answer_is_read_as_what_it_promises(
    status: int, head: bytes, text: bytes, told: str
) -> None:
    assert _status_of(status, head, text) == told


def test_a_service_that_is_gone_is_a_probe_without_an_answer() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # bound, but nobody listens
        seen = OpenLoopClient(taken.getsockname()[1], 1)

        async def go() -> None:
            probing = asyncio.create_task(seen._probe("/healthz"))
            while not seen.probes:
                await asyncio.sleep(0.01)
            probing.cancel()

        asyncio.run(go())
    assert [probe.status for probe in seen.probes] == [0]
