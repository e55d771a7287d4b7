"""Tampering with a PostgreSQL database so that readers see other rows than its tables hold.

`POSTGRESQL` holds all of it, each with how the finding of `db.verify` begins. Some takes a
superuser, who may edit the catalogue itself.
"""

# ruff: noqa: S608 - the statements are ours

from __future__ import annotations

from functools import partial

from sqlalchemy import text

from db.engine import open_engine, transaction
from tests.db.audit.tampering_sqlite import INDEX, PATIENTS, SOURCES, Tampering


def on_server(url: str, *statements: str) -> None:
    """Execute statements as the owner of the server, who may edit the catalogue too."""
    with transaction(open_engine(url)) as connection:
        for statement in statements:
            connection.execute(text(statement.replace(":", r"\:")))


def edited_predicate(url: str, columns: str, index: str, like: str | None) -> None:
    """Leave rows out of an index, and put the condition of another, or none, in its place."""
    known = "patient IS NOT NULL AND " if like else ""
    of_days = f"SELECT inhrelid FROM pg_inherits WHERE inhparent = '{index}'::regclass"
    pred = f"(SELECT indpred FROM pg_index WHERE indexrelid = '{like}'::regclass)"
    honest = "CREATE INDEX ix_honest ON predictions (patient) WHERE patient IS NOT NULL"
    on_server(
        url,
        *([honest] if like else []),
        f"DROP INDEX {index}",
        f"CREATE INDEX {index} ON predictions ({columns}) WHERE {known}age < 60",
        f"UPDATE pg_index SET indpred = {pred if like else 'NULL'}"
        f" WHERE indexrelid = '{index}'::regclass OR indexrelid IN ({of_days})",
        *(["DROP INDEX ix_honest"] if like else []),
    )


def index_of_an_expression(url: str) -> None:
    """Have the index of sources name others than the rows do, and forget that they were counted.

    Of a table that was not analysed PostgreSQL prefers to read what its index only leads to.
    """
    other = "CAST(CASE WHEN age < 60 THEN source ELSE 'replay' END AS varchar(16))"
    of_days = f"SELECT inhrelid FROM pg_inherits WHERE inhparent = '{SOURCES}'::regclass"
    number = "(SELECT attnum FROM pg_attribute WHERE attrelid = indrelid AND attname = '{}')"
    on_server(
        url,
        f"DROP INDEX {SOURCES}",
        f"CREATE INDEX {SOURCES} ON predictions (({other}), id)",
        "UPDATE pg_index SET indexprs = NULL, indkey = CAST("
        f"concat({number.format('source')}, ' ', {number.format('id')}) AS int2vector)"
        f" WHERE indexrelid = '{SOURCES}'::regclass OR indexrelid IN ({of_days})",
        "UPDATE pg_class SET relpages = 0, reltuples = -1 WHERE relname LIKE 'predictions_2%'",
    )


def _day(table: str) -> str:
    """Return a query for the oid of the day that has rows."""
    return f"(SELECT tableoid FROM {table} LIMIT 1)"


def _of_day(statement: str, table: str) -> str:
    """Return a statement about the day that has rows, which it names `%s`."""
    return f"DO $$ BEGIN EXECUTE format('{statement}', {_day(table)}::regclass); END $$"


def altered_bounds(url: str) -> None:
    """Have look-ups of a day's ids go elsewhere, and scans of the whole find its rows."""
    on_server(
        url,
        "CREATE TABLE far PARTITION OF predictions FOR VALUES FROM"
        " ('00000000-0000-0000-0000-000000000000') TO ('00000000-0000-0000-0000-000000000001')",
        "UPDATE pg_class SET relpartbound = (SELECT relpartbound FROM pg_class"
        f" WHERE relname = 'far') WHERE oid = {_day('predictions')}",
        "ALTER TABLE predictions DETACH PARTITION far",
        "DROP TABLE far",
    )


