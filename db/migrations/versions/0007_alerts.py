"""Alerts of monitoring runs, and their messages until they are sent."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0007"
down_revision = "0006"

TIME = sa.DateTime(timezone=True)
ID = sa.String(36).with_variant(postgresql.UUID(as_uuid=False), "postgresql")


def upgrade() -> None:
    op.create_table(
        "alerts",
        sa.Column("id", ID),
        sa.Column("source", sa.String(16), nullable=False),
        sa.Column("opened_at", TIME, nullable=False),
        sa.Column("told_at", TIME, nullable=False),
        sa.Column("resolved_at", TIME),
        sa.Column("facts", sa.Text(), nullable=False),
        sa.Column("acknowledged_at", TIME),
        sa.Column("acknowledged_by", sa.String(64)),
        sa.Column("note", sa.String(200)),
        sa.PrimaryKeyConstraint("id", name="pk_alerts"),
    )
    unresolved = sa.text("resolved_at IS NULL")
    op.create_index(
        "ix_alerts_open", "alerts", ["source"], unique=True,
        sqlite_where=unresolved, postgresql_where=unresolved,
    )  # fmt: skip
    op.create_table(
        "alert_messages",
        sa.Column("id", ID),
        sa.Column("alert_id", ID, nullable=False),
        sa.Column("event", sa.String(16), nullable=False),
        sa.Column("receiver", sa.String(16), nullable=False),
        sa.Column("facts", sa.Text(), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("due_at", TIME, nullable=False),
        sa.Column("sent_at", TIME),
        sa.Column("error", sa.String(64)),
        sa.PrimaryKeyConstraint("id", name="pk_alert_messages"),
    )
