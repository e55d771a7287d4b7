"""Compare the database's catalogue with what the migrations make.

The verifier and the readers ask different questions, so whoever may write the database can have
them answered from different places: by a view, an index over other rows, a key in another order, a
policy or an operator. `catalogue.json` describes what the migrations make; any difference is a
finding. On PostgreSQL the schemas of the search path belong to the log alone, but for extensions
in C.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path

import msgspec
from sqlalchemy import Connection, Engine, text

from db.engine import DatabaseUnavailable, session
from db.partitions import day_of, id_range, partition_name
from db.schema import REVISION, feature_check
from pipeline.schema import FEATURES, Feature

EXPECTED = Path(__file__).with_suffix(".json")
"""What the migrations make on each database, without the days and newer features."""

Description = dict[str, dict[str, str]]
"""Each object's parts with their definitions."""


def check_catalogue(engine: Engine) -> None:
    """Reject a database whose catalogue differs from what this program's migrations make.

    One of a newer program is let through: during an upgrade old processes run on its tables.

    Raises
    ------
    DatabaseUnavailable
        There is a difference, or the database cannot be read.
    """
    with session(engine) as connection:
        revision = connection.scalar(text("SELECT version_num FROM alembic_version"))
        found = next(differences(connection), None) if revision == REVISION else None
    if found:
        raise DatabaseUnavailable(
            f"The database's catalogue is not what the migrations make ({found}): run "
            "cardiowatch verify (docs/record.md)."
        )


def differences(connection: Connection) -> Iterator[str]:
    """Yield a sentence for each difference from what the migrations make."""
    found = describe(connection)
    made = msgspec.json.decode(EXPECTED.read_bytes(), type=dict[str, Description])
    expected = made[connection.dialect.name]
    _add_features(expected["table predictions"])
    expected |= _days(found, expected)
    for name in sorted(found.keys() | expected.keys()):
        if name not in found:
            yield f"{name}: is gone"
        elif name not in expected:
            yield f"{name}: no migration made it"
        else:
            yield from _parts(name, found[name], expected[name])


def _parts(name: str, found: Mapping[str, str], expected: Mapping[str, str]) -> Iterator[str]:
    if found.get("kind") != expected.get("kind"):
        yield f"{name}: is not the table that a migration made"
        return
    for part in sorted(found.keys() | expected.keys()):
        if part not in found:
            yield f"{name}: its {part} is gone"
        elif part not in expected:
            yield f"{name}: no migration made its {part}"
        elif found[part] != expected[part]:
            yield f"{name}: its {part} was altered"


def _add_features(table: dict[str, str]) -> None:
    """Add to a description of `predictions` the features that are not in it yet.

    Their migration adds each column with its constraint as docs/upgrading.md says.
    """
    for feature in FEATURES:
        add = _add_on_sqlite if "definition" in table else _add_on_postgresql
        add(table, feature)


def _add_on_sqlite(table: dict[str, str], feature: Feature) -> None:
    column = f", {feature.name} {'SMALLINT' if feature.values else 'DOUBLE'}"
    if not re.search(rf"{column}\b", table["definition"]):
        check = f"CONSTRAINT ck_predictions_{feature.name} CHECK ({feature_check(feature).sqltext})"
        table["definition"] = table["definition"].replace(
            ", CONSTRAINT pk_", f"{column} {check}, CONSTRAINT pk_"
        )


def _add_on_postgresql(table: dict[str, str], feature: Feature) -> None:
    name = feature.name
    if f"column {name}" in table:
        return
    if feature.values:
        kind, rules = "smallint", [f"({name} = {_literal(v)})" for v in sorted(feature.values)]
        rule = " OR ".join(rules)
    else:
        kind = "double precision"
        low, high = (f"({_literal(end)})::{kind}" for end in (feature.low, feature.high))
        rule = f"({name} >= {low}) AND ({name} <= {high})"
    table[f"column {name}"] = kind
    table[f"constraint ck_predictions_{name}"] = f"CHECK (({rule}))"


def _literal(number: float) -> str:
    """Write a number as PostgreSQL shows it in a constraint."""
    text = f"{number:.10g}"
    return text if number >= 0 else f"'{text}'::{'numeric' if '.' in text else 'integer'}"


def _days(found: Description, expected: Description) -> Description:
    """Describe the partitions that db.partitions made, by the tables that they are parts of."""
    days: Description = {}
    for name, parts in found.items():
        whole = parts.get("partition", "").removeprefix("of ").partition(" ")[0]
        day = day_of(name.removeprefix("table "), whole) if whole else None
        if day is None or f"table {whole}" not in expected:
            continue
        first, end = id_range(day)
        days[name] = expected[f"table {whole}"] | {
            "kind": "r p",
            "partition": f"of {whole} FOR VALUES FROM ('{first}') TO ('{end}')",
        }
        if whole != "predictions":
            days[name][f"constraint fk_{partition_name(day, whole)}_predictions"] = (
                "FOREIGN KEY (prediction_id, received_at)"
                f" REFERENCES {partition_name(day)}(id, received_at)"
            )
    return days


def describe(connection: Connection) -> Description:
    """Return the catalogue's objects; both definitions where two objects share a name."""
    found: Description = {}
    question = _ON_SQLITE if connection.dialect.name == "sqlite" else _ON_POSTGRESQL
    for name, part, definition in connection.execute(text(question)):
        # To SQLite a space that is not ASCII is a letter.
        said = re.sub(r"\s+", " ", str(definition), flags=re.ASCII).strip(" ")
        parts = found.setdefault(str(name), {})
        parts[str(part)] = f"{parts[part]}; {said}" if part in parts else said
    return found


