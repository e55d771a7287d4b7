"""wrk's output to numbers, with values that can be computed by hand."""

from __future__ import annotations

import pytest

from perf.formats.wrk import UnreadableOutput, WrkResult, median_ratio, parse_wrk

LINE = (
    'RESULT {"duration_us": 2000000, "answered": {"200": 900, "503": 90, "422": 10}, '
    '"hasty_503": 4, "timeouts": 3, "max_us": 800000, "connect": 1, "read": 2, "write": 0, '
    '"p50_us": 1500, "p90_us": 4000, "p99_us": 20000, "p999_us": 750250}'
)
OUTPUT = f"Running 2s test @ http://127.0.0.1:8000/predict\n  2 threads\n{LINE}\n"


@pytest.fixture
def result() -> WrkResult:
    return parse_wrk(OUTPUT)


def test_throughput_is_predictions_per_second_without_what_was_refused(result: WrkResult) -> None:
    assert result.ok_per_s == 900 / 2


def test_a_503_that_says_when_to_come_back_is_a_refusal_and_no_failure(result: WrkResult) -> None:
    assert result.refused == 90 - 4


def test_whatever_else_is_not_200_is_a_failure(result: WrkResult) -> None:
    # ten 422, four 503 without Retry-After, three timeouts, three socket errors
    assert result.failed == 10 + 4 + 3 + 3


def test_latencies_are_in_milliseconds(result: WrkResult) -> None:
    found = (result.p50_ms, result.p90_ms, result.p99_ms, result.p999_ms, result.max_ms)

    assert found == (1.5, 4.0, 20.0, 750.25, 800.0)


@pytest.mark.parametrize(
    "output",
    [
        "",
        "unable to connect to 127.0.0.1:8000 Connection refused\n",
        OUTPUT + LINE,
        "RESULT {}",
        "RESULT []",
        "RESULT nothing",
        LINE.replace('"p99_us": 20000, ', ""),
        LINE.replace('"200": 900', '"ok": 900'),
    ],
)
def test_output_without_one_whole_result_is_refused(output: str) -> None:
    with pytest.raises(UnreadableOutput):
        parse_wrk(output)


def test_the_ratio_is_the_median_of_the_rounds_own_ratios() -> None:
    # The third round was slow for both: 2, 4 and 3 times, so 3 and not 200 / 50 = 4.
    assert median_ratio([200, 400, 30], [100, 100, 10]) == 3


def test_there_is_no_ratio_to_a_service_that_answered_nothing() -> None:
    assert median_ratio([200, 400], [0, 0]) is None
