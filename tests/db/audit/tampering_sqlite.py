"""Tampering with a SQLite file so that readers see other rows than its tables hold.

`SQLITE` holds all of it, each with how the finding of `db.verify` begins. The log is that of
`tests.db.audit.test_catalogue`.
"""

# ruff: noqa: S608 - the statements are ours

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import closing
from functools import partial

from db.schema import EXPORTED_COLUMNS, metadata

Tampering = Callable[[str], None]
"""Takes the database's URL."""

PATIENTS = "ix_predictions_patient"
SOURCES = "ix_predictions_source_id"


def on_file(url: str, *statements: str) -> None:
    """Execute statements on a SQLite file that anybody could."""
    with closing(sqlite3.connect(url.removeprefix("sqlite:///"), isolation_level=None)) as file:
        file.execute("PRAGMA writable_schema = ON")
        for statement in statements:
            file.execute(statement)


def rewritten(url: str, name: str, old: str, new: str) -> None:
    """Put other words into a definition, as SQLite will read it from now on."""
    with closing(sqlite3.connect(url.removeprefix("sqlite:///"), isolation_level=None)) as file:
        file.execute("PRAGMA writable_schema = ON")
        (sql,) = file.execute("SELECT sql FROM sqlite_master WHERE name = ?", [name]).fetchone()
        assert old in sql
        file.execute(
            "UPDATE sqlite_master SET sql = ? WHERE name = ?", [sql.replace(old, new), name]
        )
        version = file.execute("PRAGMA schema_version").fetchone()[0]
        file.execute(f"PRAGMA schema_version = {version + 1}")


def _copied(url: str, change: str) -> None:
    """Make a table `copy` of the predictions, and change its rows."""
    with closing(sqlite3.connect(url.removeprefix("sqlite:///"))) as file:
        question = "SELECT sql FROM sqlite_master WHERE name = 'predictions'"
        (sql,) = file.execute(question).fetchone()
    copy = sql.replace("TABLE predictions", "TABLE copy")
    on_file(url, copy, "INSERT INTO copy SELECT * FROM predictions", f"UPDATE copy SET {change}")


def covering_index_of_a_copy(url: str) -> None:
    """Have the ids' look-up answered by an index of all columns over an altered copy."""
    _copied(url, "age = 99")
    columns = ", ".join(column.name for column in EXPORTED_COLUMNS)
    on_file(url, f"CREATE INDEX ix_all ON copy ({columns})")
    rewritten(url, "ix_all", "ON copy", "ON predictions")
    on_file(
        url,
        "UPDATE sqlite_master SET tbl_name = 'predictions' WHERE name = 'ix_all'",
        "DELETE FROM sqlite_master WHERE name = 'copy'",
    )


def index_of_a_copy(url: str, index: str, change: str) -> None:
    """Have an index of ours read the pages of one over an altered copy."""
    _copied(url, change)
    with closing(sqlite3.connect(url.removeprefix("sqlite:///"))) as file:
        question = "SELECT sql FROM sqlite_master WHERE name = ?"
        (sql,) = file.execute(question, [index]).fetchone()
    on_file(
        url,
        sql.replace(index, "ix_copy").replace("predictions", "copy"),
        "UPDATE sqlite_master SET rootpage ="
        f" (SELECT rootpage FROM sqlite_master WHERE name = 'ix_copy') WHERE name = '{index}'",
        "DELETE FROM sqlite_master WHERE 'copy' IN (name, tbl_name)",
    )


def index_made_for_some(url: str, index: str, condition: str) -> None:
    """Leave rows out of an index, and its definition as it was."""
    with closing(sqlite3.connect(url.removeprefix("sqlite:///"))) as file:
        question = "SELECT sql FROM sqlite_master WHERE name = ?"
        (honest,) = file.execute(question, [index]).fetchone()
    join = " AND " if " WHERE " in honest else " WHERE "
    on_file(url, f"DROP INDEX {index}", f"{honest}{join}{condition}")
    rewritten(url, index, f"{join}{condition}", "")


def index_of_an_expression(url: str) -> None:
    """Have the index of sources name others than the rows do."""
    other = "CASE WHEN age < 60 THEN source ELSE 'replay' END"
    on_file(url, f"DROP INDEX {SOURCES}", f"CREATE INDEX {SOURCES} ON predictions ({other}, id)")
    rewritten(url, SOURCES, other, "source")


def key_was_descending(url: str, table: str, key: str) -> None:
    """Keep rows in another order than the definition, which is put right, says."""
    wrong = key.replace(")", " DESC)").replace(",", " DESC,")
    rewritten(url, table, key, wrong)
    columns = ", ".join(column.name for column in metadata.tables[table].columns)
    on_file(
        url,
        f"CREATE TEMP TABLE aside AS SELECT {columns} FROM main.{table} NOT INDEXED",
        f"DELETE FROM main.{table}",
        f"INSERT INTO main.{table} ({columns}) SELECT {columns} FROM temp.aside",
    )
    rewritten(url, table, wrong, key)


