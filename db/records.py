"""What the log writes besides predictions; each function runs inside the writer's transaction."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any, Final, Literal

from sqlalchemy import Connection, delete, func, insert, select, tuple_, update

from db.chain import Chain
from db.days import stays
from db.ids import is_id, milliseconds, new_id, time_of
from db.inserts import upsert
from db.seals import OUTCOME_COLUMNS, outcome_content
from db.tables import SEAL_COLUMNS, idempotency, models, outcomes, predictions

KEYS_KEPT = timedelta(hours=24)
"""For so long an idempotency key is remembered."""

KEYS_AT_ONCE = 1_000
"""Keys deleted in one transaction, for which the log's next rows wait."""

OUTCOMES_MAX = 100
"""Of one prediction: far more than corrections take, and what a reader has to look through."""

FULL: Final = "full"
"""Instead of an outcome: there are `OUTCOMES_MAX`."""


def insert_outcome(
    connection: Connection,
    chain: Chain,
    prediction_id: str,
    outcome: int,
    observed_at: datetime | None,
    key_id: str | None,
) -> dict[str, Any] | Literal["full"] | None:
    """Append an outcome, sealed, and return it; None when there is no such prediction.

    What the newest one says already, from the same key, is not written again.
    """
    if not is_id(prediction_id):
        return None
    received_at = time_of(prediction_id)
    if not stays(connection, received_at.date()):
        return None  # its day is being dropped, and this transaction does not wait for that
    c = predictions.c
    one = select(c.id).where(c.id == prediction_id, c.received_at == received_at)
    if connection.execute(one).first() is None:
        return None
    said = (outcome, observed_at, key_id)
    of = outcomes.c
    known = select(of.id, of.outcome, of.observed_at, of.key_id).order_by(of.id.desc())
    before = connection.execute(
        known.where(of.prediction_id == prediction_id).limit(OUTCOMES_MAX)
    ).all()
    if before and before[0][1:] == said:
        return _recorded(prediction_id, *before[0][:3])
    if len(before) == OUTCOMES_MAX:
        return FULL
    outcome_id = new_id()
    if before and outcome_id <= before[0].id:  # of the same millisecond: the last one counts
        outcome_id = new_id(milliseconds(before[0].id) + 1)
    row = (prediction_id, outcome_id, *said)
    (seal,) = chain.seal(connection, [row], outcome_content)
    names = (*OUTCOME_COLUMNS, *SEAL_COLUMNS, "received_at")
    values = dict(zip(names, (*row, *seal, received_at), strict=True))
    connection.execute(insert(outcomes), values)
    return _recorded(prediction_id, outcome_id, outcome, observed_at)


def _recorded(
    prediction_id: str, outcome_id: str, outcome: int, observed_at: datetime | None
) -> dict[str, Any]:
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


def forget_old_keys(connection: Connection) -> int:
    """Delete some of the idempotency keys that are older than `KEYS_KEPT`; return how many."""
    c = idempotency.c
    old = select(c.scope, c.key).where(c.created_at < datetime.now(UTC) - KEYS_KEPT)
    some = old.order_by(c.created_at).limit(KEYS_AT_ONCE).with_for_update(skip_locked=True)
    return connection.execute(delete(idempotency).where(tuple_(c.scope, c.key).in_(some))).rowcount
