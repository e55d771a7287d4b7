"""Runs become medians, ratios and tables."""

from __future__ import annotations

import pytest

from perf.formats.wrk import WrkResult
from perf.load.report import Run, Scenario, closed_loop_table, open_loop_table, summarise
from pipeline.load_tests.benchmark import ECHO, OpenLoop

SCENARIO = Scenario(200, 8, 10)


def run(round_: int, service: str, ok: int, cpu_us: float | None = 100, timeouts: int = 0) -> Run:
    result = WrkResult(
        seconds=10, answered={200: ok}, p50_ms=1, p90_ms=2, p99_ms=ok / 10, p999_ms=4, max_ms=5,
        timeouts=timeouts, socket_errors=0, hasty_503=0,
    )  # fmt: skip
    return Run(round_, service, SCENARIO, result, cpu_us, 80)


@pytest.fixture
def runs() -> list[Run]:
    return [
        run(1, "ours", 2000, cpu_us=60), run(1, ECHO, 1000),
        run(2, "ours", 3000, cpu_us=70, timeouts=2), run(2, ECHO, 1000),
        run(3, "ours", 900, cpu_us=80, timeouts=1), run(3, ECHO, 300),
    ]  # fmt: skip


def test_a_summary_holds_the_median_of_the_rounds(runs: list[Run]) -> None:
    ours = summarise(runs)[0]

    assert (ours.ok_per_s, ours.low, ours.high) == (200, 90, 300)
    assert ours.cpu_us == 70


def test_ratios_are_taken_within_each_round(runs: list[Run]) -> None:
    ours, echo = summarise(runs)

    assert ours.ok_ratio == 3  # of 2, 3 and 3
    assert ours.cpu_ratio == 0.7  # of .6, .7 and .8
    assert echo.ok_ratio == 1


def test_failures_are_summed_not_averaged_away(runs: list[Run]) -> None:
    ours = summarise(runs)[0]

    assert (ours.timeouts, ours.failed) == (3, 3)


def test_a_round_that_was_cut_off_before_the_echo_is_in_no_ratio(runs: list[Run]) -> None:
    ours = summarise(runs[:-1])[0]

    assert ours.rounds == 3
    assert ours.ok_ratio == 2.5  # of 2 and 3


def test_without_the_echo_there_are_no_ratios(runs: list[Run]) -> None:
    ours = summarise([run for run in runs if run.service == "ours"])[0]

    assert ours.ok_ratio is None


def test_what_the_machine_does_not_tell_is_a_dash() -> None:
    table = closed_loop_table(summarise([run(1, "ours", 2000, cpu_us=None)]))

    assert "| ours | 200 | 200-200 | - | 1.0 | 200.0 | - | 0 | 0 | 0 | - | - | 80 |" in table


def test_the_open_loop_table_says_what_was_asked_and_what_was_answered() -> None:
    result = OpenLoop(
        rate=1000, achieved=998, seconds=10, ok=9980, failed=1, unanswered=19,
        p50_ms=2, p99_ms=8, p999_ms=9, max_ms=12, late_p99_ms=1,
    )  # fmt: skip

    line = "| ours | 1,000 | 998 | 2.0 | 8.0 | 9.0 | 12.0 | 1 | 19 | 1.0 |"
    assert line in open_loop_table([("ours", result)])
