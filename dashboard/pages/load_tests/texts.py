"""What the Load tests page says."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from dashboard.shared.escaping import markdown
from dashboard.shared.numbers import listed, milliseconds, times
from pipeline.load_tests.autoscaling import Autoscaling
from pipeline.load_tests.benchmark import OURS, Benchmark, OpenLoop, Summary

LEAD = "How fast the service answers when many ask at once, beside what others would build."
EMPTY_TITLE = "No load test has run yet"
EMPTY = (
    "`make bench` starts every service itself, on a scratch database, and measures them in turns; "
    "it takes 45 minutes and needs wrk. `make bench ARGS='--seconds 2 --rounds 1'` takes a few "
    "minutes and is enough to see this page. Only the summary reaches the database of this page."
)
UNREADABLE_TITLE = "The load tests cannot be read"
UNREADABLE = "They were written by another version of the program. Run `make bench` again."

STUDY = "Study project's own report"
STUDY_PER_S = (180, 554)
STUDY_P50_MS, STUDY_P99_MS = 324, 1020
"""Published by the study project on which this one improves, as measured on its own machine."""
STUDY_NOTE = (
    "The study project's own report gives 180 and 554 answers a second, half of them within 324 ms "
    "and 99 of 100 within 1.02 s. That was another machine: look at it for the order of magnitude."
)

PER_S_NOTE = (
    "Only answers with a prediction count. The whisker spans the slowest and fastest round."
)
WAIT_NOTE = (
    "From left to right: half of the answers, 9 of 10 and 99 of 100 came within this time. The "
    "scale is logarithmic. What took longer than the timeout is in none of the three; it is "
    "counted below."
)
MORE_NOTE = (
    "A service that keeps its promises bends here and does not break. Both scales are logarithmic."
)
HISTORY_NOTE = (
    "At about 200 connections. The echo ran in turns with the service, so what else the machine "
    "did is in both and drops out of their ratio: watch that, not the answers a second."
)
ONE_RUN = "One comparable run so far; the next `make bench` adds a point."
CLOSED_LOOP = (
    "wrk, which measured the pictures above, is **closed-loop**: each of its connections waits for "
    "its answer before it asks again. A service that stalls is asked less, and whoever would have "
    "come meanwhile is in no percentile. So another client asks at a **fixed rate**, whether or "
    "not earlier requests were answered, and starts the clock when a request was due."
)
NO_OPEN_LOOP = "This run ended before the check at a fixed rate."
EVERY_ANSWER = "In this scenario no request timed out, failed or was refused."
INTERRUPTED = "The run was interrupted; this is what it had measured."
BUSY = "Something else was at work on the machine: trust the ratios, not the absolute figures."
BUSY_LOAD = 0.7
"""Processes that waited for a core before the test began; above it the machine was not idle."""

NOT_WATCHED = (
    "No autoscaler was watched yet. On a cluster, while a load test runs: "
    "`kubectl -n cardiowatch get hpa cardiowatch-api -w > hpa.txt`, then "
    "`python -m perf.hpa hpa.txt`."
)

COLUMNS: Mapping[str, str] = {
    "service": "Service",
    "connections": "Connections",
    "ok_per_s": "Answers/s",
    "ok_ratio": "x echo",
    "p50_ms": "p50 ms",
    "p90_ms": "p90 ms",
    "p99_ms": "p99 ms",
    "p999_ms": "p99.9 ms",
    "max_ms": "Longest ms",
    "timeouts": "Timeouts",
    "failed": "Failed",
    "refused": "503",
    "cpu_us": "CPU us/answer",
    "cpu_ratio": "CPU x echo",
    "memory_mb": "MB",
    "rounds": "Rounds",
}
"""Fields of a summary -> headings of the table; "failed" holds the timeouts."""


def verdict(run: Benchmark) -> str:
    """Say in one sentence what a run showed of this service."""
    ours = run.nearest(OURS)
    if ours is None or not ours.ok_per_s:
        return "The newest load test has no figure of this service."
    compared = f" {ratio(ours.ok_ratio)} a bare FastAPI echo," if ours.ok_ratio else ""
    late = "none timed out" if not ours.timeouts else f"{times(ours.timeouts, 'request')} timed out"
    return (
        f"{ours.ok_per_s:,.0f} predictions a second,{compared} each on disk before its answer; "
        f"99 of 100 took at most {milliseconds(ours.p99_ms)} and {late}."
    )


def ratio(value: float) -> str:
    """Write how many times as fast something is."""
    return f"{value:.1f} times" if value < 10 else f"{value:.0f} times"


def made(run: Benchmark, when: str) -> str:
    """Say when, how and on what a run was made."""
    ours = run.nearest(OURS)
    found = {name: markdown(str(value)) for name, value in run.environment.items()}
    how = f"{ours.connections:,} connections, {_rounds(ours)} of {ours.seconds:g} s" if ours else ""
    machine = (
        f"{found.get('processor', 'unknown processor')}, {found.get('cores', '?')} cores, "
        f"{run.environment.get('syncs_per_s', 0):,} fsync a second, "
        f"load {found.get('load', '?')} at the start, {found.get('system', '')}, "
        f"Python {found.get('python', '?')}, commit {found.get('commit', 'unknown')}"
    )
    return " · ".join(filter(None, (when, how, machine)))


def _rounds(ours: Summary) -> str:
    return "one round" if ours.rounds == 1 else f"median of {ours.rounds} rounds"


def doubts(run: Benchmark) -> list[str]:
    """Return what keeps the figures of a run from being quoted."""
    found = []
    if not run.complete:
        found.append(INTERRUPTED)
    if float(run.environment.get("load") or 0) > BUSY_LOAD:
        found.append(BUSY)
    return found


def scenario(of: Sequence[Summary]) -> str:
    """Say how wrk asked."""
    first = of[0]
    return (
        f"{times(first.connections, 'connection')}, {times(first.threads, 'thread')}, "
        f"{first.seconds:g} s, an answer is waited for {first.timeout_s} s"
    )


def troubles(of: Sequence[Summary]) -> str:
    """Say in one sentence which services did not answer everything."""
    late = [s.service for s in of if s.timeouts]
    failed = [s.service for s in of if s.failed > s.timeouts]
    refused = [s.service for s in of if s.refused]
    parts = [
        f"{words} {markdown(listed(services))}"
        for words, services in (
            ("Timeouts:", late), ("Other failures:", failed), ("Refused with 503:", refused)
        )
        if services
    ]  # fmt: skip
    return ". ".join([*parts, ""]).strip() if parts else EVERY_ANSWER


def open_loop(results: Sequence[tuple[str, OpenLoop]]) -> str:
    """Say what the check at a fixed rate showed of this service, at the highest rate."""
    ours = [result for name, result in results if name == OURS]
    if not ours:
        return NO_OPEN_LOOP
    top = max(ours, key=lambda result: result.rate)
    lost = top.failed + top.unanswered
    answered = "every request was answered" if not lost else f"{times(lost, 'request')} got none"
    return (
        f"Asked {top.rate:,.0f} times a second without waiting, {answered}; 99 of 100 answers came "
        f"within {milliseconds(top.p99_ms)} of when they were due."
    )


def autoscaling(record: Autoscaling) -> str:
    """Say in one sentence what an autoscaler did, and how long it took."""
    first = record.moments[0].pods
    if record.peak == first:
        hot = record.first(over=True)
        why = "CPU never passed its target" if hot is None else "though CPU passed its target"
        return f"It stayed at {times(first, 'pod')}: {why}."
    hot, more = record.first(over=True), record.first(pods=first + 1)
    full = record.first(pods=record.peak)
    since = more if hot is None or more is None else max(more - hot, 0.0)
    after = "" if hot is None else " after CPU had passed its target"
    grown = f"From {first} to {record.peak} pods, {_duration(since)}{after}."
    if full != more:
        grown = (
            f"From {first} to {record.peak} pods: the first was added {_duration(since)}{after}, "
            f"the last {_duration((full or 0.0) - (more or 0.0))} later."
        )
    back = record.moments[-1].pods
    left = "" if back == record.peak else f" At the end {times(back, 'pod')} ran."
    return grown + left


def watched(record: Autoscaling, when: str) -> str:
    """Say which autoscaler was watched, when its record was kept and what it may choose."""
    return (
        f"{markdown(record.name)} · kept {when} · {record.fewest} to {record.most} pods, target "
        f"{record.target} % of the CPU that a pod requests. Times are as kubectl printed them."
    )


def _duration(seconds: float | None) -> str:
    whole = round(seconds or 0.0)
    return f"{whole} s" if whole < 120 else f"{whole / 60:.0f} minutes"
