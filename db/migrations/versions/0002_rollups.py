"""Rollups (value counts per time bucket), reports and load tests."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

from db.ids import lowest_id_of_ms, new_id, timestamp_ms

revision = "0002"
down_revision = "0001"

ID = sa.String(36).with_variant(postgresql.UUID(as_uuid=False), "postgresql")
TIME = sa.DateTime(timezone=True)
FIVE_MINUTES_S = 300


def upgrade() -> None:
    op.create_table(
        "rollups",
        sa.Column("width_s", sa.Integer(), nullable=False),
        sa.Column("feature", sa.String(16), nullable=False),
        sa.Column("bucket", sa.BigInteger(), nullable=False),
        sa.Column("source", sa.String(16), nullable=False),
        sa.Column("model_version", sa.String(64), nullable=False),
        sa.Column("value", sa.SmallInteger(), nullable=False),
        sa.Column("count", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint(
            "width_s", "feature", "bucket", "source", "model_version", "value", name="pk_rollups"
        ),
        sqlite_with_rowid=False,
    )
    unrolled = op.create_table(
        "unrolled",
        sa.Column("width_s", sa.Integer(), nullable=False),
        sa.Column("bucket", sa.BigInteger(), nullable=False),
        sa.Column("mark", ID, nullable=False),
        sa.PrimaryKeyConstraint("width_s", "bucket", name="pk_unrolled"),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "reports",
        sa.Column("id", ID, nullable=False),
        sa.Column("recorded_at", TIME, nullable=False),
        sa.Column("format", sa.Integer(), nullable=False),
        sa.Column("report", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_reports"),
    )
    op.create_table(
        "load_tests",
        sa.Column("id", ID, nullable=False),
        sa.Column("recorded_at", TIME, nullable=False),
        sa.Column("kind", sa.String(32), nullable=False),
        sa.Column("summary", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_load_tests"),
    )
    _mark_what_is_there(unrolled)


def _mark_what_is_there(unrolled: sa.Table) -> None:
    """Mark the buckets of the rows that came before: one look per bucket, not one per row."""
    ids = sa.column("id", ID)
    after = sa.bindparam("after", type_=ID)
    next_id = sa.select(ids).select_from(sa.table("predictions")).where(ids >= after)
    next_id = next_id.order_by(ids).limit(1)
    connection = op.get_bind()
    position = lowest_id_of_ms(0)
    while found := connection.scalar(next_id, {"after": position}):
        bucket = timestamp_ms(found) // 1000 // FIVE_MINUTES_S * FIVE_MINUTES_S
        mark = {"width_s": FIVE_MINUTES_S, "bucket": bucket, "mark": new_id()}
        connection.execute(unrolled.insert(), mark)
        position = lowest_id_of_ms((bucket + FIVE_MINUTES_S) * 1000)
