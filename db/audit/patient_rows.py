"""The rows of one patient, found by the index of patients and in the tables themselves.

Who asks what is stored of a patient, or has it erased, must not miss what an index leaves out.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any, NamedTuple

from sqlalchemy import Column, ColumnElement, Connection, Engine, Row, String, cast, select

from db.engine import keep_snapshot, session
from db.schema import EXPORTED_COLUMNS, outcomes, predictions
from db.table_scans import of_table, read_tables

LONGEST_S = 3_600.0
"""Longest wait for the database: it reads all of the log."""


class PatientRows(NamedTuple):
    """What is stored of a patient."""

    predictions: list[dict[str, Any]]
    """With their newest outcomes, newest first; as the table holds them."""
    outcome_ids: set[str]
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
        found = _outcomes(connection, column == name)
    newest = {one.prediction_id: one for one in found}
    for row in rows:
        outcome = newest.get(row["id"])
        row["outcome"] = outcome and outcome.outcome
        row["observed_at"] = outcome and outcome.observed_at
    return PatientRows(rows, {one.id for one in found}, index_ids)


def _outcomes(connection: Connection, of: ColumnElement[bool]) -> list[Row[Any]]:
    """Find all outcomes of the predictions, oldest first, without their key: hence the cast."""
    c, text = outcomes.c, String(36)
    asked = select(cast(predictions.c.id, text)).where(of)
    wanted = select(c.prediction_id, c.id, c.outcome, c.observed_at)
    wanted = wanted.where(cast(c.prediction_id, text).in_(of_table(asked, predictions)))
    return list(connection.execute(of_table(wanted, outcomes).order_by(c.id)))
