"""Erase a patient from the log: `python -m db.erase --patient REFERENCE`.

Deletes the predictions that were asked for with this Patient-Reference, their outcomes and their
remembered answers, and has the counts of their time made anew. What remains is a signed digest of
each entry, which says nothing without the salt that goes too; `python -m db.verify` still passes.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from time import sleep
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    Engine,
    LargeBinary,
    bindparam,
    delete,
    func,
    select,
)

from db.chain import check_key
from db.days import all_stay
from db.engine import DatabaseUnavailable, check_revision, connect, session, transaction
from db.entries import count_unsealed, entries
from db.ids import first_id_at, is_id, milliseconds
from db.marks import FIVE_MINUTES, mark
from db.records import KEYS_KEPT, forget_old_keys
from db.removals import leave_erased, leave_unsealed, require_key
from db.seals import SealError, SealKey, patients_key, reference
from db.tables import idempotency, outcomes, predictions
from settings import SettingsError, load_settings

_AT_ONCE = 1_000  # a statement of PostgreSQL takes 65,535 values
_CLEAR_TRIES = 20
_CLEAR_PAUSE_S = 0.5
_CLEAR_S = 3_600.0  # longest wait for PostgreSQL, which looks through a large log
_BUSY_MS = 100  # longest wait for SQLite's readers: nobody can write meanwhile


def erase(engine: Engine, key: SealKey, patient: str) -> int:
    """Erase a patient's rows, all or none; return how many predictions that were.

    `clear` then has what was deleted leave the files.

    Raises
    ------
    DatabaseUnavailable
        Nothing was erased.
    """
    c = predictions.c
    with transaction(engine) as connection:
        if connection.dialect.name == "sqlite":
            connection.exec_driver_sql("PRAGMA secure_delete = ON")  # overwrite, do not just forget
        if not all_stay(connection):
            raise DatabaseUnavailable("Old days are being deleted: try again in a few minutes.")
        require_key(connection, key)
        found = select(c.id).where(c.patient == key.patient(patient))
        ids = connection.scalars(found.with_for_update()).all()  # no outcome comes now
        for at in range(0, len(ids), _AT_ONCE):
            _erase_some(connection, key, ids[at : at + _AT_ONCE])
        named = [id_ for id_ in ids if isinstance(id_, str) and is_id(id_)]
        buckets = {milliseconds(i) // 1000 // FIVE_MINUTES * FIVE_MINUTES for i in named}
        if buckets:
            mark(connection, FIVE_MINUTES, buckets)
        while forget_old_keys(connection):
            pass
        remembered = first_id_at(datetime.now(UTC) - KEYS_KEPT)
        for erased in (id_ for id_ in named if id_ >= remembered):
            _forget_answer(connection, erased)
    return len(ids)


def _erase_some(connection: Connection, key: SealKey, ids: Sequence[str]) -> None:
    def of(id_: ColumnElement[Any]) -> ColumnElement[bool]:
        return id_.in_(ids)

    leave_erased(connection, key, entries(connection, of))
    leave_unsealed(connection, key, count_unsealed(connection, of))
    connection.execute(delete(outcomes).where(of(outcomes.c.prediction_id)))
    connection.execute(delete(predictions).where(of(predictions.c.id)))


def _forget_answer(connection: Connection, id_: str) -> None:
    """Delete the answer that is remembered for a retry, of a whole batch when it is in one."""
    c = idempotency.c
    wanted = bindparam(None, id_.encode(), LargeBinary)
    if connection.dialect.name == "sqlite":
        at = func.instr(c.response, wanted)
    else:
        at = func.position(wanted.op("IN")(c.response))
    connection.execute(delete(idempotency).where(at > 0))


def clear(engine: Engine) -> None:
    """Have what was deleted leave the files too.

    Raises
    ------
    DatabaseUnavailable
        Something of it is left in them, and why.
    """
    if engine.dialect.name == "postgresql":
        with session(engine) as connection:
            connection.exec_driver_sql("SET lock_timeout = '10s'")
            connection.exec_driver_sql("VACUUM predictions, outcomes, idempotency")
        return
    for _ in range(_CLEAR_TRIES):
        with session(engine) as connection:
            connection.exec_driver_sql(f"PRAGMA busy_timeout = {_BUSY_MS}")
            busy, *_ = connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)").one()
        if not busy:
            return
        sleep(_CLEAR_PAUSE_S)
    raise DatabaseUnavailable("somebody goes on reading the log")


def main(argv: Sequence[str] | None = None) -> int:
    """Erase the patient; return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m db.erase", description=__doc__)
    parser.add_argument(
        "--patient", required=True, help="the Patient-Reference; - reads it from standard input"
    )
    named = parser.parse_args(argv).patient
    try:
        settings = load_settings()
        key = patients_key(settings.database_url, settings.log_hmac_key_file)
        engine = connect(settings.database_url)
        check_revision(engine)
        check_key(engine, key)
        erased = erase(engine, key, reference(named))
    except (DatabaseUnavailable, SettingsError, SealError) as error:
        print(error, file=sys.stderr)
        return 1
    print(f"{erased:,} predictions are erased, with their outcomes")
    try:
        clear(connect(settings.database_url, answer_s=_CLEAR_S))
    except DatabaseUnavailable as left:
        print(f"Remains are in the database's files ({left}): run this again.", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
