"""The tables, declared once for SQLite and PostgreSQL; created by migrations/.

Features are stored as UCI codes. `predictions` is clustered on (id, received_at): an id carries its
time, so the one primary key serves look-ups, time windows and, on PostgreSQL, partitions by day
(created with their foreign keys by db.partitions).
"""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    DateTime,
    Dialect,
    Double,
    ForeignKeyConstraint,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    SmallInteger,
    String,
    Table,
    Text,
    TypeDecorator,
    text,
)
from sqlalchemy.dialects import postgresql
from sqlalchemy.types import TypeEngine

from pipeline.schema import FEATURES, Feature, Kind

REVISION = max(path.name for path in Path(__file__).parent.glob("migrations/versions/[0-9]*.py"))[
    :4
]
"""The newest migration; a database below it is refused with a sentence that says what to do."""

SOURCES = ("live", "what-if", "synthetic", "replay", "load-test")
"""Origin of a prediction. Pages and monitoring read `live` unless another one is chosen."""

DECISIONS = ("agree", "override")
"""What a clinician made of a prediction."""

DEFAULT_SOURCES = ("live", "synthetic", "replay")
"""Sources tried when none is chosen: the first that has rows."""


class UtcDateTime(TypeDecorator[datetime]):
    """A time with a time zone, stored in UTC; in SQLite as text, which sorts like the time."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Convert to UTC; raise ValueError for a time without a time zone."""
        if value is not None and value.tzinfo is None:
            raise ValueError("a time without a zone is ambiguous")
        return value if value is None else value.astimezone(UTC)

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Add the time zone to SQLite's times."""
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


_NAME, _STEPS = 16, 32_767  # of `rollups.feature` and `rollups.value`

ID = String(36).with_variant(postgresql.UUID(as_uuid=False), "postgresql")


def feature_column(feature: Feature) -> Column[Any]:
    """Return a feature's column: measurements are doubles, codes and counts small integers."""
    steps = max(abs(feature.low), abs(feature.high)) / feature.step
    if len(feature.name) > _NAME or steps > _STEPS:
        raise ValueError(
            f"feature {feature.name}: its name has more than {_NAME} letters, or its values more "
            f"than {_STEPS:,} steps, which the table rollups does not hold"
        )
    kind: TypeEngine[Any] = Double() if feature.kind is Kind.NUMBER else SmallInteger()
    return Column(feature.name, kind, nullable=not feature.required)


def one_of(column: str, *values: object) -> str:
    """Return the condition that a column holds one of some values (or NULL).

    As alternatives: SQLite builds a table of the values of `IN (...)` for every row, which took 14
    of the 20 us of a row.
    """
    return " OR ".join(f"{column} = {value!r}" for value in values)


def feature_check(feature: Feature) -> CheckConstraint:
    """Return the constraint for a feature's plausible limits or codes."""
    if feature.kind is Kind.NUMBER:
        rule = f"{feature.name} BETWEEN {feature.low:.10g} AND {feature.high:.10g}"
    else:
        rule = one_of(feature.name, *sorted(feature.values))
    return CheckConstraint(rule, name=feature.name)


def seal_columns() -> list[Column[Any]]:
    """Return the columns of an entry's seal; NULL in rows from before the chain, or without a key.

    `number` counts a writer's entries, those of all sealed tables together, from 1.
    """
    return [
        Column("writer", Integer),
        Column("number", BigInteger),
        Column("salt", LargeBinary),
        Column("seal", LargeBinary),
    ]


metadata = MetaData(
    naming_convention={
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "fk": "fk_%(table_name)s_%(referred_table_name)s",
        "pk": "pk_%(table_name)s",
    }
)

predictions = Table(
    "predictions",
    metadata,
    Column("id", ID, primary_key=True),
    Column("received_at", UtcDateTime, primary_key=True),
    Column("source", String(16), nullable=False),
    *(feature_column(feature) for feature in FEATURES),
    Column("probability", Double, nullable=False),
    Column("prediction", SmallInteger, nullable=False),
    Column("threshold", Double, nullable=False),
    Column("model_version", String(64), nullable=False),
    Column("latency_ms", Double, nullable=False),
    Column("key_id", String(64)),  # of the caller's API key; NULL without API keys
    Column("patient", LargeBinary),  # HMAC of the Patient-Reference, if one was sent
    Column("actor", LargeBinary),  # HMAC of the Acting-User, if one was sent
    *seal_columns(),
    CheckConstraint(one_of("source", *SOURCES), name="source"),
    *(feature_check(feature) for feature in FEATURES),
    CheckConstraint("probability BETWEEN 0 AND 1", name="probability"),
    CheckConstraint(one_of("prediction", 0, 1), name="prediction"),
    CheckConstraint("threshold BETWEEN 0 AND 1", name="threshold"),
    CheckConstraint("latency_ms >= 0", name="latency_ms"),
    Index("ix_predictions_source_id", "source", "id"),
    Index(
        "ix_predictions_patient",
        "patient",
        sqlite_where=text("patient IS NOT NULL"),
        postgresql_where=text("patient IS NOT NULL"),
    ),
    sqlite_with_rowid=False,
    postgresql_partition_by="RANGE (id)",
)

