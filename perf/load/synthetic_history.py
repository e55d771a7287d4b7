"""Sixty synthetic days of a hospital: no drift at first, then three injected changes.

The patients are synthetic (a smoothed bootstrap of Cleveland that includes the label), scored by
the model and written by the log's own writer with past times and the source `replay`. The changes
and their days are stored as a report of the kind `replay`.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import numpy.typing as npt

from db.ids import new_id
from db.writer.rejections import RejectionKey, add_rejections
from db.writer.results import add_report
from db.writer.writer import LogWriter
from pipeline.dataset.heart import (
    DAYS,
    INJECTED_CHANGES,
    MISTYPED,
    OTHER_UNIT,
    Day,
    active_change,
    days,
)
from pipeline.model import Model

Array = npt.NDArray[np.float64]

SOURCE = "replay"
FORMAT = 1
"""Of the report that lists the changes."""

_DAY = timedelta(days=1)
_KNOWN = 0.8  # share of patients whose outcome becomes known
_DELAY_DAYS = (3.0, 15.0)  # from prediction to outcome: an angiography has to be booked
_CALL_ROWS = 1_000


async def write_history(url: str, model: Model, end: datetime, seed: int = 0) -> int:
    """Write the history to a migrated database; return the number of patients.

    Raises
    ------
    DatabaseUnavailable, LogTaken, LogUnavailable
        The log cannot be written.
    """
    log = LogWriter(url, timeout_s=60)
    await log.start()
    try:
        await log.register_model(model.version, model.scorecard)
        history = list(days(end, seed))
        random = np.random.default_rng([seed, DAYS + 1])
        stored: list[tuple[Any, ...]] = []
        for day in history:
            stored += _predictions(day, model, random)
        for at in range(0, len(stored), _CALL_ROWS):
            await log.append(stored[at : at + _CALL_ROWS])
        found = np.concatenate([day.disease for day in history])
        await _record_outcomes(log, [row[0] for row in stored], found, history, end, random)
        refused = _refusals(end, random)
        await log.execute(lambda connection: add_rejections(connection, refused))
    finally:
        await log.stop()
    add_report(url, scenario(end, model.version), version=FORMAT, kind=SOURCE)
    return len(stored)


def _predictions(day: Day, model: Model, random: np.random.Generator) -> Iterator[tuple[Any, ...]]:
    probability = model.score(day.rows).probability
    latency = random.lognormal(0.2, 0.4, len(day.rows))
    for row, p, ms, took in zip(day.rows, probability, day.received_ms, latency, strict=True):
        values = [None if np.isnan(value) else float(value) for value in row]
        answer = (float(p), int(p >= model.threshold), model.threshold, model.version)
        yield (new_id(int(ms)), SOURCE, *values, *answer, round(float(took), 3), None, None, None)


async def _record_outcomes(
    log: LogWriter,
    ids: list[str],
    disease: Array,
    history: list[Day],
    end: datetime,
    random: np.random.Generator,
) -> None:
    """Record the outcomes, days later, of those for whom that time has passed."""
    received = np.concatenate([day.received_ms for day in history])
    observed = received + 86_400_000 * random.uniform(*_DELAY_DAYS, len(ids))
    known = (random.random(len(ids)) < _KNOWN) & (observed < end.timestamp() * 1000)
    calls = [
        log.record_outcome(ids[i], int(disease[i]), datetime.fromtimestamp(observed[i] / 1000, UTC))
        for i in np.flatnonzero(known)
    ]
    await asyncio.gather(*calls)


def _refusals(end: datetime, random: np.random.Generator) -> Counter[RejectionKey]:
    """Count rejections: now and then of a typing error, daily of a unit during the unit error."""
    midnight = end.replace(hour=0, minute=0, second=0, microsecond=0)
    counts: Counter[RejectionKey] = Counter()
    for number in range(DAYS):
        noon = midnight - (DAYS - number) * _DAY + _DAY / 2
        minute = int(noon.timestamp()) // 60
        if random.random() < 0.2:
            counts[minute, "/predict", 422, *MISTYPED, SOURCE] += 1
        if active_change(number) is INJECTED_CHANGES[0]:
            counts[minute, "/predict", 422, *OTHER_UNIT, SOURCE] += int(random.integers(4, 9))
    return counts


def scenario(end: datetime, model_version: str) -> dict[str, Any]:
    """Return the changes and their days, for the page that compares them with the alarms."""
    midnight = end.replace(hour=0, minute=0, second=0, microsecond=0)
    first = midnight - DAYS * _DAY
    return {
        "source": SOURCE,
        "model_version": model_version,
        "since": first.isoformat(),
        "until": end.isoformat(),
        "changes": [
            {
                "since": (first + change.first_day * _DAY).isoformat(),
                "until": (first + (change.last_day + 1) * _DAY).isoformat(),
                "title": change.title,
                "sentence": change.sentence,
                "features": list(change.features),
            }
            for change in INJECTED_CHANGES
        ],
    }
