from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from db.engine import DatabaseUnavailable
from db.ids import timestamp_of
from db.reader.queries import Reader
from db.writer.results import MonitoringRun, add_load_test, add_monitoring_run, add_report


def test_reports_come_back_as_they_were_the_newest_first(database_url: str) -> None:
    first = add_report(database_url, {"drift": False}, version=1)
    second = add_report(database_url, {"drift": True, "since": None}, version=1)
    reader = Reader(database_url)
    found = reader.reports()
    reader.close()
    assert found == [
        {
            "id": second,
            "recorded_at": timestamp_of(second),
            "format": 1,
            "report": {"drift": True, "since": None},
        },
        {"id": first, "recorded_at": timestamp_of(first), "format": 1, "report": {"drift": False}},
    ]


def test_reports_of_another_kind_are_not_among_the_passes(database_url: str) -> None:
    add_report(database_url, {"changes": []}, version=1, kind="replay")
    reader = Reader(database_url)
    assert reader.reports() == []
    assert [row["report"] for row in reader.reports(kind="replay")] == [{"changes": []}]
    assert reader.monitoring_runs() == []
    reader.close()


def _pass(day: int, **changes: Any) -> MonitoringRun:
    values = {
        "source": "live",
        "model_version": "44136fa355b3",
        "since": datetime(2026, 11, day, tzinfo=UTC),
        "until": datetime(2026, 11, day + 1, tzinfo=UTC),
        "status": "green",
        "verdict": "Nothing has changed.",
    }
    return MonitoringRun(**values | changes)


def test_a_pass_over_the_same_window_is_kept_once(database_url: str) -> None:
    assert add_monitoring_run(database_url, {"n": 1}, _pass(1), version=1)
    assert not add_monitoring_run(database_url, {"n": 2}, _pass(1, status="red"), version=1)
    assert add_monitoring_run(database_url, {"n": 3}, _pass(1, source="replay"), version=1)
    reader = Reader(database_url)
    (found,) = reader.monitoring_runs(source="live")
    assert found["status"] == "green"
    assert reader.report(found["id"]) == {"n": 1}
    assert reader.has_monitoring_run(_pass(1).key)
    assert not reader.has_monitoring_run(_pass(2).key)
    reader.close()


def test_passes_are_ordered_by_what_they_look_at(database_url: str) -> None:
    for day in (2, 3, 1):  # the first day was caught up last
        add_monitoring_run(database_url, {}, _pass(day), version=1)
    reader = Reader(database_url)
    assert [row["since"].day for row in reader.monitoring_runs()] == [3, 2, 1]
    assert [row["since"].day for row in reader.monitoring_runs(limit=1)] == [3]
    assert reader.report("not an id") is None
    reader.close()


def test_load_tests_are_kept_with_their_kind(database_url: str) -> None:
    add_load_test(database_url, "wrk", {"p99_ms": 35.5})
    reader = Reader(database_url)
    (found,) = reader.load_tests(limit=1)
    reader.close()
    assert (found["kind"], found["summary"]) == ("wrk", {"p99_ms": 35.5})


def test_what_is_not_json_is_not_kept(sqlite_url: str) -> None:
    with pytest.raises(ValueError, match="JSON"):
        add_report(sqlite_url, {"p": float("nan")}, version=1)


def test_a_result_for_a_missing_database_says_so(empty_sqlite_url: str) -> None:
    with pytest.raises(DatabaseUnavailable, match=r"cardiowatch migrate"):
        add_load_test(empty_sqlite_url, "wrk", {})