SEAL_COLUMNS = tuple(column.name for column in seal_columns())

PREDICTION_COLUMNS = tuple(
    str(c.name) for c in predictions.columns if c.name not in ("received_at", *SEAL_COLUMNS)
)
"""The order of a row's values in `LogWriter.append`; `received_at` follows from the id."""

EXPORTED_COLUMNS = tuple(
    c for c in predictions.columns if c.name not in ("patient", "actor", *SEAL_COLUMNS)
)
"""The columns of a prediction that are read and exported."""


def _dependent_table(name: str, *columns: Column[Any] | CheckConstraint) -> Table:
    """Return a table of what was recorded about predictions later, with these columns.

    Append-only; the id is a UUIDv7 too, so the newest entry is the one with the highest id.
    """
    return Table(
        name,
        metadata,
        Column("prediction_id", ID, primary_key=True),
        Column("id", ID, primary_key=True),
        Column("received_at", UtcDateTime, nullable=False),  # of the prediction
        *columns,
        Column("key_id", String(64)),
        *seal_columns(),
        ForeignKeyConstraint(
            ["prediction_id", "received_at"], ["predictions.id", "predictions.received_at"]
        ).ddl_if(dialect="sqlite"),
        sqlite_with_rowid=False,
        postgresql_partition_by="RANGE (prediction_id)",
    )


outcomes = _dependent_table(
    "outcomes",
    Column("outcome", SmallInteger, nullable=False),
    Column("observed_at", UtcDateTime),
    CheckConstraint(one_of("outcome", 0, 1), name="outcome"),
)

responses = _dependent_table(
    "responses",
    Column("decision", String(16), nullable=False),
    Column("reason", String(32)),
    Column("action", String(32)),
    Column("actor", LargeBinary),  # HMAC of the Acting-User, if one was sent
    CheckConstraint(one_of("decision", *DECISIONS), name="decision"),
)

DEPENDENT_TABLES = (outcomes, responses)
"""What was recorded about predictions later; removed with them."""

PARTITIONED_TABLES = (predictions, *DEPENDENT_TABLES)
LOG_TABLES = ", ".join(table.name for table in PARTITIONED_TABLES)

_OF_THE_ENTRY = ("prediction_id", "id", "received_at", "key_id", "actor", *SEAL_COLUMNS)
RECORDED_COLUMNS = {
    table: tuple(c for c in table.columns if c.name not in _OF_THE_ENTRY)
    for table in DEPENDENT_TABLES
}
"""What was recorded: returned, read and exported, of the newest entry about a prediction."""

writers = Table(
    "writers",
    metadata,
    # One row per committing thread of a process that sealed entries (db.audit.chain).
    Column("id", Integer, primary_key=True, autoincrement=False),
    Column("name", ID, nullable=False),  # a UUIDv7, so it carries the writer's start
    Column("format", SmallInteger, nullable=False),  # of its entries' content
    Column("unsealed", BigInteger, nullable=False),  # rows without a seal when the first one began
    Column("seal", LargeBinary, nullable=False),
    Column("columns", Text),  # that it seals (db.audit.seals); NULL in format 1
    Column("signature", LargeBinary),  # of the columns
)

tombstones = Table(
    "removals",
    metadata,
    # Signed records of removed entries (db.audit.tombstones). Writer 0: rows without a seal.
    Column("writer", Integer, primary_key=True, autoincrement=False),
    Column("first", BigInteger, primary_key=True, autoincrement=False),
    Column("last", BigInteger, nullable=False),
    Column("reason", String(16), nullable=False),
    Column("removed_at", UtcDateTime, nullable=False),
    Column("digest", LargeBinary),  # of the one entry that was erased
    Column("seal", LargeBinary),  # of the last entry
    Column("signature", LargeBinary, nullable=False),
)

