"""What clinicians made of predictions."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

from db.partitions import create_partitions, partitions_before

revision = "0009"
down_revision = "0008"

ID = sa.String(36).with_variant(postgresql.UUID(as_uuid=False), "postgresql")


def upgrade() -> None:
    op.create_table(
        "responses",
        sa.Column("prediction_id", ID, nullable=False),
        sa.Column("id", ID, nullable=False),
        sa.Column("received_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("decision", sa.String(16), nullable=False),
        sa.Column("reason", sa.String(32)),
        sa.Column("action", sa.String(32)),
        sa.Column("actor", sa.LargeBinary()),
        sa.Column("key_id", sa.String(64)),
        sa.Column("writer", sa.Integer()),
        sa.Column("number", sa.BigInteger()),
        sa.Column("salt", sa.LargeBinary()),
        sa.Column("seal", sa.LargeBinary()),
        sa.PrimaryKeyConstraint("prediction_id", "id", name="pk_responses"),
        sa.ForeignKeyConstraint(
            ["prediction_id", "received_at"],
            ["predictions.id", "predictions.received_at"],
            name="fk_responses_predictions",
        ).ddl_if(dialect="sqlite"),
        sa.CheckConstraint(
            "decision = 'agree' OR decision = 'override'", name=op.f("ck_responses_decision")
        ),
        sqlite_with_rowid=False,
        postgresql_partition_by="RANGE (prediction_id)",
    )
    connection = op.get_bind()
    if connection.dialect.name == "postgresql":
        today = datetime.now(UTC).date()
        # The version before makes none, through an upgrade or after a rollback.
        ahead = {today + timedelta(days=days) for days in range(31)}
        days = ahead.union(partitions_before(connection, date.max))
        create_partitions(connection, days, ["predictions", "outcomes", "responses"])
