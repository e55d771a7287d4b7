"""Turns runs into medians, ratios and Markdown tables."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from statistics import median
from typing import Any

from perf.formats.wrk import WrkResult, median_ratio
from pipeline.load_tests.benchmark import ECHO, OpenLoop, Summary


@dataclass(frozen=True)
class Scenario:
    """The settings of wrk: connections, threads, duration and timeout."""

    connections: int
    threads: int
    seconds: float
    timeout_s: int = 2


@dataclass(frozen=True)
class Run:
    """One service in one scenario once; CPU in microseconds per answer, memory afterwards."""

    round: int
    service: str
    scenario: Scenario
    result: WrkResult
    cpu_us: float | None
    memory_mb: float | None


def summarise(runs: Sequence[Run]) -> list[Summary]:
    """Return one summary per scenario and service, in the order of the runs."""
    order = dict.fromkeys((run.scenario, run.service) for run in runs)
    return [_summary(runs, *which) for which in order]


def _summary(runs: Sequence[Run], scenario: Scenario, service: str) -> Summary:
    def of(name: str) -> list[Run]:
        return [run for run in runs if run.scenario == scenario and run.service == name]

    ours, echo = of(service), {run.round: run for run in of(ECHO)}

    def middle(value: Callable[[Run], float]) -> float:
        return median(value(run) for run in ours)

    def ratio(value: Callable[[Run], float]) -> float | None:
        # By round: after an interruption, one round lacks some services.
        pairs = [(value(run), value(echo[run.round])) for run in ours if run.round in echo]
        return median_ratio([a for a, _ in pairs], [b for _, b in pairs])

    speeds = [run.result.ok_per_s for run in ours]
    return Summary(
        service=service, **asdict(scenario), rounds=len(ours),
        ok_per_s=median(speeds), low=min(speeds), high=max(speeds),
        p50_ms=middle(lambda run: run.result.p50_ms), p90_ms=middle(lambda run: run.result.p90_ms),
        p99_ms=middle(lambda run: run.result.p99_ms),
        p999_ms=middle(lambda run: run.result.p999_ms),
        max_ms=max(run.result.max_ms for run in ours),
        timeouts=sum(run.result.timeouts for run in ours),
        failed=sum(run.result.failed for run in ours),
        refused=sum(run.result.refused for run in ours),
        cpu_us=_known(run.cpu_us for run in ours),
        memory_mb=_known(run.memory_mb for run in ours),
        ok_ratio=ratio(lambda run: run.result.ok_per_s),
        p99_ratio=ratio(lambda run: run.result.p99_ms),
        cpu_ratio=ratio(lambda run: run.cpu_us or 0.0),
    )  # fmt: skip


def _known(values: Iterable[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return median(known) if known else None


def _cell(value: float | None, form: str) -> str:
    return "-" if value is None else format(value, form)


def markdown_table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a table whose first column is text and whose others are numbers."""
    rule = ["---", *["---:"] * (len(head) - 1)]
    return "\n".join(f"| {' | '.join(row)} |" for row in (head, rule, *rows))


def closed_loop_table(summaries: Sequence[Summary]) -> str:
    """Return one Markdown table per scenario."""
    head = ("service", "req/s", "lowest-highest", "x echo", "p50 ms", "p99 ms", "p99 / echo's",
            "timeouts", "other failures", "503", "CPU us/req", "CPU / echo's", "MB")  # fmt: skip
    parts = []
    shapes = dict.fromkeys((s.connections, s.threads, s.seconds, s.timeout_s) for s in summaries)
    for shape in shapes:
        connections, threads, seconds, timeout_s = shape
        rows = [
            (s.service, f"{s.ok_per_s:,.0f}", f"{s.low:,.0f}-{s.high:,.0f}",
             _cell(s.ok_ratio, ".2f"), _cell(s.p50_ms or None, ".1f"),
             _cell(s.p99_ms or None, ".1f"),
             _cell(s.p99_ratio or None, ".2f"), str(s.timeouts), str(s.failed - s.timeouts),
             str(s.refused), _cell(s.cpu_us, ",.0f"), _cell(s.cpu_ratio, ".2f"),
             _cell(s.memory_mb, ".0f"))
            for s in summaries
            if (s.connections, s.threads, s.seconds, s.timeout_s) == shape
        ]  # fmt: skip
        title = (
            f"**c={connections}, t={threads}, {seconds:g} s, timeout {timeout_s} s**, "
            f"median of {summaries[0].rounds}"
        )
        parts.append(f"{title}\n\n{markdown_table(head, rows)}")
    return "\n\n".join(parts)


def open_loop_table(results: Iterable[tuple[str, OpenLoop]]) -> str:
    """Return the Markdown table of the open-loop tests."""
    head = ("service", "asked req/s", "answered", "p50 ms", "p99 ms", "p99.9 ms", "max ms",
            "failed", "unanswered", "client late p99 ms")  # fmt: skip
    rows = [
        (service, f"{r.rate:,.0f}", f"{r.achieved:,.0f}", _cell(r.p50_ms, ".1f"),
         _cell(r.p99_ms, ".1f"), _cell(r.p999_ms, ".1f"), _cell(r.max_ms, ".1f"),
         str(r.failed), str(r.unanswered),
         f"{r.late_p99_ms:.1f}")
        for service, r in results
    ]  # fmt: skip
    return markdown_table(head, rows)


def environment_line(found: dict[str, Any]) -> str:
    """Return the machine in one sentence."""
    return (
        f"{found['processor']}, {found['cores']} cores, load {found['load']} at the start, "
        f"{found['syncs_per_s']:,} fsync/s, {found['system']}, Python {found['python']}, "
        f"commit {found['commit']}, {found['time']}."
    )