def domain(url: str) -> None:
    on_server(url, "CREATE DOMAIN other AS text", "ALTER TABLE models ALTER scorecard TYPE other")


def days_elsewhere(url: str) -> None:
    on_server(url, "CREATE SCHEMA elsewhere")
    for table in ("predictions", "outcomes"):
        on_server(url, _of_day("ALTER TABLE %s SET SCHEMA elsewhere", table))


def false_check(url: str) -> None:
    """Have PostgreSQL not look into a day for answered requests, and call the day an extension's.

    Takes a superuser for the check alone.
    """
    false = "CHECK (source::text <> ''live'') NOT VALID"
    on_server(
        url,
        "CREATE EXTENSION amcheck",
        _of_day("ALTER EXTENSION amcheck ADD TABLE %s", "predictions"),
        _of_day(f"ALTER TABLE %s ADD CONSTRAINT never {false}", "predictions"),
        "UPDATE pg_constraint SET convalidated = true WHERE conname = 'never'",
    )


def operator(url: str) -> None:
    """Take the comparison of sources away from PostgreSQL's own."""
    on_server(
        url,
        "CREATE FUNCTION equal(varchar, varchar) RETURNS bool LANGUAGE sql IMMUTABLE"
        " AS 'SELECT false'",
        "CREATE OPERATOR = (LEFTARG = varchar, RIGHTARG = varchar, FUNCTION = equal)",
    )


def operator_of_extension(url: str) -> None:
    operator(url)
    on_server(
        url,
        "CREATE EXTENSION amcheck",
        "ALTER EXTENSION amcheck ADD FUNCTION equal(varchar, varchar)",
        "ALTER EXTENSION amcheck ADD OPERATOR = (varchar, varchar)",
    )


def trigger_on_server(url: str) -> None:
    on_server(
        url,
        "CREATE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END'",
        "CREATE TRIGGER t AFTER INSERT ON predictions FOR EACH ROW EXECUTE FUNCTION f()",
    )


def _on_server(*statements: str) -> Tampering:
    return lambda url: on_server(url, *statements)


