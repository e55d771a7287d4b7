"""What perf keeps is what the dashboard reads."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from pipeline.load_tests.benchmark import (
    CARDIOWATCH,
    ECHO,
    Benchmark,
    OpenLoop,
    Summary,
    UnreadableBenchmark,
    from_dict,
)

SUMMARY = Summary(
    p50_ms=10, p90_ms=20, p99_ms=30, p999_ms=40, max_ms=50, timeouts=0, service=CARDIOWATCH,
    connections=200, threads=8, seconds=60, timeout_s=2, rounds=3, ok_per_s=10_000, low=9_000,
    high=11_000, failed=0, refused=0, cpu_us=90, memory_mb=110, ok_ratio=1.9, p99_ratio=0.4,
    cpu_ratio=None,
)  # fmt: skip
OPEN = OpenLoop(3000, 2999, 15, 45_000, 0, 0, 2, 9, 12, 20, 0.5)
BENCHMARK = Benchmark(
    environment={"processor": "A", "load": 0.1},
    start_s={CARDIOWATCH: 1.2},
    closed_loop=[replace(SUMMARY, connections=32), SUMMARY, replace(SUMMARY, service=ECHO)],
    open_loop=[(CARDIOWATCH, OPEN)],
)


def kept() -> dict[str, Any]:
    return json.loads(json.dumps(BENCHMARK.to_dict(), allow_nan=False))


def test_a_benchmark_comes_back_from_json_as_it_was() -> None:
    assert from_dict(kept()) == BENCHMARK


def test_a_field_that_a_newer_program_added_is_passed_over() -> None:
    newer = kept()
    newer["closed_loop"][0]["colour"] = "red"
    assert from_dict(newer) == BENCHMARK


@pytest.mark.parametrize("broken", [{}, {"format": 2}, {"format": 1}])
def test_what_is_not_of_this_format_is_refused(broken: dict[str, Any]) -> None:
    with pytest.raises(UnreadableBenchmark):
        from_dict(broken)


def test_a_summary_without_a_field_is_refused() -> None:
    old = kept()
    del old["closed_loop"][0]["p99_ms"]
    with pytest.raises(UnreadableBenchmark, match="p99_ms"):
        from_dict(old)


def test_the_result_nearest_to_200_connections_speaks_for_a_service() -> None:
    assert BENCHMARK.nearest(CARDIOWATCH) == SUMMARY
    assert BENCHMARK.nearest("textbook") is None
    assert BENCHMARK.connections == [32, 200]
