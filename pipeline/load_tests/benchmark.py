"""The result of a load test, stored in `load_tests`: written by perf, read by the dashboard.

The format has a number. Changing the meaning of a field, or removing one, requires a new number; a
new field has a default, so that older runs stay readable.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any, TypeVar

from errors import CardiowatchError

KIND = "wrk"
"""The kind of `load_tests` that this module reads and writes."""

FORMAT = 1

CARDIOWATCH = "Cardiowatch, durable"
ON_POSTGRESQL = "Cardiowatch, durable, PostgreSQL"
ON_UVICORN = "Cardiowatch on stock uvicorn"
NO_LOG = "Cardiowatch without its log"
OUR_SERVICES = (CARDIOWATCH, ON_POSTGRESQL, ON_UVICORN, NO_LOG)
ECHO = "FastAPI echo"
"""The baseline that ratios are taken against: the framework's floor."""


class UnreadableBenchmark(CardiowatchError):
    """What is kept is not a benchmark of this format."""


@dataclass(frozen=True)
class LatencySummary:
    """Latencies in ms over all answers, zero answers = zero latency; and what was not waited for.

    Attributes
    ----------
    timeouts
        Answers that took longer than wrk's timeout; they are in no percentile.
    """

    p50_ms: float
    p90_ms: float
    p99_ms: float
    p999_ms: float
    max_ms: float
    timeouts: int


@dataclass(frozen=True)
class Summary(LatencySummary):
    """Medians over the rounds; ratios to the echo are medians of the ratios within each round.

    `timeouts`, `failed` and `refused` are the sums over all rounds; `failed` holds the timeouts.
    `low` and `high` are the slowest and the fastest round, requests per second; `max_ms` is the
    longest of all rounds. CPU is microseconds per answer.
    """

    service: str
    connections: int
    threads: int
    seconds: float
    timeout_s: int
    rounds: int
    ok_per_s: float
    low: float
    high: float
    failed: int
    refused: int
    cpu_us: float | None
    memory_mb: float | None
    ok_ratio: float | None
    p99_ratio: float | None
    cpu_ratio: float | None


@dataclass(frozen=True)
class OpenLoop:
    """Latencies in ms from when each request was due; `late_*` is the client's own delay in them.

    `rate` and `achieved` are requests per second: asked for, and answered with 200. Latencies are
    None when nothing was answered.
    """

    rate: float
    achieved: float
    seconds: float
    ok: int
    failed: int
    unanswered: int
    p50_ms: float | None
    p99_ms: float | None
    p999_ms: float | None
    max_ms: float | None
    late_p99_ms: float


@dataclass(frozen=True)
class Benchmark:
    """One run of `cardiowatch bench`; `complete` is False when it was interrupted and holds a part.

    Attributes
    ----------
    environment
        Machine, load, disk, commit and time, as `perf.load.environment.environment` describes them.
    start_s
        Service -> seconds from its start to its first answer.
    open_loop
        (service, result) per fixed rate.
    """

    environment: Mapping[str, Any]
    start_s: Mapping[str, float]
    closed_loop: Sequence[Summary]
    open_loop: Sequence[tuple[str, OpenLoop]]
    complete: bool = True

    def at_connections(self, connections: int) -> list[Summary]:
        """Return what was measured with this number of connections."""
        return [summary for summary in self.closed_loop if summary.connections == connections]

    @property
    def connections(self) -> list[int]:
        """The numbers of connections that were measured, ascending."""
        return sorted({summary.connections for summary in self.closed_loop})

    def nearest(self, service: str) -> Summary | None:
        """Return a service's result nearest to 200 connections; None = not measured."""
        found = [summary for summary in self.closed_loop if summary.service == service]
        return min(found, key=lambda s: abs(s.connections - 200), default=None)

    def to_dict(self) -> dict[str, Any]:
        """Return the kept form, JSON-safe."""
        return {
            "format": FORMAT,
            "complete": self.complete,
            "environment": dict(self.environment),
            "start_s": dict(self.start_s),
            "closed_loop": [asdict(summary) for summary in self.closed_loop],
            "open_loop": [{"service": name, **asdict(result)} for name, result in self.open_loop],
        }


def from_dict(kept: Mapping[str, Any]) -> Benchmark:
    """Read what `Benchmark.to_dict` wrote.

    Raises
    ------
    UnreadableBenchmark
        Another format, or a field is missing.
    """
    if kept.get("format") != FORMAT:
        raise UnreadableBenchmark(f"format {kept.get('format')!r}, expected {FORMAT}")
    try:
        return Benchmark(
            environment=kept["environment"],
            start_s=kept["start_s"],
            closed_loop=[_of(Summary, summary) for summary in kept["closed_loop"]],
            open_loop=[(one["service"], _of(OpenLoop, one)) for one in kept["open_loop"]],
            complete=kept["complete"],
        )
    except (KeyError, TypeError) as error:
        raise UnreadableBenchmark(f"a field is missing: {error!r}") from error


_T = TypeVar("_T", Summary, OpenLoop)


def _of(kind: type[_T], values: Mapping[str, Any]) -> _T:
    names = {one.name for one in fields(kind)}
    return kind(**{name: value for name, value in values.items() if name in names})
