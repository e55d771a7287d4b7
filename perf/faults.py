"""Break the database under steady load and report what clients were told."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from time import monotonic

import click
import uvloop

from db.reader.queries import Reader
from errors import NO
from perf.chaos.fault_injection import (
    ON_POSTGRESQL,
    ON_SQLITE,
    Fault,
    FaultTarget,
    FaultUnavailable,
)
from perf.chaos.postgres_cluster import PostgresNotFound
from perf.load.open_loop_client import OpenLoopClient, patient_number, patients_with_status
from perf.load.report import markdown_table
from perf.load.scratch import start_service
from perf.load.server_process import ROOT, Server, allow_connections

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
        Probes of /readyz answered with 200, sent after the first rejected request and answered
        before the repair.
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

    @property
    def violated(self) -> bool:
        """Whether a promise was broken that does not depend on the machine's speed."""
        return bool(
            self.missing or self.stored_though_refused or self.wrong or self.health_failed
            or self.recovered_s is None or self.ready_s is None or not self.acknowledged
        )  # fmt: skip


@dataclass(frozen=True)
class FaultObservation:
    """What the clients saw, and when the fault was injected and repaired."""

    seen: OpenLoopClient
    injected: float
    recovered: float


async def _inject_fault(
    server: Server, target: FaultTarget, seconds: float, rate: float
) -> FaultObservation:
    seen = OpenLoopClient(server.port, rate, probed=("/healthz", "/readyz"))
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
    """Start a service, break and repair its database, and compare the answers with the log.

    Raises
    ------
    FaultUnavailable
        The fault cannot be injected here.
    """
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


_HEAD = (
    "fault", "method", "s", "200", "503 not stored", "503 fate unknown", "other answers",
    "longest to a 503, s", "/healthz not 200 (longest, s)", "/readyz 200 meanwhile",
    "recovered after, s", "ready after, s", "missing", "stored though rejected",
)  # fmt: skip


def table(rows: Sequence[FaultResult | tuple[str, str]]) -> str:
    """Return the Markdown table; a fault that could not be injected has its reason."""
    return markdown_table(
        _HEAD,
        [(*r, *["-"] * (len(_HEAD) - 2)) if isinstance(r, tuple) else _cells(r) for r in rows],
        texts=2,
    )


def _cells(r: FaultResult) -> tuple[str, ...]:
    back, ready_again = (
        "not within 30" if seconds is None else f"{seconds:.2f}"
        for seconds in (r.recovered_s, r.ready_s)
    )
    return (
        r.title, r.method, f"{r.seconds:g}", f"{r.acknowledged:,}", f"{r.not_stored:,}",
        f"{r.unknown:,}", str(r.wrong), f"{r.longest_s:.2f}",
        f"{r.health_failed} ({r.health_longest_s:.2f})", f"{r.ready_during} of {r.ready_asked}",
        back, ready_again, str(r.missing), str(r.stored_though_refused),
    )  # fmt: skip


_FAULTS = {fault.name: fault for fault in ON_SQLITE + ON_POSTGRESQL}


@click.command("faults")
@click.option(
    "--fault",
    "names",
    type=click.Choice(list(_FAULTS)),
    multiple=True,
    help="Inject only this one; may be repeated.",
)
@click.option("--rate", default=RATE, show_default=True, help="Requests per second.")
@click.option("--quick", is_flag=True, help="Each fault lasts 3 s.")
def command(names: Sequence[str], rate: float, quick: bool) -> int:
    """Break the database under steady load and report what clients were told.

    Each fault has its own database and service, started and removed here. Latencies count from when
    a request was due. Promised: every rejection is a 503 with Retry-After within 2 s; /healthz
    stays 200 and /readyz does not; predictions recover within 5 s after the repair; every
    acknowledged row is stored, and none that was rejected as not stored. Exits with 1 if a promise
    is broken that does not depend on the machine's speed; times are only shown.
    """
    rows: list[FaultResult | tuple[str, str]] = []
    allow_connections()
    faults = [_FAULTS[name] for name in names or _FAULTS]
    try:
        for number, fault in enumerate(faults, 1):
            print(f"{number} of {len(faults)}: {fault.title}", file=sys.stderr)
            try:
                rows.append(inject_fault(replace(fault, seconds=3) if quick else fault, rate))
            except (FaultUnavailable, PostgresNotFound) as reason:
                rows.append((fault.title, f"not tried: {reason}"))
    finally:
        if rows:
            print(table(rows))
    return NO if any(isinstance(row, FaultResult) and row.violated for row in rows) else 0
