"""Erase a patient from the log: `cardiowatch erase --patient REFERENCE`.

Deletes the predictions that were asked for with this Patient-Reference, their outcomes, responses
and remembered answers, and has the counts of their time made anew. What remains is a signed digest
of each entry, which says nothing without the salt that goes too; `cardiowatch verify` still passes.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Sequence, Set
from time import sleep
from typing import Any

import click
from sqlalchemy import (
    ColumnElement,
    Connection,
    Engine,
    LargeBinary,
    bindparam,
    cast,
    delete,
    select,
    tuple_,
    update,
)

from db.arguments import PatientReference
from db.audit.chain import check_key
from db.audit.patient_rows import LONGEST_S, PatientRows, rows_of
from db.audit.seal_key import SealKey, require_patient_key
from db.audit.sealed_entries import count_unsealed, read_entries
from db.audit.tombstones import add_erased, add_unsealed, require_key
from db.engine import DatabaseUnavailable, check_migrated, open_engine, session, transaction
from db.ids import is_id, timestamp_ms
from db.partitions import share_lock_all
from db.rollups.dirty_buckets import FIVE_MINUTES, mark_dirty
from db.schema import DEPENDENT_TABLES, LOG_TABLES, alerts, idempotency, predictions
from settings import load_settings

_AT_ONCE = 1_000  # a statement of PostgreSQL takes 65,535 values
_CLEAR_TRIES = 20
_CLEAR_PAUSE_S = 0.5
_ANSWERS_AT_ONCE = 5_000
_BUSY_MS = 100  # longest wait for SQLite's readers: nobody can write meanwhile


def erase_patient(
    engine: Engine, key: SealKey, patient: str, known: PatientRows | None = None
) -> int:
    """Erase a patient's rows, all or none; return how many predictions that were.

    `clear` then has what was deleted leave the files.

    Parameters
    ----------
    engine, key, patient
        The log's, and the reference.
    known
        Rows of the patient that were found before, in the tables themselves: they go too.

    Raises
    ------
    DatabaseUnavailable
        Nothing was erased.
    """
    known = known or PatientRows([], set(), set())
    of_them = predictions.c.patient == key.hash_patient_reference(patient)
    if missed := known.ids - known.index_ids:
        of_them |= predictions.c.id.in_(missed)
    of_patient = select(predictions.c.id).where(of_them)
    seen: set[str] = set()
    answers: list[dict[str, str]] = []
    if engine.dialect.name == "sqlite":  # looks before it keeps others from writing
        with session(engine) as connection:
            seen.update(connection.scalars(of_patient))
            answers += _answers_about(connection, seen)
    with transaction(engine) as connection:
        if not share_lock_all(connection):
            raise DatabaseUnavailable("Retention is running: try again in a few minutes.")
        require_key(connection, key)
        ids = connection.scalars(of_patient.with_for_update()).all()  # no outcome comes now
        erased: set[str] = set()
        for at in range(0, len(ids), _AT_ONCE):
            erased |= _erase_some(connection, key, ids[at : at + _AT_ONCE])
        if left := (known.ids | known.dependent_ids) - erased:
            raise DatabaseUnavailable(_UNREACHED.format(len(left)))
        named = [id_ for id_ in ids if isinstance(id_, str) and is_id(id_)]
        buckets = {timestamp_ms(i) // 1000 // FIVE_MINUTES * FIVE_MINUTES for i in named}
        if buckets:
            mark_dirty(connection, FIVE_MINUTES, buckets)
        answers += _answers_about(connection, set(ids) - seen)
        if answers:
            connection.execute(_FORGET, answers)
        named_in = alerts.c.note.icontains(patient, autoescape=True)
        connection.execute(update(alerts).where(named_in).values(note=None))
    return len(erased.intersection(ids))


_UNREACHED = (
    "Nothing was erased: {:,} rows of this patient stand in the tables and are not found by their "
    "keys. Run this again; if it says so again, see cardiowatch verify and docs/record.md."
)


def _erase_some(connection: Connection, key: SealKey, ids: Sequence[str]) -> set[str]:
    """Erase predictions, their outcomes and responses; return the ids that existed."""

    def of(id_: ColumnElement[Any]) -> ColumnElement[bool]:
        return id_.in_(ids)

    add_erased(connection, key, read_entries(connection, of))
    add_unsealed(connection, key, count_unsealed(connection, of))
    gone = [
        delete(table).where(of(table.c.prediction_id)).returning(table.c.id)
        for table in DEPENDENT_TABLES
    ]
    gone.append(delete(predictions).where(of(predictions.c.id)).returning(predictions.c.id))
    return {id_ for each in gone for id_ in connection.scalars(each)}


_KEY = (idempotency.c.scope, idempotency.c.key)
_RESPONSE = cast(idempotency.c.response, LargeBinary)  # whatever was put there
_FORGET = delete(idempotency).where(*(column == bindparam(f"of_{column.name}") for column in _KEY))
_IDS = re.compile(rb'"([0-9a-f-]{36})"')  # in JSON


def _answers_about(connection: Connection, ids: Set[str]) -> list[dict[str, str]]:
    """Return the keys of stored answers that name a prediction, alone or in a batch.

    One pass over all stored answers in key order, however many ids there are.
    """
    named = {str(id_).encode() for id_ in ids}
    found: list[dict[str, str]] = []
    after = ("", "")
    while named:
        wanted = select(*_KEY, _RESPONSE).where(tuple_(*_KEY) > after)
        some = connection.execute(wanted.order_by(*_KEY).limit(_ANSWERS_AT_ONCE)).all()
        for scope, key, response in some:
            if not named.isdisjoint(_IDS.findall(response)):
                found.append({"of_scope": scope, "of_key": key})
        if len(some) < _ANSWERS_AT_ONCE:
            break
        after = some[-1][:2]
    return found


def purge_deleted_pages(engine: Engine) -> None:
    """Remove deleted data from the database's files too.

    Raises
    ------
    DatabaseUnavailable
        Something of it is left in them, and why.
    """
    if engine.dialect.name == "postgresql":
        with session(engine) as connection:
            connection.exec_driver_sql("SET lock_timeout = '10s'")
            connection.exec_driver_sql(f"VACUUM {LOG_TABLES}, idempotency, alerts")
        return
    for _ in range(_CLEAR_TRIES):
        with session(engine) as connection:
            connection.exec_driver_sql(f"PRAGMA busy_timeout = {_BUSY_MS}")
            busy, *_ = connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)").one()
        if not busy:
            return
        sleep(_CLEAR_PAUSE_S)
    raise DatabaseUnavailable("another process is still reading the log")


@click.command("erase")
@click.option(
    "--patient", type=PatientReference(), required=True, help="Patient-Reference; - = from stdin."
)
def command(patient: str) -> None:
    """Erase one patient's predictions, outcomes, responses and remembered answers.

    Also the notes of acknowledged alerts that contain the reference. What remains is a signed
    digest of each entry, which says nothing without the salt that goes too; `cardiowatch verify`
    still passes.
    """
    settings = load_settings()
    key = require_patient_key(settings.database_url, settings.log_hmac_key_file)
    engine = open_engine(settings.database_url)
    check_migrated(engine)
    check_key(engine, key)
    patiently = open_engine(settings.database_url, timeout_s=LONGEST_S)
    reading = open_engine(settings.database_url, read_only=True, timeout_s=LONGEST_S)
    known = rows_of(reading, key.hash_patient_reference(patient))
    reading.dispose()
    if difference := known.difference():
        print(difference, file=sys.stderr)
    erased = erase_patient(engine, key, patient, known)
    try:
        purge_deleted_pages(patiently)
    except DatabaseUnavailable as left:
        raise DatabaseUnavailable(
            f"Deleted data may remain in the database files ({left}): run this again."
        ) from left
    finally:
        print(f"{erased:,} predictions erased, with their outcomes and responses")


if __name__ == "__main__":
    from cardiowatch import deprecated

    sys.exit(deprecated("erase"))
