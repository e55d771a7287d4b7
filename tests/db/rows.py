"""Rows and logs for the tests of this folder."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

from sqlalchemy import insert

from db.engine import open_engine, transaction
from db.ids import new_id, timestamp_of
from db.schema import PREDICTION_COLUMNS, predictions
from db.writer.writer import LogWriter

FIRST_PATIENT: dict[str, Any] = {
    "age": 63.0, "sex": 1, "cp": 1, "trestbps": 145.0, "chol": 233.0, "fbs": 1, "restecg": 2,
    "thalach": 150.0, "exang": 0, "oldpeak": 2.3, "slope": 3, "ca": 0, "thal": 6,
}  # fmt: skip
"""Row 1 of the Cleveland file, UCI codes."""

SCORECARD = "{}"
VERSION = "44136fa355b3"
"""Where its SHA-256 begins."""

ANSWERED: dict[str, Any] = {
    "source": "live", "probability": 0.25, "prediction": 0, "threshold": 0.5,
    "model_version": VERSION, "latency_ms": 1.5, "key_id": None,
}  # fmt: skip


def row(**changes: Any) -> tuple[Any, ...]:
    """Return a row of the first patient as `Log.append` takes it, with some values changed."""
    values = {"id": new_id(), "patient": None, "actor": None} | FIRST_PATIENT | ANSWERED | changes
    return tuple(values[name] for name in PREDICTION_COLUMNS)


@asynccontextmanager
async def running_log(url: str, **settings: Any) -> AsyncIterator[LogWriter]:
    """Write to a migrated database; a sealed log knows the model of its rows."""
    log = LogWriter(url, **settings)
    await log.start()
    try:
        if settings.get("key"):
            await log.register_model(VERSION, SCORECARD)
        yield log
    finally:
        await log.stop()


async def store(url: str, rows: Sequence[tuple[Any, ...]]) -> None:
    async with running_log(url) as log:
        await log.append(rows)


def store_as_before(url: str, rows: Sequence[tuple[Any, ...]]) -> None:
    """Store rows as the first programs did, which knew neither keys nor seals."""
    names = PREDICTION_COLUMNS[: PREDICTION_COLUMNS.index("key_id")]
    values = [dict(zip(names, each[: len(names)], strict=True)) for each in rows]
    timed = [each | {"received_at": timestamp_of(each["id"])} for each in values]
    with transaction(open_engine(url)) as connection:
        connection.execute(insert(predictions), timed)
