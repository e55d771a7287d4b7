"""API key, patient reference (HMAC) and seal of each row; the seals form a chain."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0004"
down_revision = "0003"

ID = sa.String(36).with_variant(postgresql.UUID(as_uuid=False), "postgresql")
TIME = sa.DateTime(timezone=True)


def upgrade() -> None:
    op.add_column("predictions", sa.Column("key_id", sa.String(64)))
    op.add_column("predictions", sa.Column("patient", sa.LargeBinary()))
    op.add_column("outcomes", sa.Column("key_id", sa.String(64)))
    for table in ("predictions", "outcomes"):
        op.add_column(table, sa.Column("writer", sa.Integer()))
        op.add_column(table, sa.Column("number", sa.BigInteger()))
        op.add_column(table, sa.Column("salt", sa.LargeBinary()))
        op.add_column(table, sa.Column("seal", sa.LargeBinary()))
    known = sa.text("patient IS NOT NULL")
    op.create_index(
        "ix_predictions_patient",
        "predictions",
        ["patient"],
        sqlite_where=known,
        postgresql_where=known,
    )
    op.create_table(
        "writers",
        sa.Column("id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("name", ID, nullable=False),
        sa.Column("format", sa.SmallInteger(), nullable=False),
        sa.Column("unsealed", sa.BigInteger(), nullable=False),
        sa.Column("seal", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_writers"),
    )
    op.create_table(
        "removals",
        sa.Column("writer", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("first", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("last", sa.BigInteger(), nullable=False),
        sa.Column("reason", sa.String(16), nullable=False),
        sa.Column("removed_at", TIME, nullable=False),
        sa.Column("digest", sa.LargeBinary()),
        sa.Column("seal", sa.LargeBinary()),
        sa.Column("signature", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("writer", "first", name="pk_removals"),
    )
