"""Load tests as `cardiowatch bench` keeps them, with figures that a reader can follow."""

from __future__ import annotations

from dataclasses import replace

from db.writer.results import add_load_test
from pipeline.load_tests.benchmark import (
    CARDIOWATCH,
    ECHO,
    KIND,
    NO_LOG,
    Benchmark,
    OpenLoop,
    Summary,
)

ENVIRONMENT = {
    "processor": "Example CPU", "cores": 2, "load": 0.1, "syncs_per_s": 490, "system": "Linux 6",
    "python": "3.11.7", "commit": "abc1234",
}  # fmt: skip


def summary(service: str, connections: int, ok_per_s: float, **changes: object) -> Summary:
    """A service whose answers take longer the more ask and the slower it is."""
    p50 = 1000 * connections / ok_per_s
    found = Summary(
        p50_ms=p50, p90_ms=1.5 * p50, p99_ms=2 * p50, p999_ms=3 * p50, max_ms=4 * p50, timeouts=0,
        service=service, connections=connections, threads=8, seconds=60, timeout_s=2, rounds=3,
        ok_per_s=ok_per_s, low=0.9 * ok_per_s, high=1.1 * ok_per_s, failed=0, refused=0,
        cpu_us=5e5 / ok_per_s, memory_mb=100, ok_ratio=ok_per_s / 5000, p99_ratio=5000 / ok_per_s,
        cpu_ratio=5000 / ok_per_s,
    )  # fmt: skip
    return replace(found, **changes)  # type: ignore[arg-type]


def benchmark(**changes: object) -> Benchmark:
    """Ours at 10,000 answers a second, twice the echo, p99 40 ms; textbook times out."""
    closed = [
        one
        for connections in (32, 200, 2000)
        for one in (
            summary(CARDIOWATCH, connections, 10_000),
            summary(NO_LOG, connections, 15_000),
            summary(ECHO, connections, 5_000),
            summary("textbook", connections, 200, timeouts=50, failed=50),
        )
    ]
    fixed = OpenLoop(3000, 2999, 15, 45_000, 0, 0, 2, 9, 12, 20, 0.5)
    found = Benchmark(
        environment=ENVIRONMENT,
        start_s={CARDIOWATCH: 1.2},
        closed_loop=closed,
        open_loop=[(CARDIOWATCH, fixed), (ECHO, replace(fixed, p99_ms=30, p999_ms=60))],
    )
    return replace(found, **changes)  # type: ignore[arg-type]


def store(url: str, found: Benchmark) -> None:
    """Keep it as `cardiowatch bench` does."""
    add_load_test(url, KIND, found.to_dict())
