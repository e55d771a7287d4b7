"""The log's writes besides predictions; each function runs inside the writer's transaction."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from functools import partial
from typing import Any, Final, Literal

from sqlalchemy import Connection, Select, Table, func, insert, select, update

from db.audit.chain import Chain
from db.audit.seals import DEPENDENT_COLUMNS, serialize_dependent
from db.engine import upsert
from db.ids import is_id, new_id, timestamp_ms, timestamp_of
from db.partitions import try_share_lock
from db.schema import RECORDED_COLUMNS, SEAL_COLUMNS, models, predictions

MAX_PER_KEY = 100
"""Outcomes or responses of one prediction, by one API key: far more than corrections need."""

MAX_CHANGES = 1_000
"""In total, if those beyond `MAX_PER_KEY` each change the newest outcome or decision."""

TOO_MANY: Final = "full"
"""Returned instead of an outcome or response."""


def insert_dependent(
    connection: Connection, chain: Chain, table: Table, prediction_id: str, values: dict[str, Any]
) -> dict[str, Any] | Literal["full"] | None:
    """Append an outcome or a response, sealed, and return it; None = there is no such prediction.

    What a key repeats is not written again, as long as the newest outcome or decision agrees.

    Parameters
    ----------
    connection, chain
        Of the writer.
    table
        `outcomes` or `responses`.
    prediction_id
        What it is about.
    values
        Of its columns but for ids and seal.
    """
    if not _exists(connection, prediction_id):
        return None
    answer = RECORDED_COLUMNS[table][0]
    newest_first = select(table).where(table.c.prediction_id == prediction_id)
    newest_first = newest_first.order_by(table.c.id.desc())
    newest = connection.execute(newest_first.limit(1)).mappings().first()
    if newest is not None:
        by_key = newest_first.where(table.c.key_id == values["key_id"])
        before = connection.execute(by_key.limit(MAX_PER_KEY)).mappings().all()
        changes = values[answer.name] != newest[answer]
        if before and not changes and before[0].items() >= values.items():
            return _recorded(table, before[0])
        if len(before) == MAX_PER_KEY and not (changes and _may_change(connection, by_key)):
            return TOO_MANY
    new = new_id()
    if newest is not None and new <= newest["id"]:  # of the same millisecond: the later one counts
        new = new_id(timestamp_ms(newest["id"]) + 1)
    row = {"prediction_id": prediction_id, "id": new, **values}
    sealed = [row[name] for name in DEPENDENT_COLUMNS[table]]
    (seal,) = chain.seal(connection, [sealed], partial(serialize_dependent, table))
    seals = dict(zip(SEAL_COLUMNS, seal, strict=True))
    received_at = timestamp_of(prediction_id)
    connection.execute(insert(table), row | seals | {"received_at": received_at})
    return _recorded(table, row)


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


def _may_change(connection: Connection, by_key: Select[Any]) -> bool:
    few = by_key.limit(MAX_CHANGES).subquery()
    return (connection.scalar(select(func.count()).select_from(few)) or 0) < MAX_CHANGES


def _recorded(table: Table, row: Mapping[Any, Any]) -> dict[str, Any]:
    said = {c.name: row[c.name] for c in RECORDED_COLUMNS[table]}
    return {"id": row["prediction_id"], **said, "recorded_at": timestamp_of(row["id"])}


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
