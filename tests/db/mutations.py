"""Single changes that somebody with the database, but without the key, could make to a log."""

from __future__ import annotations

import random
from datetime import timedelta
from typing import Any

from sqlalchemy import Connection, LargeBinary, Table, delete, insert, select, update
from sqlalchemy.exc import IntegrityError

from db.ids import new_id, timestamp_of
from db.schema import (
    DEPENDENT_TABLES,
    PARTITIONED_TABLES,
    SEAL_COLUMNS,
    predictions,
    tombstones,
    writers,
)
from pipeline.schema import BY_NAME, Kind

_TABLES = (predictions, *PARTITIONED_TABLES, writers, tombstones)


def mutate(connection: Connection, chance: random.Random) -> str:
    """Make one change at random, that the tables accept; say which."""
    while True:
        connection.exec_driver_sql("SAVEPOINT change")
        try:
            return chance.choice([_edit, _edit, _edit, _delete, _insert, _swap])(connection, chance)
        except IntegrityError:  # two rows of one key: nobody could
            connection.exec_driver_sql("ROLLBACK TO SAVEPOINT change")


def _some(connection: Connection, table: Table, chance: random.Random) -> dict[str, Any]:
    """Pick a row, sealed if rows of its table are: the others' content is not vouched for."""
    wanted = select(table).order_by(*table.primary_key)
    if table in PARTITIONED_TABLES:
        wanted = wanted.where(table.c.writer.is_not(None))
    return dict(chance.choice(connection.execute(wanted).mappings().all()))


def _is(table: Table, row: dict[str, Any]) -> Any:
    conditions = [column == row[column.name] for column in table.primary_key]
    return conditions[0] if len(conditions) == 1 else conditions[0] & conditions[1]


def _edit(connection: Connection, chance: random.Random) -> str:
    table = chance.choice(_TABLES)
    row = _some(connection, table, chance)
    name = chance.choice(table.columns.keys())
    if table in DEPENDENT_TABLES and name in ("prediction_id", "received_at"):
        other = _some(connection, predictions, chance)
        while other["id"] == row["prediction_id"]:
            other = _some(connection, predictions, chance)
        new = {"prediction_id": other["id"], "received_at": other["received_at"]}
    else:
        new = {name: _another(table, name, row[name], chance)}
        if table is predictions and name in ("id", "received_at") and _is_cited(connection, row):
            name = "age"
            new = {name: _another(table, name, row[name], chance)}
    connection.execute(update(table).where(_is(table, row)).values(new))
    return f"edit {table.name}.{name} of {[row[c.name] for c in table.primary_key]} to {new}"


def _is_cited(connection: Connection, row: dict[str, Any]) -> bool:
    return any(
        connection.execute(select(t.c.id).where(t.c.prediction_id == row["id"])).first()
        for t in DEPENDENT_TABLES
    )


def _another(table: Table, name: str, old: Any, chance: random.Random) -> Any:
    """Return another value that the tables accept."""
    column = table.columns[name]
    if old is not None and column.nullable and chance.random() < 0.2:
        return None
    if name in BY_NAME and table is predictions:
        feature = BY_NAME[name]
        if feature.kind is Kind.NUMBER:
            new: Any = chance.uniform(feature.low, feature.high)
        else:
            codes = feature.values
            new = chance.choice([code for code in codes if code != old])
    elif name in ("probability", "threshold"):
        new = old + 1e-12 if old < 0.5 else old - 1e-12
    elif name in ("prediction", "outcome"):
        new = 1 - old
    elif name == "decision":
        new = "override" if old == "agree" else "agree"
    elif name == "source":
        new = "replay" if old == "live" else "live"
    elif name in ("id", "name") and isinstance(old, str):
        new = new_id()
    elif isinstance(column.type, LargeBinary):
        new = _flipped(old, chance) if old else chance.randbytes(32)
    elif name in ("received_at", "observed_at", "removed_at"):
        new = timestamp_of(new_id()) if old is None else old + timedelta(microseconds=1)
    elif isinstance(old, int | float):
        new = old + chance.choice([1, -1, 1000])
    else:
        new = f"{old or ''}x"
    return new


def _flipped(old: bytes, chance: random.Random) -> bytes:
    at = chance.randrange(len(old))
    return old[:at] + bytes([old[at] ^ 1 << chance.randrange(8)]) + old[at + 1 :]


def _delete(connection: Connection, chance: random.Random) -> str:
    table = chance.choice(_TABLES)
    row = _some(connection, table, chance)
    if table is predictions:
        for each in DEPENDENT_TABLES:
            connection.execute(delete(each).where(each.c.prediction_id == row["id"]))
    connection.execute(delete(table).where(_is(table, row)))
    return f"deletion from {table.name}: {[row[c.name] for c in table.primary_key]}"


def _insert(connection: Connection, chance: random.Random) -> str:
    table = chance.choice([*PARTITIONED_TABLES, tombstones, writers])
    row = _some(connection, table, chance)
    how = "as a copy"
    if table in PARTITIONED_TABLES:
        row["id"] = new_id()
        if table is predictions:
            row["received_at"] = timestamp_of(row["id"])
        how = chance.choice(
            ["with the seal of another", "without a seal", "with a seal of its own"]
        )
        if how == "without a seal":
            row |= dict.fromkeys(SEAL_COLUMNS)
        elif how == "with a seal of its own":
            row |= {"number": 10_000, "seal": chance.randbytes(32)}
    elif table is tombstones:
        row |= {"first": row["last"] + 1, "last": row["last"] + 1}
    else:
        row |= {"id": 99, "name": new_id()}
    connection.execute(insert(table).values(row))
    return f"insert into {table.name} {how}"


def _swap(connection: Connection, chance: random.Random) -> str:
    """Have two rows change places: their places in the chain, or what they say."""
    table = chance.choice([predictions, *PARTITIONED_TABLES])
    one, other = _some(connection, table, chance), _some(connection, table, chance)
    while one["id"] == other["id"]:
        other = _some(connection, table, chance)
    what: tuple[str, ...] = chance.choice([("number", "writer"), ("number", "seal"), SEAL_COLUMNS])
    for row, gets in ((one, other), (other, one)):
        new = {name: gets[name] for name in what}
        connection.execute(update(table).where(_is(table, row)).values(new))
    return f"swap {what} of {one['id']} and {other['id']}"
