"""What the log writes besides predictions; each function runs inside the writer's transaction."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import Connection, delete, func, insert, select, update

from db.chain import Chain
from db.days import stays
from db.ids import is_id, new_id, time_of
from db.inserts import upsert
from db.seals import OUTCOME_COLUMNS, outcome_content
from db.tables import SEAL_COLUMNS, idempotency, models, outcomes, predictions

KEYS_KEPT = timedelta(hours=24)
"""For so long an idempotency key is remembered."""


def insert_outcome(
    connection: Connection,
    chain: Chain,
    prediction_id: str,
    outcome: int,
    observed_at: datetime | None,
    key_id: str | None,
) -> dict[str, Any] | None:
    """Append an outcome, sealed, and return it; None when there is no such prediction."""
    if not is_id(prediction_id):
        return None
    received_at = time_of(prediction_id)
    if not stays(connection, received_at.date()):
        return None  # its day is being dropped, and this transaction does not wait for that
    c = predictions.c
    one = select(c.id).where(c.id == prediction_id, c.received_at == received_at)
    if connection.execute(one).first() is None:
        return None
    outcome_id = new_id()
    row = (prediction_id, outcome_id, outcome, observed_at, key_id)
    (seal,) = chain.seal(connection, [row], outcome_content)
    names = (*OUTCOME_COLUMNS, *SEAL_COLUMNS, "received_at")
    values = dict(zip(names, (*row, *seal, received_at), strict=True))
    connection.execute(insert(outcomes), values)
    return {
        "id": prediction_id,
        "outcome": outcome,
        "observed_at": observed_at,
        "recorded_at": time_of(outcome_id),
    }


def remember_model(connection: Connection, version: str, scorecard: str) -> None:
    """Keep a scorecard under its version, once."""
    connection.execute(
        upsert(connection, models).on_conflict_do_nothing(),
        {"version": version, "scorecard": scorecard, "first_used": datetime.now(UTC)},
    )


def probe(connection: Connection) -> None:
    """Write one row as it is, to see whether the database can be written."""
    some_version = select(func.max(models.c.version)).scalar_subquery()
    connection.execute(
        update(models)
        .where(models.c.version == some_version)
        .values(first_used=models.c.first_used)
    )


def forget_old_keys(connection: Connection) -> None:
    """Delete the idempotency keys that are older than `KEYS_KEPT`."""
    oldest = datetime.now(UTC) - KEYS_KEPT
    connection.execute(delete(idempotency).where(idempotency.c.created_at < oldest))
