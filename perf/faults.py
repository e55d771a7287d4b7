"""Breaks the database under steady load and reports what clients were told.

Each fault has its own database and service, started and removed here. Latencies count from when a
request was due. Promised: every rejection is a 503 with `Retry-After` within 2 s; `/healthz` stays
200 and `/readyz` does not; predictions recover within 5 s after the repair; every acknowledged row
is stored, and none that was rejected as not stored. Exits with 1 if a promise is broken that does
not depend on the machine's speed; times are only shown.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from time import monotonic

import uvloop

from db.reader.queries import Reader
from perf.chaos.fault_injection import (
    ON_POSTGRESQL,
    ON_SQLITE,
    Fault,
    FaultTarget,
    FaultUnavailable,
)
from perf.chaos.postgres_cluster import PostgresNotFound
from perf.load.open_loop_client import OpenLoopClient, patient_number, patients_with_status
from perf.load.program import run_program, start_service
from perf.load.server_process import ROOT, Server, allow_connections

RATE = 300
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


def table(rows: Sequence[FaultResult | tuple[str, str]]) -> str:
    """Return the Markdown table; a fault that could not be injected has its reason."""
    head = ("fault", "method", "s", "200", "503 not stored", "503 fate unknown", "other answers",
            "longest to a 503, s", "/healthz not 200 (longest, s)", "/readyz 200 meanwhile",
            "recovered after, s", "ready after, s", "missing",
            "stored though rejected")  # fmt: skip
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * 3 + "---:|" * (len(head) - 3)]
    for row in rows:
        cells = (*row, *["-"] * (len(head) - 2)) if isinstance(row, tuple) else _cells(row)
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


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


def _parse() -> argparse.Namespace:
    known = {fault.name: fault for fault in ON_SQLITE + ON_POSTGRESQL}
    parser = argparse.ArgumentParser(prog="python -m perf.faults", description=__doc__)
    parser.add_argument(
        "--fault", action="append", choices=known, help="inject only this one; repeatable"
    )
    parser.add_argument("--rate", type=float, default=RATE, help="requests per second (300)")
    parser.add_argument("--quick", action="store_true", help="each fault lasts 3 s")
    options = parser.parse_args()
    options.faults = [known[name] for name in options.fault or known]
    if options.quick:
        options.faults = [replace(fault, seconds=3) for fault in options.faults]
    return options


def _inject_all(options: argparse.Namespace) -> int:
    rows: list[FaultResult | tuple[str, str]] = []
    allow_connections()
    try:
        for number, fault in enumerate(options.faults, 1):
            print(f"{number} of {len(options.faults)}: {fault.title}", file=sys.stderr)
            try:
                rows.append(inject_fault(fault, options.rate))
            except (FaultUnavailable, PostgresNotFound) as reason:
                rows.append((fault.title, f"not tried: {reason}"))
    finally:
        if rows:
            print(table(rows))
    return 1 if any(isinstance(row, FaultResult) and row.violated for row in rows) else 0


def main() -> int:
    """Inject the faults; return 0 if all promises were kept."""
    options = _parse()
    return run_program(lambda: _inject_all(options), "The faults cannot be tried")


if __name__ == "__main__":
    sys.exit(main())
