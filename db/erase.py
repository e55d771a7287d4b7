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
from typing import Any

from sqlalchemy import Connection, Engine, LargeBinary, bindparam, delete, func

from db.chain import check_key
from db.days import stays
from db.engine import DatabaseUnavailable, check_revision, connect, session, transaction
from db.ids import first_id_at, milliseconds
from db.marks import FIVE_MINUTES, mark
from db.records import KEYS_KEPT
from db.removals import Entry, leave_erased, require_key
from db.seals import (
    OUTCOME_COLUMNS,
    SealError,
    SealKey,
    digest,
    outcome_content,
    patients_key,
    prediction_content,
    reference,
)
from db.tables import PREDICTION_COLUMNS, idempotency, outcomes, predictions
from settings import SettingsError, load_settings


def erase(engine: Engine, key: SealKey, patient: str) -> int:
    """Erase a patient's rows, all or none; return how many predictions that were.

    Raises
    ------
    DatabaseUnavailable
        Nothing was erased.
    """
    with transaction(engine) as connection:
        if connection.dialect.name == "sqlite":
            connection.exec_driver_sql("PRAGMA secure_delete = ON")  # overwrite, do not just forget
        if not stays(connection):
            raise DatabaseUnavailable("Old days are being deleted: try again in a few minutes.")
        found = predictions.select().where(predictions.c.patient == key.patient(patient))
        rows = connection.execute(found.with_for_update()).mappings().all()  # no outcome comes now
        ids = [row["id"] for row in rows]
        of_them = outcomes.c.prediction_id.in_(ids)
        known = connection.execute(outcomes.select().where(of_them)).mappings().all()
        entries = [
            *(
                _entry(row, prediction_content([row[n] for n in PREDICTION_COLUMNS]))
                for row in rows
            ),
            *(_entry(row, outcome_content([row[n] for n in OUTCOME_COLUMNS])) for row in known),
        ]
        require_key(connection, key)
        leave_erased(connection, key, entries)
        connection.execute(delete(outcomes).where(of_them))
        connection.execute(delete(predictions).where(predictions.c.id.in_(ids)))
        buckets = {milliseconds(i) // 1000 // FIVE_MINUTES * FIVE_MINUTES for i in ids}
        if buckets:
            mark(connection, FIVE_MINUTES, buckets)
        remembered = first_id_at(datetime.now(UTC) - KEYS_KEPT)
        for erased in (id_ for id_ in ids if id_ >= remembered):
            _forget_answer(connection, erased)
    _overwrite(engine)
    return len(ids)


def _entry(row: Any, content: bytes) -> Entry:
    sealed = None if row["salt"] is None else digest(bytes(row["salt"]), content)
    return Entry(row["writer"], row["number"], row["seal"], sealed)


def _forget_answer(connection: Connection, id_: str) -> None:
    """Delete the answer that is remembered for a retry, of a whole batch when it is in one."""
    c = idempotency.c
    wanted = bindparam(None, id_.encode(), LargeBinary)
    if connection.dialect.name == "sqlite":
        at = func.instr(c.response, wanted)
    else:
        at = func.position(wanted.op("IN")(c.response))
    connection.execute(delete(idempotency).where(at > 0))


def _overwrite(engine: Engine) -> None:
    """Have what was deleted leave the files too, as far as the database lets us now."""
    with session(engine) as connection:
        if engine.dialect.name == "sqlite":
            connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)")
        else:
            connection.exec_driver_sql("VACUUM predictions, outcomes, idempotency")


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
    return 0


if __name__ == "__main__":
    sys.exit(main())
