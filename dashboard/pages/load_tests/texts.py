"""Texts of the Load tests page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from dashboard.shared.escaping import escape_markdown
from dashboard.shared.numbers import count_noun, join_words, milliseconds
from pipeline.load_tests.autoscaling import Autoscaling
from pipeline.load_tests.benchmark import CARDIOWATCH, Benchmark, OpenLoop, Summary

LEAD = "Throughput and latency under load, compared with baseline implementations."
EMPTY_TITLE = "No load tests yet"
HOW_TO_RUN = (
    "`make bench` starts each service on a scratch database and measures them in turn; it takes 45 "
    "minutes and requires wrk. `make bench ARGS='--seconds 2 --rounds 1'` takes a few minutes and "
    "is enough to fill this page. Only the summary is stored in this database."
)
SHORT = (
    "One or two minutes in the background, at 200 connections for 2 s each, on scratch databases. "
    "It loads this machine; one run alone is unreliable."
)
SHORT_RUNNING = "A short load test is running. Its result appears here in a minute or two."
SHORT_FAILED = "The last short load test failed; the dashboard's log says why."
UNREADABLE_TITLE = "The load tests cannot be read"
UNREADABLE = "They were written by an incompatible version. Run `make bench` again."

STUDY_REPORT = "Reported by the study project"
STUDY_PER_S = (180, 554)
STUDY_P50_MS, STUDY_P99_MS = 324, 1020
"""Published by the study project on which this one improves, as measured on its own machine."""
STUDY_NOTE = (
    "The study project reported 180 and 554 requests/s, p50 324 ms, p99 1.02 s. Measured on a "
    "different machine: compare orders of magnitude only."
)

THROUGHPUT_NOTE = "Successful responses only. Whiskers: slowest and fastest round."
LATENCY_NOTE = (
    "Left to right: p50 (median), p90, p99. Logarithmic scale. Requests that timed out are not "
    "included; they are counted below."
)
SCALING_NOTE = "A robust service degrades gradually and does not collapse. Logarithmic y-axes."
HISTORY_NOTE = (
    "At about 200 connections. The echo baseline ran in alternation with the service, so machine "
    "noise cancels in the ratio: compare ratios, not absolute throughput."
)
ONE_RUN = "Only one comparable run so far; the next `make bench` adds a point."
CLOSED_LOOP = (
    "wrk, used for the charts above, is **closed-loop**: each connection waits for its response "
    "before sending the next request. A stalled service therefore receives fewer requests, and the "
    "waiting time of the missing ones is in no percentile (coordinated omission). An **open-loop** "
    "client sends at a **fixed rate** regardless of responses and measures latency from the "
    "scheduled send time."
)
NO_OPEN_LOOP = "This run ended before the open-loop test."
NO_ERRORS = "No timeouts, failures or rejections in this scenario."
INTERRUPTED = "The run was interrupted; results are partial."
BUSY = "The machine was not idle: trust the ratios, not the absolute values."
BUSY_LOAD = 0.7
"""Load average before the test began; above it the machine was not idle."""

HOW_TO_RECORD = (
    "To record your own: on a cluster, during a load test, run "
    "`kubectl -n cardiowatch get hpa cardiowatch-api -w > hpa.txt`, then "
    "`cardiowatch hpa hpa.txt`."
)
NO_AUTOSCALING = f"The autoscaling record cannot be read. {HOW_TO_RECORD}"

COLUMNS: Mapping[str, str] = {
    "service": "Service",
    "connections": "Connections",
    "ok_per_s": "Requests/s",
    "ok_ratio": "× echo",
    "p50_ms": "p50 ms",
    "p90_ms": "p90 ms",
    "p99_ms": "p99 ms",
    "p999_ms": "p99.9 ms",
    "max_ms": "Max ms",
    "timeouts": "Timeouts",
    "failed": "Failed",
    "refused": "Rejected (503)",
    "cpu_us": "CPU µs/request",
    "cpu_ratio": "CPU × echo",
    "memory_mb": "Memory MB",
    "rounds": "Rounds",
}
"""Fields of a summary -> headings of the table; "failed" holds the timeouts."""


def shipped(note: str) -> str:
    """Return that a record ships with the project, and how it was made."""
    return f"**Recorded, not on this machine:** {note}."


def verdict(run: Benchmark) -> str:
    """Return in one sentence the result of this service."""
    ours = run.nearest(CARDIOWATCH)
    if ours is None or not ours.ok_per_s:
        return "The latest load test has no result for this service."
    compared = f" {ratio(ours.ok_ratio)} a bare FastAPI echo," if ours.ok_ratio else ""
    late = "no timeouts" if not ours.timeouts else count_noun(ours.timeouts, "timeout")
    return (
        f"{ours.ok_per_s:,.0f} predictions/s,{compared} each committed before its response; p99 "
        f"{milliseconds(ours.p99_ms)}, {late}."
    )


def ratio(value: float) -> str:
    """Return a ratio as "1.4 times"."""
    return f"{value:.1f} times" if value < 10 else f"{value:.0f} times"


def run_subtitle(run: Benchmark, when: str) -> str:
    """Return when, how and on which machine a run was made."""
    ours = run.nearest(CARDIOWATCH)
    found = {name: escape_markdown(str(value)) for name, value in run.environment.items()}
    how = f"{ours.connections:,} connections, {_rounds(ours)} of {ours.seconds:g} s" if ours else ""
    machine = (
        f"{found.get('processor', 'unknown processor')}, {found.get('cores', '?')} cores, "
        f"{run.environment.get('syncs_per_s', 0):,} fsync/s, "
        f"load {found.get('load', '?')} at the start, {found.get('system', '')}, "
        f"Python {found.get('python', '?')}, commit {found.get('commit', 'unknown')}"
    )
    return " · ".join(filter(None, (when, how, machine)))


def _rounds(ours: Summary) -> str:
    return "one round" if ours.rounds == 1 else f"median of {ours.rounds} rounds"


def caveats(run: Benchmark) -> list[str]:
    """Return what keeps the results of a run from being quoted."""
    found = []
    if not run.complete:
        found.append(INTERRUPTED)
    if float(run.environment.get("load") or 0) > BUSY_LOAD:
        found.append(BUSY)
    return found


def wrk_settings(of: Sequence[Summary]) -> str:
    """Return the settings of wrk."""
    first = of[0]
    return (
        f"{count_noun(first.connections, 'connection')}, {count_noun(first.threads, 'thread')}, "
        f"{first.seconds:g} s, timeout {first.timeout_s} s"
    )


def error_summary(of: Sequence[Summary]) -> str:
    """Return which services had timeouts, failures or rejections."""
    late = [s.service for s in of if s.timeouts]
    failed = [s.service for s in of if s.failed > s.timeouts]
    refused = [s.service for s in of if s.refused]
    parts = [
        f"{words} {escape_markdown(join_words(services))}"
        for words, services in (
            ("Timeouts:", late), ("Other failures:", failed), ("Rejected (503):", refused)
        )
        if services
    ]  # fmt: skip
    return ". ".join([*parts, ""]).strip() if parts else NO_ERRORS


def open_loop(results: Sequence[tuple[str, OpenLoop]]) -> str:
    """Return the open-loop result of this service at the highest rate."""
    ours = [result for name, result in results if name == CARDIOWATCH]
    if not ours:
        return NO_OPEN_LOOP
    top = max(ours, key=lambda result: result.rate)
    lost = top.failed + top.unanswered
    answered = "all answered" if not lost else f"{count_noun(lost, 'request')} unanswered"
    return (
        f"Open loop at {top.rate:,.0f} requests/s: {answered}; p99 {milliseconds(top.p99_ms)} from "
        "the scheduled send time."
    )


def autoscaling(record: Autoscaling) -> str:
    """Return in one sentence what an autoscaler did, and how long it took."""
    first = record.moments[0].pods
    if record.peak == first:
        hot = record.first_time(over=True)
        why = "CPU never exceeded its target" if hot is None else "CPU exceeded its target"
        return f"Stayed at {count_noun(first, 'pod')}: {why}."
    hot, more = record.first_time(over=True), record.first_time(pods=first + 1)
    full = record.first_time(pods=record.peak)
    since = more if hot is None or more is None else max(more - hot, 0.0)
    after = "" if hot is None else " after CPU exceeded its target"
    grown = f"From {first} to {record.peak} pods, {_duration(since)}{after}."
    if full != more:
        grown = (
            f"From {first} to {record.peak} pods: first pod added {_duration(since)}{after}, "
            f"last one {_duration((full or 0.0) - (more or 0.0))} later."
        )
    back = record.moments[-1].pods
    left = "" if back == record.peak else f" Scaled back to {count_noun(back, 'pod')} at the end."
    return grown + left


def autoscaler_subtitle(record: Autoscaling, when: str) -> str:
    """Return the autoscaler of the record, when it was recorded, and its limits."""
    return (
        f"{escape_markdown(record.name)} · recorded {when} · {record.fewest} to {record.most} "
        f"pods, target {record.target} % of the CPU request. Times as reported by kubectl."
    )


def _duration(seconds: float | None) -> str:
    whole = round(seconds or 0.0)
    return f"{whole} s" if whole < 120 else f"{whole / 60:.0f} minutes"
