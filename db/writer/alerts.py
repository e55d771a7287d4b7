"""Alerts and their outbox.

An alert is one incident of one source: from its first red monitoring run to its next green one.
Its messages are queued in the transaction that stores the run, one for each receiver, and wait in
the database until they are sent (a transactional outbox). So none is lost, and one is sent twice
only if a program is killed between sending it and noting that: with the same id.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Any, NamedTuple

from sqlalchemy import Connection, and_, delete, func, insert, select, update

from db.ids import new_id
from db.schema import MONITORING, alert_messages, alerts, reports

REMIND_AFTER = timedelta(hours=20)
"""Runs are daily, and not to the minute."""
LEASE = timedelta(minutes=1)
"""How long a message belongs to the program that sends it."""
MAX_PAUSE = timedelta(hours=1)
MAX_NOTE = 200
MAX_NAME = 64


class Event(StrEnum):
    """What a message tells of an alert."""

    OPENED = "opened"
    REMINDER = "reminder"
    RESOLVED = "resolved"


class AlertMessage(NamedTuple):
    """A message to one receiver."""

    id: str
    alert_id: str
    event: str
    receiver: str
    facts: Mapping[str, Any]
    attempts: int
    """With the one that is under way."""
    opened_at: datetime
    """Of the alert."""


def record_status(
    connection: Connection,
    source: str,
    until: datetime,
    status: str,
    facts: Mapping[str, Any],
    receivers: Collection[str],
) -> None:
    """Open, continue or resolve the alert of a source after a monitoring run.

    Amber neither opens nor resolves one: too few patients are no sign that all is well. A run over
    an older window than the newest one tells nothing.

    Parameters
    ----------
    connection
        In the transaction that stores the run.
    source, until, status
        Of the run.
    facts
        What a message tells; JSON.
    receivers
        Each gets a message of its own.
    """
    runs = select(func.max(reports.c.until)).where(
        reports.c.kind == MONITORING, reports.c.source == source
    )
    if until < connection.execute(runs).scalar_one():
        return
    unresolved = select(alerts).where(alerts.c.source == source, alerts.c.resolved_at.is_(None))
    current = connection.execute(unresolved).mappings().first()
    now = datetime.now(UTC)
    if current is None:
        if status != "red":
            return
        alert_id, event = new_id(), Event.OPENED
        row = {"id": alert_id, "source": source, "opened_at": now, "told_at": now}
        connection.execute(insert(alerts), row | {"facts": json.dumps(facts)})
    else:
        alert_id = str(current["id"])
        if status == "green":
            event, change = Event.RESOLVED, {"resolved_at": now}
        elif (
            status == "red"
            and current["acknowledged_at"] is None
            and now - current["told_at"] >= REMIND_AFTER
        ):
            event, change = Event.REMINDER, {"told_at": now}
        else:
            return
        connection.execute(update(alerts).where(alerts.c.id == alert_id).values(change))
    for receiver in receivers:
        message = {
            "id": new_id(),
            "alert_id": alert_id,
            "event": event,
            "receiver": receiver,
            "facts": json.dumps(facts),
            "attempts": 0,
            "due_at": now,
        }
        connection.execute(insert(alert_messages), message)


def claim_message(connection: Connection, receivers: Collection[str]) -> AlertMessage | None:
    """Take the next message that is due, for as long as `LEASE`; None = nothing is due now.

    Messages to receivers that are no longer configured are deleted.
    """
    c, now = alert_messages.c, datetime.now(UTC)
    unsent = c.sent_at.is_(None)
    connection.execute(delete(alert_messages).where(unsent, c.receiver.not_in(receivers)))
    due = select(alert_messages, alerts.c.opened_at).where(
        alerts.c.id == c.alert_id, unsent, c.due_at <= now
    )
    # A receiver that does not answer must not delay the others.
    for row in connection.execute(due.order_by(c.attempts, c.id)).mappings().all():
        taken = and_(c.id == row["id"], c.attempts == row["attempts"], unsent)
        attempts = row["attempts"] + 1
        change = {"attempts": attempts, "due_at": now + LEASE}
        if connection.execute(update(alert_messages).where(taken).values(change)).rowcount:
            return AlertMessage(
                id=str(row["id"]),
                alert_id=str(row["alert_id"]),
                event=row["event"],
                receiver=row["receiver"],
                facts=json.loads(row["facts"]),
                attempts=attempts,
                opened_at=row["opened_at"],
            )
    return None


def settle_message(connection: Connection, message: AlertMessage, error: str | None) -> None:
    """Note that a message was sent, or why not: it is due again later, up to an hour."""
    c, now = alert_messages.c, datetime.now(UTC)
    if error is None:
        change: dict[str, Any] = {"sent_at": now, "error": None}
    else:
        pause = timedelta(seconds=2.0 ** min(message.attempts, 12))
        change = {"due_at": now + min(pause, MAX_PAUSE), "error": error}
    connection.execute(update(alert_messages).where(c.id == message.id).values(change))


def next_due(connection: Connection) -> datetime | None:
    """Return when the next unsent message is due; None = all are sent."""
    wanted = select(func.min(alert_messages.c.due_at)).where(alert_messages.c.sent_at.is_(None))
    due: datetime | None = connection.execute(wanted).scalar_one()
    return due


def acknowledge(
    connection: Connection, alert_id: str, by: str, note: str | None
) -> dict[str, Any] | None:
    """Acknowledge an alert, which ends its reminders; None = there is no such alert.

    A later call replaces the name and the note, so that a note can be erased.
    """
    c = alerts.c
    change = {
        "acknowledged_at": func.coalesce(c.acknowledged_at, datetime.now(UTC)),
        "acknowledged_by": by,
        "note": note,
    }
    changed = update(alerts).where(c.id == alert_id).values(change)
    columns = c.id, c.acknowledged_at, c.acknowledged_by, c.note
    row = connection.execute(changed.returning(*columns)).mappings().first()
    return None if row is None else dict(row)