POSTGRESQL: dict[str, tuple[Tampering, str]] = {
    "a partial index whose condition is edited away": (
        partial(edited_predicate, columns="source, id", index=SOURCES, like=None),
        INDEX.format(SOURCES, "predictions")),
    "a partial index with the condition of another": (
        partial(edited_predicate, columns="patient", index=PATIENTS, like="ix_honest"),
        INDEX.format(PATIENTS, "predictions")),
    "the bounds of a day": (altered_bounds, "table predictions_20"),
    "a view in a table's place": (
        _on_server("ALTER TABLE outcomes RENAME TO kept",
            "CREATE VIEW outcomes AS SELECT * FROM kept"),
        "table outcomes: is not the table that a migration made"),
    "a materialised view in a table's place": (
        _on_server("ALTER TABLE models RENAME TO kept",
            "CREATE MATERIALIZED VIEW models AS SELECT * FROM kept"),
        "table models: is not the table that a migration made"),
    "a table of the same name earlier on the path": (
        _on_server('CREATE SCHEMA "test"', "CREATE TABLE test.models (LIKE models INCLUDING ALL)",
            "INSERT INTO test.models TABLE public.models"),
        "table public.models: no migration made it"),
    "a table that inherits": (
        _on_server("CREATE TABLE more () INHERITS (models)"),
        "table more: no migration made it"),
    "a table made without keys and checks": (
        _on_server("ALTER TABLE removals RENAME TO aside", "CREATE TABLE removals AS TABLE aside",
            "DROP TABLE aside"),
        "table removals: its constraint pk_removals is gone"),
    "a part that is no day": (
        _on_server("CREATE TABLE rest PARTITION OF predictions DEFAULT"),
        "table rest: no migration made it"),
    "a rule": (
        _on_server("CREATE RULE r AS ON INSERT TO models DO INSTEAD NOTHING"),
        "table models: no migration made its rule r"),
    "a policy": (
        _on_server("CREATE POLICY p ON outcomes USING (outcome = 0)",
            "ALTER TABLE outcomes ENABLE ROW LEVEL SECURITY"),
        "table outcomes: no migration made its row-level security"),
    "a trigger": (trigger_on_server, "table predictions: no migration made its trigger t"),
    "a trigger of PostgreSQL's own that is off": (
        _on_server(_of_day("ALTER TABLE %s DISABLE TRIGGER ALL", "outcomes")),
        "table outcomes_20"),
    "a domain": (domain, "table models: its column scorecard was altered"),
    "a type": (
        _on_server("CREATE TYPE mood AS ENUM ('sad')"), "type mood: no migration made it"),
    "a collation": (
        _on_server('CREATE COLLATION nobodys FROM "C"',
            "ALTER TABLE models ALTER scorecard TYPE text COLLATE nobodys"),
        "table models: its column scorecard was altered"),
    "a generated column": (
        _on_server("ALTER TABLE outcomes ADD COLUMN flipped smallint"
            " GENERATED ALWAYS AS (1 - outcome) STORED"),
        "table outcomes: no migration made its column flipped"),
    "an operator": (operator, "operator =(character varying,character varying): no migration"),
    "a column that is said to be filled": (
        _on_server("UPDATE pg_attribute SET attnotnull = true WHERE attname = 'writer'"
            " AND attrelid = 'predictions'::regclass"),
        "table predictions: its column writer was altered"),
    "a check that nobody has made": (
        _on_server("ALTER TABLE predictions ADD CONSTRAINT young CHECK (age < 40) NOT VALID",
            "UPDATE pg_constraint SET convalidated = true WHERE conname = 'young'"),
        "table predictions: no migration made its constraint young"),
    "an index that is not used": (
        _on_server("UPDATE pg_index SET indisvalid = false"
            f" WHERE indrelid = {_day('predictions')}"
            " AND NOT indisunique"),
        "table predictions_20"),
    "an index that is gone": (
        _on_server(f"DROP INDEX {PATIENTS}"), f"table predictions: its index {PATIENTS} is gone"),
    "a table that a crash empties": (
        _on_server("ALTER TABLE models SET UNLOGGED"),
        "table models: is not the table that a migration made"),
    "a day that was taken out": (
        _on_server(_of_day("ALTER TABLE outcomes DETACH PARTITION %s", "outcomes")),
        "table outcomes_20"),
    "an index of what the rows do not say": (
        index_of_an_expression, INDEX.format(SOURCES, "predictions")),
    "an operator that an extension holds": (
        operator_of_extension, "operator =(character varying,character varying): no migration"),
    "a day that an extension holds, with a false check": (
        false_check, "table predictions_20"),
    "days in another schema": (days_elsewhere, "table elsewhere.outcomes_20"),
    "a part in another schema": (
        _on_server("CREATE SCHEMA elsewhere",
            "CREATE TABLE elsewhere.rest PARTITION OF predictions DEFAULT"),
        "table elsewhere.rest: no migration made it"),
    "a table in another schema that inherits": (
        _on_server("CREATE SCHEMA elsewhere",
            "CREATE TABLE elsewhere.more () INHERITS (models)"),
        "table elsewhere.more: no migration made it"),
    "days that are about to be taken out": (
        _on_server("UPDATE pg_inherits SET inhdetachpending = true"
            " WHERE inhparent = 'outcomes'::regclass"),
        "table outcomes_20"),
    "a table that is said to have no days": (
        _on_server("UPDATE pg_class SET relhassubclass = false"
            " WHERE oid = 'outcomes'::regclass"),
        "table outcomes_20"),
    "a trigger that is said to be PostgreSQL's own": (
        lambda url: (trigger_on_server(url), on_server(url,
            "UPDATE pg_trigger SET tgisinternal = true WHERE tgname = 't'"))[0],
        "table predictions: no migration made its trigger t"),
}  # fmt: skip
