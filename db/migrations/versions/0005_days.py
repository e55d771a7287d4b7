"""Daily partitions, on PostgreSQL."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

from db.ids import lowest_id_of_ms, timestamp_of
from db.partitions import create_partitions, id_range

revision = "0005"
down_revision = "0004"

ID = sa.String(36).with_variant(postgresql.UUID(as_uuid=False), "postgresql")


def upgrade() -> None:
    if op.get_bind().dialect.name != "postgresql":
        return
    days = set(_days_of_rows())
    op.drop_constraint("fk_outcomes_predictions", "outcomes")
    _partition("predictions", ["id", "received_at"])
    _partition("outcomes", ["prediction_id", "id"])
    op.create_index("ix_predictions_source_id", "predictions", ["source", "id"])
    known = sa.text("patient IS NOT NULL")
    op.create_index("ix_predictions_patient", "predictions", ["patient"], postgresql_where=known)
    today = datetime.now(UTC).date()
    # The version before makes no days: it goes on through an upgrade, and a month after a rollback.
    ahead = {today + timedelta(days=days) for days in range(31)}
    create_partitions(op.get_bind(), days | ahead, ["predictions", "outcomes"])
    for table in ("predictions", "outcomes"):
        op.execute(f"INSERT INTO {table} TABLE {table}_before")
    for table in ("outcomes", "predictions"):
        op.drop_table(f"{table}_before")


def _partition(table: str, key: list[str]) -> None:
    """Set the table aside as <table>_before, and put an empty one with partitions in its place."""
    before = f"{table}_before"
    op.rename_table(table, before)
    op.execute(f"ALTER TABLE {before} DROP CONSTRAINT pk_{table}")
    if table == "predictions":
        op.drop_index("ix_predictions_source_id", before)
        op.drop_index("ix_predictions_patient", before)
    op.execute(
        f"CREATE TABLE {table} (LIKE {before} INCLUDING DEFAULTS INCLUDING CONSTRAINTS)"
        f" PARTITION BY RANGE ({key[0]})"
    )
    op.create_primary_key(f"pk_{table}", table, key)


def _days_of_rows() -> Iterator[date]:
    """Yield the days that have rows: one look per day, not one per row."""
    ids = sa.column("id", ID)
    after = sa.bindparam("after", type_=ID)
    next_id = sa.select(ids).select_from(sa.table("predictions")).where(ids >= after)
    next_id = next_id.order_by(ids).limit(1)
    position = lowest_id_of_ms(0)
    while found := op.get_bind().scalar(next_id, {"after": position}):
        yield timestamp_of(found).date()
        position = id_range(timestamp_of(found).date())[1]
