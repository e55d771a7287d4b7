"""The record of an autoscaler, as kubectl prints it."""

from __future__ import annotations

import pytest

from perf.formats.kubectl import parse_hpa
from pipeline.load_tests.autoscaling import AutoscalerSample, UnreadableRecord, from_dict

HEAD = "NAME              REFERENCE                    TARGETS              MINPODS   MAXPODS   REPLICAS   AGE\n"  # noqa: E501
ROW = "cardiowatch-api   Deployment/cardiowatch-api   {}   1         3         {}          {}\n"
WATCHED = HEAD + "".join(
    ROW.format(*row)
    for row in (
        ("cpu: <unknown>/70%", 1, "90s"),
        ("cpu: 12%/70%", 1, "119s"),
        ("cpu: 210%/70%", 1, "2m15s"),
        ("cpu: 210%/70%", 3, "2m30s"),
        ("cpu: 60%/70%", 3, "10m"),
        ("cpu: 5%/70%", 1, "1h2m"),
    )
)


def test_each_line_is_a_moment_counted_from_the_first() -> None:
    found = parse_hpa(WATCHED)

    assert (found.name, found.target, found.fewest, found.most) == ("cardiowatch-api", 70, 1, 3)
    assert found.moments == [
        AutoscalerSample(0, None, 1), AutoscalerSample(29, 12, 1),
        AutoscalerSample(45, 210, 1), AutoscalerSample(60, 210, 3),
        AutoscalerSample(510, 60, 3), AutoscalerSample(3630, 5, 1),
    ]  # fmt: skip
    assert found.peak == 3
    assert (found.first_time(over=True), found.first_time(pods=2), found.first_time(pods=4)) == (
        45,
        60,
        None,
    )


def test_a_time_before_the_line_is_more_exact_than_the_age() -> None:
    lines = HEAD + "2026-11-25T20:00:00Z " + ROW.format("cpu: 12%/70%", 1, "20m")
    found = parse_hpa(lines + "2026-11-25T20:00:15Z " + ROW.format("cpu: 90%/70%", 2, "20m"))

    assert [moment.at_s for moment in found.moments] == [0, 15]


@pytest.mark.parametrize(
    "targets", ["12%/70%", "cpu: 12%/70%, 40/500 (avg)", "40/500 (avg), 12%/70%"]
)
def test_older_forms_and_further_metrics_are_understood(targets: str) -> None:
    assert parse_hpa(HEAD + ROW.format(targets, 1, "5m")).moments[0].cpu == 12


def test_what_is_kept_comes_back() -> None:
    found = parse_hpa(WATCHED)

    assert from_dict(found.to_dict()) == found
    with pytest.raises(UnreadableRecord, match="format 9"):
        from_dict({"format": 9})


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "no autoscaler in it"),
        ("error: the server could not find the resource\n", "no autoscaler in it"),
        (HEAD + ROW.format("40/500 (avg)", 1, "5m"), "no CPU"),
        (HEAD + ROW.format("12%/70%", "one", "5m"), "cannot be read"),
        (HEAD + ROW.format("12%/70%", 1, "soon"), "age 'soon'"),
        (WATCHED + ROW.format("12%/70%", 1, "5m").replace("watch-api ", "watch-web ", 1),
         "several autoscalers"),
    ],
)  # fmt: skip
def test_what_cannot_be_read_is_said(text: str, says: str) -> None:
    with pytest.raises(UnreadableRecord, match=says):
        parse_hpa(text)
