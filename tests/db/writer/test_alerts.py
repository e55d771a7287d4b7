"""Alerts: one for an incident, and messages that are neither lost nor sent twice."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import select, update

from db.engine import open_engine, session, transaction
from db.schema import alert_messages, alerts
from db.writer import alerts as outbox
from db.writer.alerts import AlertMessage, acknowledge, claim_message, next_due, settle_message
from db.writer.results import MonitoringRun, add_monitoring_run


class Log:
    """A migrated database, with monitoring runs of one a day."""

    def __init__(self, url: str) -> None:
        self.url, self.engine = url, open_engine(url)

    def run(self, day: int, status: str, *receivers: str, source: str = "live") -> bool:
        since = datetime(2026, 11, day, tzinfo=UTC)
        done = MonitoringRun(source, "44136fa355b3", since, since + timedelta(days=1), status, "-")
        facts = {"day": day}
        return add_monitoring_run(
            self.url, {}, done, version=1, facts=facts, receivers=receivers or ("a",)
        )

    def messages(self) -> list[tuple[str, int]]:
        with session(self.engine) as connection:
            rows = connection.execute(select(alert_messages).order_by(alert_messages.c.id))
            return [(row.event, row.facts) for row in rows]

    def events(self) -> list[str]:
        return [event for event, _ in self.messages()]

    def claim(self, *receivers: str) -> AlertMessage | None:
        with transaction(self.engine) as connection:
            return claim_message(connection, receivers or ("a",))

    def settle(self, message: AlertMessage, error: str | None = None) -> None:
        with transaction(self.engine) as connection:
            settle_message(connection, message, error)

    def set(self, table: Any, **values: Any) -> None:
        with transaction(self.engine) as connection:
            connection.execute(update(table).values(values))

    def alert(self) -> dict[str, Any]:
        with session(self.engine) as connection:
            return dict(connection.execute(select(alerts)).mappings().one())


@pytest.fixture
def log(database_url: str) -> Iterator[Log]:
    log = Log(database_url)
    yield log
    log.engine.dispose()


def test_an_incident_is_one_alert_from_red_to_green(log: Log) -> None:
    for day, status in enumerate(["green", "amber", "red", "red", "amber", "green", "red"], 1):
        log.run(day, status)
    assert log.events() == ["opened", "resolved", "opened"]
    assert [facts for _, facts in log.messages()] == ['{"day": 3}', '{"day": 6}', '{"day": 7}']


def test_a_run_that_is_stored_twice_tells_once(log: Log) -> None:
    with ThreadPoolExecutor(4) as pool:
        stored = list(pool.map(lambda _: log.run(1, "red"), range(4)))
    assert (sum(stored), log.events()) == (1, ["opened"])


def test_each_source_has_its_own_alert(log: Log) -> None:
    log.run(1, "red")
    log.run(1, "red", source="synthetic")
    log.run(2, "green", source="synthetic")
    assert log.events() == ["opened", "opened", "resolved"]


def test_a_run_over_an_older_window_tells_nothing(log: Log) -> None:
    log.run(5, "red")
    log.run(3, "green")
    log.run(4, "red")
    assert log.events() == ["opened"]


def test_an_alert_is_recorded_where_nobody_is_told(log: Log) -> None:
    since = datetime(2026, 11, 1, tzinfo=UTC)
    done = MonitoringRun("live", "m", since, since + timedelta(days=1), "red", "-")
    add_monitoring_run(log.url, {}, done, version=1)
    assert (log.events(), log.alert()["resolved_at"]) == ([], None)


def test_a_reminder_comes_a_day_later_and_none_after_an_acknowledgement(log: Log) -> None:
    log.run(1, "red")
    log.set(alerts, told_at=datetime.now(UTC) - outbox.REMIND_AFTER)
    log.run(2, "red")
    log.run(3, "red")  # caught up in the same minute
    assert log.events() == ["opened", "reminder"]
    with transaction(log.engine) as connection:
        acknowledge(connection, str(log.alert()["id"]), "ann", None)
    log.set(alerts, told_at=datetime.now(UTC) - outbox.REMIND_AFTER)
    log.run(4, "red")
    log.run(5, "green")
    assert log.events() == ["opened", "reminder", "resolved"]


def test_an_acknowledgement_keeps_its_time_and_its_note_can_be_erased(log: Log) -> None:
    log.run(1, "red")
    alert_id = str(log.alert()["id"])
    with transaction(log.engine) as connection:
        first = acknowledge(connection, alert_id, "ann", "new laboratory")
        second = acknowledge(connection, alert_id, "ben", None)
        assert acknowledge(connection, "0199aa00-0000-7000-8000-000000000000", "ann", None) is None
    assert first is not None
    assert second is not None
    assert (first["note"], second["note"], second["acknowledged_by"]) == (
        "new laboratory", None, "ben",
    )  # fmt: skip
    assert first["acknowledged_at"] == second["acknowledged_at"]


def test_a_message_is_claimed_once_until_its_lease_ends(log: Log) -> None:
    log.run(1, "red")
    first = log.claim()
    assert first is not None
    assert (log.claim(), first.attempts, first.facts) == (None, 1, {"day": 1})
    log.set(alert_messages, due_at=datetime.now(UTC))  # its program was killed
    again = log.claim()
    assert again is not None
    assert (again.id, again.attempts) == (first.id, 2)
    log.settle(again)
    log.set(alert_messages, due_at=datetime.now(UTC))
    assert log.claim() is None


def test_of_many_programs_one_gets_a_message(log: Log) -> None:
    log.run(1, "red")
    with ThreadPoolExecutor(6) as pool:
        taken = list(pool.map(lambda _: log.claim(), range(6)))
    assert sum(message is not None for message in taken) == 1


def test_a_failed_message_is_due_again_later_and_after_the_others(log: Log) -> None:
    log.run(1, "red", "dead", "well")
    receivers = ("dead", "well")
    first, second = log.claim(*receivers), log.claim(*receivers)
    assert first is not None
    assert second is not None
    assert {first.receiver, second.receiver} == {"dead", "well"}
    log.settle(first, "ConnectTimeout")
    log.settle(second)
    with session(log.engine) as connection:
        due = next_due(connection)
    assert due is not None
    assert due > datetime.now(UTC)
    log.settle(first._replace(attempts=40), "ConnectTimeout")
    with session(log.engine) as connection:
        due = next_due(connection)
    assert due is not None
    assert due < datetime.now(UTC) + outbox.MAX_PAUSE + timedelta(minutes=1)


def test_messages_to_a_receiver_that_was_removed_are_dropped(log: Log) -> None:
    log.run(1, "red", "gone", "kept")
    message = log.claim("kept")
    assert message is not None
    assert (message.receiver, len(log.messages())) == ("kept", 1)
    log.settle(message)
    assert log.claim() is None  # what was sent is not deleted
    assert len(log.messages()) == 1
