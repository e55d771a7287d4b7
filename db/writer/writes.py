"""The log's writes besides predictions; each function runs inside the writer's transaction."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, Final, Literal

from sqlalchemy import Connection, Select, func, insert, select, update

from db.audit.chain import Chain
from db.audit.seals import OUTCOME_COLUMNS, serialize_outcome
from db.engine import upsert
from db.ids import is_id, new_id, timestamp_ms, timestamp_of
from db.partitions import try_share_lock
from db.schema import SEAL_COLUMNS, models, outcomes, predictions

MAX_OUTCOMES_PER_KEY = 100
"""Of one prediction, by one API key: far more than corrections need."""

MAX_OUTCOME_CHANGES = 1_000
"""In total, if those beyond `MAX_OUTCOMES_PER_KEY` each change the newest outcome."""

TOO_MANY_OUTCOMES: Final = "full"
"""Returned instead of an outcome."""


def insert_outcome(
    connection: Connection,
    chain: Chain,
    prediction_id: str,
    outcome: int,
    observed_at: datetime | None,
    key_id: str | None,
) -> dict[str, Any] | Literal["full"] | None:
    """Append an outcome, sealed, and return it; None when there is no such prediction.

    A key's repeated outcome is not written again, as long as the newest outcome agrees.
    """
    if not _exists(connection, prediction_id):
        return None
    newest = connection.execute(_newest_first(prediction_id).limit(1)).first()
    if newest is not None:
        by_key = _newest_first(prediction_id).where(outcomes.c.key_id == key_id)
        before = connection.execute(by_key.limit(MAX_OUTCOMES_PER_KEY)).all()
        changes = outcome != newest.outcome
        if before and not changes and before[0][1:] == (outcome, observed_at):
            return _recorded(prediction_id, *before[0])
        if len(before) == MAX_OUTCOMES_PER_KEY and not (
            changes and _may_change(connection, by_key)
        ):
            return TOO_MANY_OUTCOMES
    outcome_id = new_id()
    if (
        newest is not None and outcome_id <= newest.id
    ):  # of the same millisecond: the later one counts
        outcome_id = new_id(timestamp_ms(newest.id) + 1)
    row = (prediction_id, outcome_id, outcome, observed_at, key_id)
    (seal,) = chain.seal(connection, [row], serialize_outcome)
    received_at = timestamp_of(prediction_id)
    names = (*OUTCOME_COLUMNS, *SEAL_COLUMNS, "received_at")
    values = dict(zip(names, (*row, *seal, received_at), strict=True))
    connection.execute(insert(outcomes), values)
    return _recorded(prediction_id, outcome_id, outcome, observed_at)


def _exists(connection: Connection, prediction_id: str) -> bool:
    """Return whether the prediction exists and its partition is not being dropped.

    Does not wait for the drop to end.
    """
    if not is_id(prediction_id):
        return False
    received_at, c = timestamp_of(prediction_id), predictions.c
    one = select(c.id).where(c.id == prediction_id, c.received_at == received_at)
    return (
        try_share_lock(connection, received_at.date())
        and connection.execute(one).first() is not None
    )


def _newest_first(prediction_id: str) -> Select[Any]:
    c = outcomes.c
    found = select(c.id, c.outcome, c.observed_at).where(c.prediction_id == prediction_id)
    return found.order_by(c.id.desc())


def _may_change(connection: Connection, by_key: Select[Any]) -> bool:
    few = by_key.limit(MAX_OUTCOME_CHANGES).subquery()
    return (connection.scalar(select(func.count()).select_from(few)) or 0) < MAX_OUTCOME_CHANGES


def _recorded(
    prediction_id: str, outcome_id: str, outcome: int, observed_at: datetime | None
) -> dict[str, Any]:
    return {
        "id": prediction_id,
        "outcome": outcome,
        "observed_at": observed_at,
        "recorded_at": timestamp_of(outcome_id),
    }


def insert_model(connection: Connection, version: str, scorecard: str) -> None:
    """Store a scorecard under its version, once."""
    connection.execute(
        upsert(connection, models).on_conflict_do_nothing(),
        {"version": version, "scorecard": scorecard, "first_used": datetime.now(UTC)},
    )


def check_writable(connection: Connection) -> None:
    """Rewrite one row unchanged, to check that the database can be written."""
    some_version = select(func.max(models.c.version)).scalar_subquery()
    connection.execute(
        update(models)
        .where(models.c.version == some_version)
        .values(first_used=models.c.first_used)
    )
