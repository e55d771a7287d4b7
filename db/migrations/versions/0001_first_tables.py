"""The first tables."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0001"
down_revision = None

ID = sa.String(36).with_variant(postgresql.UUID(as_uuid=False), "postgresql")
TIME = sa.DateTime(timezone=True)


def upgrade() -> None:
    op.create_table(
        "predictions",
        sa.Column("id", ID, nullable=False),
        sa.Column("received_at", TIME, nullable=False),
        sa.Column("source", sa.String(16), nullable=False),
        sa.Column("age", sa.Double(), nullable=False),
        sa.Column("sex", sa.SmallInteger(), nullable=False),
        sa.Column("cp", sa.SmallInteger()),
        sa.Column("trestbps", sa.Double()),
        sa.Column("chol", sa.Double()),
        sa.Column("fbs", sa.SmallInteger()),
        sa.Column("restecg", sa.SmallInteger()),
        sa.Column("thalach", sa.Double()),
        sa.Column("exang", sa.SmallInteger()),
        sa.Column("oldpeak", sa.Double()),
        sa.Column("slope", sa.SmallInteger()),
        sa.Column("ca", sa.SmallInteger()),
        sa.Column("thal", sa.SmallInteger()),
        sa.Column("probability", sa.Double(), nullable=False),
        sa.Column("prediction", sa.SmallInteger(), nullable=False),
        sa.Column("threshold", sa.Double(), nullable=False),
        sa.Column("model_version", sa.String(64), nullable=False),
        sa.Column("latency_ms", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("id", "received_at", name="pk_predictions"),
        _one_of("source", "live", "what-if", "synthetic", "replay", "load-test"),
        _check("age", "BETWEEN 18 AND 120"),
        _one_of("sex", 0, 1),
        _one_of("cp", 1, 2, 3, 4),
        _check("trestbps", "BETWEEN 50 AND 300"),
        _check("chol", "BETWEEN 30 AND 1000"),
        _one_of("fbs", 0, 1),
        _one_of("restecg", 0, 1, 2),
        _check("thalach", "BETWEEN 30 AND 250"),
        _one_of("exang", 0, 1),
        _check("oldpeak", "BETWEEN -5 AND 10"),
        _one_of("slope", 1, 2, 3),
        _one_of("ca", 0, 1, 2, 3),
        _one_of("thal", 3, 6, 7),
        _check("probability", "BETWEEN 0 AND 1"),
        _one_of("prediction", 0, 1),
        _check("threshold", "BETWEEN 0 AND 1"),
        _check("latency_ms", ">= 0"),
        sqlite_with_rowid=False,
    )
    op.create_index("ix_predictions_source_id", "predictions", ["source", "id"])
    op.create_table(
        "outcomes",
        sa.Column("prediction_id", ID, nullable=False),
        sa.Column("id", ID, nullable=False),
        sa.Column("received_at", TIME, nullable=False),
        sa.Column("outcome", sa.SmallInteger(), nullable=False),
        sa.Column("observed_at", TIME),
        sa.PrimaryKeyConstraint("prediction_id", "id", name="pk_outcomes"),
        sa.ForeignKeyConstraint(
            ["prediction_id", "received_at"],
            ["predictions.id", "predictions.received_at"],
            name="fk_outcomes_predictions",
        ),
        sa.CheckConstraint("outcome = 0 OR outcome = 1", name=op.f("ck_outcomes_outcome")),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "models",
        sa.Column("version", sa.String(64), nullable=False),
        sa.Column("scorecard", sa.Text(), nullable=False),
        sa.Column("first_used", TIME, nullable=False),
        sa.PrimaryKeyConstraint("version", name="pk_models"),
    )
    op.create_table(
        "idempotency",
        sa.Column("scope", sa.String(128), nullable=False),
        sa.Column("key", sa.String(255), nullable=False),
        sa.Column("request_hash", sa.LargeBinary(), nullable=False),
        sa.Column("response", sa.LargeBinary(), nullable=False),
        sa.Column("created_at", TIME, nullable=False),
        sa.PrimaryKeyConstraint("scope", "key", name="pk_idempotency"),
        sqlite_with_rowid=False,
    )
    op.create_index("ix_idempotency_created_at", "idempotency", ["created_at"])
    op.create_table(
        "rejections",
        sa.Column("minute", TIME, nullable=False),
        sa.Column("route", sa.String(128), nullable=False),
        sa.Column("status", sa.SmallInteger(), nullable=False),
        sa.Column("field", sa.String(64), nullable=False),
        sa.Column("reason", sa.String(64), nullable=False),
        sa.Column("source", sa.String(16), nullable=False),
        sa.Column("count", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint(
            "minute", "route", "status", "field", "reason", "source", name="pk_rejections"
        ),
        sqlite_with_rowid=False,
    )


def _one_of(column: str, *values: object) -> sa.CheckConstraint:
    rule = " OR ".join(f"{column} = {value!r}" for value in values)
    return sa.CheckConstraint(rule, name=op.f(f"ck_predictions_{column}"))


def _check(column: str, rule: str) -> sa.CheckConstraint:
    return sa.CheckConstraint(f"{column} {rule}", name=op.f(f"ck_predictions_{column}"))
