"""The rows of one patient, found by the index of patients and in the tables themselves.

Who asks what is stored of a patient, or has it erased, must not miss what an index leaves out.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any, NamedTuple

from sqlalchemy import Column, ColumnElement, Connection, Engine, Row, String, Table, cast, select

from db.engine import keep_snapshot, session
from db.schema import DEPENDENT_TABLES, EXPORTED_COLUMNS, RECORDED_COLUMNS, predictions
from db.table_scans import of_table, read_tables

LONGEST_S = 3_600.0
"""Longest wait for the database: it reads all of the log."""


class PatientRows(NamedTuple):
    """What is stored of a patient."""

    predictions: list[dict[str, Any]]
    """With their newest outcome and response, newest first; as the table holds them."""
    dependent_ids: set[str]
    """Of their outcomes and responses."""
    index_ids: set[str]
    """The predictions that the index of patients names."""

    @property
    def ids(self) -> set[str]:
        """Return the ids of the predictions."""
        return {row["id"] for row in self.predictions}

    def difference(self) -> str | None:
        """Return how the index differs from the table; None = it does not."""
        missed, made_up = len(self.ids - self.index_ids), len(self.index_ids - self.ids)
        if not missed and not made_up:
            return None
        return (
            f"The index of patients is not what the table holds: it lacks {missed:,} predictions "
            f"and names {made_up:,} that are not there. Run cardiowatch verify (docs/record.md)."
        )

    def between(
        self, since: datetime | None, until: datetime | None, source: str | None
    ) -> list[dict[str, Any]]:
        """Return the predictions of a window (from, before) and of a source."""
        return [
            row
            for row in self.predictions
            if (since is None or row["received_at"] >= since)
            and (until is None or row["received_at"] < until)
            and source in (None, row["source"])
        ]


def rows_of(
    engine: Engine, name: bytes, column: Column[Any] = predictions.c.patient
) -> PatientRows:
    """Search the log for a patient by the HMAC of the reference, or for an acting user.

    Parameters
    ----------
    name
        The HMAC.
    column
        Of `predictions`, where it stands.

    Raises
    ------
    DatabaseUnavailable
        The log cannot be read.
    """
    with session(engine) as connection:
        keep_snapshot(connection)
        by_index = select(predictions.c.id).where(column == name)
        read_tables(connection, indexes=True)
        index_ids = set(connection.scalars(by_index))
        read_tables(connection)
        wanted = select(*EXPORTED_COLUMNS).where(column == name)
        wanted = of_table(wanted, predictions).order_by(predictions.c.id.desc())
        rows = [dict(row) for row in connection.execute(wanted).mappings()]
        found = {t: _dependents(connection, t, column == name) for t in DEPENDENT_TABLES}
    for table, entries in found.items():
        newest = {one.prediction_id: one for one in entries}
        for row in rows:
            one = newest.get(row["id"])
            row |= {c.name: getattr(one, c.name, None) for c in RECORDED_COLUMNS[table]}
    return PatientRows(rows, {one.id for some in found.values() for one in some}, index_ids)


def _dependents(connection: Connection, table: Table, of: ColumnElement[bool]) -> list[Row[Any]]:
    """Find all entries about the predictions, oldest first, without their key: hence the cast."""
    c, text = table.c, String(36)
    asked = select(cast(predictions.c.id, text)).where(of)
    wanted = select(c.prediction_id, c.id, *RECORDED_COLUMNS[table])
    wanted = wanted.where(cast(c.prediction_id, text).in_(of_table(asked, predictions)))
    return list(connection.execute(of_table(wanted, table).order_by(c.id)))
