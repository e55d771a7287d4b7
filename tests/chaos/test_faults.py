"""What clients are told while the database is broken: honest refusals, and then it is over."""

from __future__ import annotations

import asyncio
import os
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from time import monotonic

import pytest
import uvloop

from db.reader.queries import Reader
from perf.load.postgres_cluster import PostgresNotFound
from perf.load.scratch import start_service
from perf.load.server_process import ROOT, Server, allow_connections
from tests.chaos.clients import (
    ProbingClient,
    numbered_request,
    patient_number,
    patients_with_status,
)
from tests.chaos.fault_injection import (
    ON_POSTGRESQL,
    ON_SQLITE,
    Fault,
    FaultTarget,
    FaultUnavailable,
)

SOAK = bool(os.environ.get("SOAK"))
FAULTS = (*ON_SQLITE, *ON_POSTGRESQL) if SOAK else [replace(ON_SQLITE[0], seconds=3)]
RATE = 300.0
"""Requests per second: far below capacity, so that only the fault delays them."""

_BEFORE_S, _AFTER_S = 2.0, 3.0
_RECOVER_S = 30.0
"""Longest wait for the first prediction after the repair."""


@dataclass(frozen=True)
class FaultResult:
    """The requests of one fault by what became of them; times in seconds.

    Attributes
    ----------
    acknowledged, not_stored, unknown
        Answered with 200; with 503, "nothing was logged"; with 503, "may or may not be in the log".
    wrong
        Any other answer, or none.
    longest_s
        Longest time to a 503.
    health_failed
        Probes of /healthz not answered with 200.
    ready_during
        Probes of /readyz answered with 200, of `ready_asked` sent after the first rejected request
        and answered before the repair.
    recovered_s, ready_s
        From the repair to the first 200 of /predict, and of a /readyz sent after it; None = not
        within half a minute.
    missing
        Acknowledged and not stored.
    stored_though_refused
        Stored though the answer said that nothing was.
    """

    title: str
    method: str
    seconds: float
    acknowledged: int
    not_stored: int
    unknown: int
    wrong: int
    longest_s: float
    health_failed: int
    health_longest_s: float
    ready_during: int
    ready_asked: int
    recovered_s: float | None
    ready_s: float | None
    missing: int
    stored_though_refused: int


@dataclass(frozen=True)
class FaultObservation:
    """What the clients saw, and when the fault was injected and repaired."""

    seen: ProbingClient
    injected: float
    recovered: float


async def _inject_fault(
    server: Server, target: FaultTarget, seconds: float, rate: float
) -> FaultObservation:
    seen = ProbingClient(server.port, rate, numbered_request)
    end = asyncio.Event()
    asking = asyncio.create_task(seen.run(end))
    await asyncio.sleep(_BEFORE_S)
    await asyncio.to_thread(target.inject, server.process_id)
    injected = monotonic()
    await asyncio.sleep(seconds)
    await asyncio.to_thread(target.recover)
    recovered = monotonic()
    while monotonic() < recovered + _RECOVER_S:
        if seen.first_answer("stored", recovered) and seen.first_ready(recovered):
            break
        await asyncio.sleep(0.05)
    await asyncio.sleep(_AFTER_S)
    end.set()
    await asking
    return FaultObservation(seen, injected, recovered)


def inject_fault(fault: Fault, rate: float, *, service: str = "api") -> FaultResult:
    """Start a service, break and repair its database, and compare the answers with the log."""
    with fault.setup() as target:
        with start_service(target.url, module=service, log=_log_of(fault)) as server:
            observed = uvloop.run(_inject_fault(server, target, fault.seconds, rate))
        with closing(Reader(target.url)) as reader:
            stored = {patient_number(row) for row in reader.stream(source="load-test")}
    return _result(fault, target, observed, stored)


def _log_of(fault: Fault) -> Path:
    folder = ROOT / "var" / "faults"
    folder.mkdir(parents=True, exist_ok=True)
    return folder / f"{fault.name}.log"


def _result(
    fault: Fault, target: FaultTarget, observed: FaultObservation, stored: set[int]
) -> FaultResult:
    seen = observed.seen
    acknowledged = patients_with_status(seen.answers, "stored")
    not_stored = patients_with_status(seen.answers, "not stored")
    unknown = patients_with_status(seen.answers, "unknown")
    refusals = [a for a in seen.answers if a.status in ("not stored", "unknown")]
    first = min((a.due for a in refusals), default=observed.recovered)
    back = seen.first_answer("stored", observed.recovered)
    ready_at = seen.first_ready(observed.recovered)
    health = [probe for probe in seen.probes if probe.path == "/healthz"]
    ready = [
        probe for probe in seen.probes
        if probe.path == "/readyz" and probe.asked >= first and probe.at <= observed.recovered
    ]  # fmt: skip
    return FaultResult(
        fault.title, target.method, fault.seconds,
        acknowledged=len(acknowledged), not_stored=len(not_stored), unknown=len(unknown),
        wrong=seen.sent - len(acknowledged) - len(not_stored) - len(unknown),
        longest_s=max((a.at - a.due for a in refusals), default=0.0),
        health_failed=sum(probe.status != 200 for probe in health),
        health_longest_s=max(probe.at - probe.asked for probe in health),
        ready_during=sum(probe.status == 200 for probe in ready), ready_asked=len(ready),
        recovered_s=None if back is None else back - observed.recovered,
        ready_s=None if ready_at is None else ready_at - observed.recovered,
        missing=len(acknowledged - stored),
        stored_though_refused=len(not_stored & stored),
    )  # fmt: skip


@pytest.fixture(autouse=True)
def _model(model_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CARDIOWATCH_MODEL_DIR", str(model_dir))


@pytest.mark.slow
@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name)
def test_a_broken_database_is_honest_refusals_and_then_over(fault: Fault) -> None:
    allow_connections()
    try:
        found = inject_fault(fault, RATE)
    except (FaultUnavailable, PostgresNotFound) as reason:
        pytest.skip(str(reason))
    print(found)

    assert found.acknowledged
    assert found.not_stored
    assert (found.missing, found.stored_though_refused) == (0, 0)
    assert (found.wrong, found.health_failed) == (0, 0)
    assert found.recovered_s is not None
    assert found.ready_s is not None


@contextmanager
def _healthy() -> Iterator[FaultTarget]:
    with tempfile.TemporaryDirectory() as folder:
        yield FaultTarget(f"sqlite:///{folder}/log.db", lambda _: None, lambda: None, "not at all")


@pytest.mark.slow
def test_a_service_that_acknowledges_without_storing_is_found_out() -> None:
    found = inject_fault(Fault("none", "none", 0, _healthy), 50, service="perf.baselines.no_log")

    assert found.acknowledged > 0
    assert found.missing == found.acknowledged
