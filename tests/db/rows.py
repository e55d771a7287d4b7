"""Rows and logs for the tests of this folder."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

from db.ids import new_id
from db.log import Log
from db.migrate import migrate
from db.tables import PREDICTION_COLUMNS

FIRST_PATIENT: dict[str, Any] = {
    "age": 63.0, "sex": 1, "cp": 1, "trestbps": 145.0, "chol": 233.0, "fbs": 1, "restecg": 2,
    "thalach": 150.0, "exang": 0, "oldpeak": 2.3, "slope": 3, "ca": 0, "thal": 6,
}  # fmt: skip
"""Row 1 of the Cleveland file, UCI codes."""

ANSWERED: dict[str, Any] = {
    "source": "live", "probability": 0.25, "prediction": 0, "threshold": 0.5,
    "model_version": "0123456789ab", "latency_ms": 1.5,
}  # fmt: skip


def row(**changes: Any) -> tuple[Any, ...]:
    """Return a row of the first patient as `Log.append` takes it, with some values changed."""
    values = {"id": new_id()} | FIRST_PATIENT | ANSWERED | changes
    return tuple(values[name] for name in PREDICTION_COLUMNS)


@asynccontextmanager
async def running_log(url: str, **settings: Any) -> AsyncIterator[Log]:
    """Migrate the database and write to it."""
    migrate(url, lambda _: None)
    log = Log(url, **settings)
    await log.start()
    try:
        yield log
    finally:
        await log.stop()


async def store(url: str, rows: Sequence[tuple[Any, ...]]) -> None:
    async with running_log(url) as log:
        await log.append(rows)
