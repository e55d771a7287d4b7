"""Parses what wrk measured from the line that perf/formats/predict.lua prints.

wrk is closed-loop: each connection waits for its answer before it sends again, so a service that
stalls gets fewer requests, and those that would have come meanwhile are in no percentile.
`perf.load.open_loop_client` sends at a fixed rate instead.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median

from errors import CardiowatchError
from pipeline.load_tests.benchmark import LatencySummary

_MARK = "RESULT "
"""Prefix of the one machine-readable line."""


class UnreadableOutput(CardiowatchError):
    """The text holds no result of perf/formats/predict.lua."""


@dataclass(frozen=True)
class WrkResult(LatencySummary):
    """One run of wrk.

    Attributes
    ----------
    answered
        Answers by HTTP status.
    socket_errors
        Connections that failed, and reads and writes that did.
    hasty_503
        Answers 503 without `Retry-After`: the client does not know when to retry.
    """

    seconds: float
    answered: Mapping[int, int]
    socket_errors: int
    hasty_503: int

    @property
    def ok(self) -> int:
        """Number of answers with 200."""
        return self.answered.get(200, 0)

    @property
    def refused(self) -> int:
        """Number of answers with 503 and `Retry-After`: honest, but no prediction."""
        return self.answered.get(503, 0) - self.hasty_503

    @property
    def failed(self) -> int:
        """Number of requests that ended in neither a 200 nor an honest 503."""
        others = sum(self.answered.values()) - self.ok - self.refused
        return others + self.timeouts + self.socket_errors

    @property
    def ok_per_s(self) -> float:
        """Predictions per second; rejections are no throughput."""
        return self.ok / self.seconds


def parse_wrk(output: str) -> WrkResult:
    """Parse the output of wrk with perf/formats/predict.lua.

    Raises
    ------
    UnreadableOutput
        The result line is missing, doubled or incomplete.
    """
    lines = [line for line in output.splitlines() if line.startswith(_MARK)]
    if len(lines) != 1:
        raise UnreadableOutput(f"{len(lines)} result lines in wrk's output, expected 1")
    try:
        found = json.loads(lines[0].removeprefix(_MARK))
        in_ms = {f"{name}_ms": float(found[f"{name}_us"]) / 1000 for name in _LATENCIES}
        return WrkResult(
            seconds=float(found["duration_us"]) / 1e6,
            answered={int(status): int(n) for status, n in found["answered"].items()},
            timeouts=int(found["timeouts"]),
            socket_errors=sum(int(found[name]) for name in ("connect", "read", "write")),
            hasty_503=int(found["hasty_503"]),
            **in_ms,
        )
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise UnreadableOutput(f"wrk's result line cannot be read: {error!r}") from error


_LATENCIES = ("p50", "p90", "p99", "p999", "max")


def median_ratio(ours: Sequence[float], theirs: Sequence[float]) -> float | None:
    """Return the median over rounds of ours / theirs; None if there is nothing to divide by.

    Both sequences hold one value per round, taken shortly after each other, so that what the
    machine did meanwhile is in both and drops out of the ratio.
    """
    pairs = [a / b for a, b in zip(ours, theirs, strict=True) if b > 0]
    return median(pairs) if pairs else None