def without_keys(url: str, table: str) -> None:
    on_file(
        url,
        f"ALTER TABLE {table} RENAME TO aside",
        f"CREATE TABLE {table} AS SELECT * FROM aside",
        "DROP TABLE aside",
    )


def _on_file(*statements: str) -> Tampering:
    return lambda url: on_file(url, *statements)


KEY = "PRIMARY KEY (id, received_at)"
INDEX = "index {}: does not say what table {} holds"

SQLITE: dict[str, tuple[Tampering, str]] = {
    "a covering index over an altered copy": (
        covering_index_of_a_copy, "index ix_all: no migration made it"),
    "an index of ours over an altered copy": (
        partial(index_of_a_copy, index=SOURCES, change="source = 'replay'"),
        INDEX.format(SOURCES, "predictions")),
    "the index of patients over an altered copy": (
        partial(index_of_a_copy, index=PATIENTS, change="patient = x'00' WHERE age < 60"),
        INDEX.format(PATIENTS, "predictions")),
    "a partial index whose condition is edited away": (
        partial(index_made_for_some, index=SOURCES, condition="age < 60"),
        INDEX.format(SOURCES, "predictions")),
    "a partial index with less of a condition": (
        partial(index_made_for_some, index=PATIENTS, condition="age < 60"),
        INDEX.format(PATIENTS, "predictions")),
    "an index of another table for some rows": (
        partial(index_made_for_some, index="ix_reports_kind_key", condition="format = 2"),
        INDEX.format("ix_reports_kind_key", "reports")),
    "a primary key edited to DESC": (
        partial(rewritten, name="predictions", old=KEY, new="PRIMARY KEY (id DESC, received_at)"),
        "table predictions: its definition was altered"),
    "rows in the order of a key that was DESC": (
        partial(key_was_descending, table="predictions", key=KEY),
        "SQLite's integrity check: "),
    "outcomes in the order of a key that was DESC": (
        partial(key_was_descending, table="outcomes", key="PRIMARY KEY (prediction_id, id)"),
        "SQLite's integrity check: "),
    "a view of another case": (
        _on_file("ALTER TABLE outcomes RENAME TO kept",
            "CREATE VIEW Outcomes AS SELECT * FROM kept"),
        "view Outcomes: no migration made it"),
    "a virtual table": (
        _on_file("ALTER TABLE models RENAME TO kept",
            "CREATE VIRTUAL TABLE models USING fts5 (version, scorecard, first_used)",
            "INSERT INTO models SELECT * FROM kept"),
        "table models: its definition was altered"),
    "a table made without keys and checks": (
        partial(without_keys, table="removals"),
        "table removals: its definition was altered"),
    "a column that is said to be filled": (
        partial(rewritten, name="predictions", old="writer INTEGER",
            new="writer INTEGER NOT NULL"),
        "table predictions: its definition was altered"),
    "a space that is a letter": (
        partial(rewritten, name="predictions", old="probability DOUBLE NOT NULL",
            new="probability DOUBLE\N{NO-BREAK SPACE}NOT\N{NO-BREAK SPACE}NULL"),
        "table predictions: its definition was altered"),
    "a column that takes no notice of case": (
        partial(rewritten, name="predictions", old="source VARCHAR(16)",
            new="source VARCHAR(16) COLLATE NOCASE"),
        "table predictions: its definition was altered"),
    "a check that is gone": (
        partial(rewritten, name="predictions", old="CHECK (age BETWEEN 18 AND 120)",
            new="CHECK (1)"),
        "table predictions: its definition was altered"),
    "a generated column": (
        _on_file("ALTER TABLE outcomes ADD COLUMN flipped AS (1 - outcome)"),
        "table outcomes: its definition was altered"),
    "a trigger": (
        _on_file("CREATE TRIGGER t AFTER INSERT ON predictions"
            " BEGIN DELETE FROM rejections; END"),
        "trigger t: no migration made it"),
    "an index that is gone": (
        _on_file(f"DROP INDEX {PATIENTS}"),
        f"index {PATIENTS}: is gone"),
    "an index of another column": (
        _on_file(f"DROP INDEX {PATIENTS}",
            f"CREATE INDEX {PATIENTS} ON predictions (salt) WHERE patient IS NOT NULL"),
        f"index {PATIENTS}: its definition was altered"),
    "an index of what the rows do not say": (
        index_of_an_expression, INDEX.format(SOURCES, "predictions")),
    "the key's index of another table": (
        _on_file("UPDATE sqlite_master SET rootpage = (SELECT rootpage FROM"
            " sqlite_master WHERE name = 'sqlite_autoindex_reports_1')"
            " WHERE name = 'sqlite_autoindex_models_1'"),
        "SQLite's integrity check: "),
    "a table beside the others": (
        _on_file("CREATE TABLE notes (n)"),
        "table notes: no migration made it"),
}  # fmt: skip