# What ANALYZE leaves steers the choice of an index, and says nothing of any row.
_ON_SQLITE = """
SELECT type || ' ' || name, 'definition', 'on ' || tbl_name || ': ' || coalesce(sql, '')
FROM sqlite_master WHERE name NOT IN ('sqlite_stat1', 'sqlite_stat4') OR type <> 'table'
"""

# Whatever has an oid from 16384 on was made after the database. A table's parts are read with it,
# wherever they stand; an owner can put anything into an extension, but write nothing in C.
_ON_POSTGRESQL = """
WITH path AS (
    SELECT oid FROM pg_namespace WHERE nspname = ANY (current_schemas(true))
), member AS (
    SELECT classid, objid FROM pg_depend WHERE deptype = 'e'
), made AS (
    SELECT c.*, 'table ' || c.oid::regclass AS name FROM pg_class c
    WHERE c.oid >= 16384 AND relkind NOT IN ('i', 'I', 'c') AND (c.oid IN (
        SELECT inhrelid FROM pg_inherits JOIN pg_class whole ON whole.oid = inhparent
        WHERE whole.relnamespace IN (TABLE path)
    ) OR relnamespace IN (TABLE path) AND ('pg_class'::regclass, c.oid) NOT IN (TABLE member))
)
SELECT name, 'kind', concat_ws(' ', relkind, relpersistence, pg_get_partkeydef(oid)) FROM made
UNION ALL
SELECT name, 'row-level security', '' FROM made WHERE relrowsecurity OR relforcerowsecurity
UNION ALL
SELECT name, 'partition', concat_ws(' ', 'of', inhparent::regclass,
    pg_get_expr(made.relpartbound, made.oid),
    CASE WHEN inhdetachpending OR NOT whole.relhassubclass THEN 'not read' END)
FROM made JOIN pg_inherits ON inhrelid = made.oid JOIN pg_class whole ON whole.oid = inhparent
UNION ALL
SELECT name, 'column ' || attname, concat_ws(' ', format_type(atttypid, atttypmod),
    CASE WHEN attnotnull THEN 'not null' END,
    CASE WHEN attcollation <> typcollation THEN 'collate ' || attcollation::regcollation END,
    CASE WHEN attgenerated <> '' THEN 'generated' END,
    CASE WHEN attidentity <> '' THEN 'identity' END, pg_get_expr(adbin, adrelid))
FROM made JOIN pg_attribute ON attrelid = made.oid JOIN pg_type ON pg_type.oid = atttypid
LEFT JOIN pg_attrdef ON adrelid = made.oid AND adnum = attnum
WHERE attnum > 0 AND NOT attisdropped
UNION ALL
SELECT name, 'constraint ' || coalesce(whole.conname, c.conname), concat_ws(' ',
    pg_get_constraintdef(c.oid), CASE WHEN NOT c.convalidated THEN 'not validated' END)
FROM made JOIN pg_constraint c ON c.conrelid = made.oid
LEFT JOIN pg_constraint whole ON whole.oid = c.conparentid
WHERE c.contype IN ('c', 'f', 'p', 'u', 'x')
UNION ALL
SELECT name, 'index ' || coalesce(whole.relname, c.relname), concat_ws(' ',
    substring(pg_get_indexdef(indexrelid) FROM 'USING .*'), CASE WHEN indisunique THEN 'unique' END,
    CASE WHEN NOT (indisvalid AND indisready AND indislive) THEN 'not valid' END)
FROM made JOIN pg_index ON indrelid = made.oid JOIN pg_class c ON c.oid = indexrelid
LEFT JOIN pg_inherits ON inhrelid = indexrelid LEFT JOIN pg_class whole ON whole.oid = inhparent
UNION ALL
SELECT name, 'trigger ' || tgname, concat(tgenabled, pg_get_triggerdef(pg_trigger.oid))
FROM made JOIN pg_trigger ON tgrelid = made.oid
WHERE NOT tgisinternal OR tgenabled <> 'O' OR tgfoid >= 16384
UNION ALL
SELECT name, 'rule ' || rulename, concat(ev_enabled, pg_get_ruledef(pg_rewrite.oid))
FROM made JOIN pg_rewrite ON ev_class = made.oid
UNION ALL
SELECT name, 'policy ' || polname, '' FROM made JOIN pg_policy ON polrelid = made.oid
UNION ALL
SELECT pg_describe_object(kind, oid, 0), 'definition', '' FROM (
    SELECT 'pg_proc'::regclass AS kind, oid, pronamespace AS home, oid AS code FROM pg_proc
    UNION ALL SELECT 'pg_operator'::regclass, oid, oprnamespace, oprcode FROM pg_operator
    UNION ALL SELECT 'pg_opclass'::regclass, oid, opcnamespace, 0 FROM pg_opclass
    UNION ALL SELECT 'pg_collation'::regclass, oid, collnamespace, 0 FROM pg_collation
    UNION ALL SELECT 'pg_conversion'::regclass, oid, connamespace, 0 FROM pg_conversion
    UNION ALL SELECT 'pg_type'::regclass, t.oid, typnamespace, 0 FROM pg_type t
    LEFT JOIN pg_class c ON c.oid = typrelid
    WHERE coalesce(relkind = 'c', typcategory <> 'A')
) other
WHERE oid >= 16384 AND home IN (TABLE path) AND ((kind, oid) NOT IN (TABLE member) OR code IN (
    SELECT p.oid FROM pg_proc p JOIN pg_language l ON l.oid = prolang WHERE lanname <> 'c'
))
"""
