from __future__ import annotations

import pytest

from db.engine import DatabaseUnavailable
from db.ids import time_of
from db.migrate import migrate
from db.queries import Reader
from db.results import add_load_test, add_report


def test_reports_come_back_as_they_were_the_newest_first(database_url: str) -> None:
    migrate(database_url, lambda _: None)
    first = add_report(database_url, {"drift": False}, version=1)
    second = add_report(database_url, {"drift": True, "since": None}, version=1)
    reader = Reader(database_url)
    found = reader.reports()
    reader.close()
    assert found == [
        {
            "id": second,
            "recorded_at": time_of(second),
            "format": 1,
            "report": {"drift": True, "since": None},
        },
        {"id": first, "recorded_at": time_of(first), "format": 1, "report": {"drift": False}},
    ]


def test_load_tests_are_kept_with_their_kind(database_url: str) -> None:
    migrate(database_url, lambda _: None)
    add_load_test(database_url, "wrk", {"p99_ms": 35.5})
    reader = Reader(database_url)
    (found,) = reader.load_tests(limit=1)
    reader.close()
    assert (found["kind"], found["summary"]) == ("wrk", {"p99_ms": 35.5})


def test_what_is_not_json_is_not_kept(sqlite_url: str) -> None:
    migrate(sqlite_url, lambda _: None)
    with pytest.raises(ValueError, match="JSON"):
        add_report(sqlite_url, {"p": float("nan")}, version=1)


def test_a_result_for_a_missing_database_says_so(sqlite_url: str) -> None:
    with pytest.raises(DatabaseUnavailable, match=r"python -m db\.migrate"):
        add_load_test(sqlite_url, "wrk", {})