models = Table(
    "models",
    metadata,
    Column("version", String(64), primary_key=True),
    Column("scorecard", Text, nullable=False),
    Column("first_used", UtcDateTime, nullable=False),
)

idempotency = Table(
    "idempotency",
    metadata,
    Column("scope", String(128), primary_key=True),
    Column("key", String(255), primary_key=True),
    Column("request_hash", LargeBinary, nullable=False),
    Column("response", LargeBinary, nullable=False),
    Column("created_at", UtcDateTime, nullable=False),
    Index("ix_idempotency_created_at", "created_at"),
    sqlite_with_rowid=False,
)

rejections = Table(
    "rejections",
    metadata,
    Column("minute", UtcDateTime, primary_key=True),
    Column("route", String(128), primary_key=True),
    Column("status", SmallInteger, primary_key=True),
    Column("field", String(64), primary_key=True),
    Column("reason", String(64), primary_key=True),
    Column("source", String(16), primary_key=True),
    Column("count", Integer, nullable=False),
    sqlite_with_rowid=False,
)

rollups = Table(
    "rollups",
    metadata,
    # Feature before bucket: a chart reads the history of one feature in one range.
    Column("width_s", Integer, primary_key=True, autoincrement=False),
    Column("feature", String(16), primary_key=True),
    Column("bucket", BigInteger, primary_key=True, autoincrement=False),  # its first second of 1970
    Column("source", String(16), primary_key=True),
    Column("model_version", String(64), primary_key=True),
    Column("value", SmallInteger, primary_key=True, autoincrement=False),  # whole `Feature.step`s
    Column("count", BigInteger, nullable=False),
    sqlite_with_rowid=False,
)

dirty_buckets = Table(
    "unrolled",
    metadata,
    # Buckets with rows that their rollup does not count yet; a new mark = more rows have come.
    Column("width_s", Integer, primary_key=True, autoincrement=False),
    Column("bucket", BigInteger, primary_key=True, autoincrement=False),
    Column("mark", ID, nullable=False),
    sqlite_with_rowid=False,
)

MONITORING = "monitoring"
"""The kind of report that a monitoring run writes."""

reports = Table(
    "reports",
    metadata,
    Column("id", ID, primary_key=True),
    Column("recorded_at", UtcDateTime, nullable=False),
    Column("format", Integer, nullable=False),
    Column("report", Text, nullable=False),
    Column("kind", String(32), nullable=False, server_default=MONITORING),
    # Of monitoring runs, so that a history is read without their reports.
    Column("key", String(200)),  # unique per run; other kinds have none
    Column("source", String(16)),
    Column("since", UtcDateTime),
    Column("until", UtcDateTime),
    Column("status", String(8)),
    Column("verdict", Text),
    Index("ix_reports_kind_key", "kind", "key", unique=True),
    Index("ix_reports_kind_source_until", "kind", "source", "until"),
)

load_tests = Table(
    "load_tests",
    metadata,
    Column("id", ID, primary_key=True),
    Column("recorded_at", UtcDateTime, nullable=False),
    Column("kind", String(32), nullable=False),
    Column("summary", Text, nullable=False),
)

alerts = Table(
    "alerts",
    metadata,
    # One from the first red monitoring run of a source to its next green one.
    Column("id", ID, primary_key=True),
    Column("source", String(16), nullable=False),
    Column("opened_at", UtcDateTime, nullable=False),
    Column("told_at", UtcDateTime, nullable=False),  # when its newest message was queued
    Column("resolved_at", UtcDateTime),
    Column("facts", Text, nullable=False),  # of the first red run (pipeline.monitoring.alerts)
    Column("acknowledged_at", UtcDateTime),
    Column("acknowledged_by", String(64)),
    Column("note", String(200)),
    Index(
        "ix_alerts_open",
        "source",
        unique=True,
        sqlite_where=text("resolved_at IS NULL"),
        postgresql_where=text("resolved_at IS NULL"),
    ),
)

alert_messages = Table(
    "alert_messages",
    metadata,
    # An outbox: one row for each message and receiver, queued with the monitoring run.
    Column("id", ID, primary_key=True),
    Column("alert_id", ID, nullable=False),
    Column("event", String(16), nullable=False),
    Column("receiver", String(16), nullable=False),  # the start of its address's SHA-256
    Column("facts", Text, nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("due_at", UtcDateTime, nullable=False),  # of the next attempt; during one, its lease
    Column("sent_at", UtcDateTime),
    Column("error", String(64)),  # of the last attempt: never an address
)
