"""Sixty synthetic days of a hospital: no drift at first, then three injected changes.

The patients are synthetic (a smoothed bootstrap of Cleveland that includes the label), scored by
the model and written by the log's own writer with past times and the source `replay`. The changes
and their days are stored as a report of the kind `replay`.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import numpy.typing as npt

from db.ids import new_id
from db.writer.rejections import RejectionKey, add_rejections
from db.writer.results import add_report
from db.writer.writer import LogWriter
from errors import CardiowatchError
from pipeline.dataset.heart.codings import Coding
from pipeline.dataset.heart.csv_reader import HEART_CSV, read_patients
from pipeline.dataset.heart.missingness import PROFILES, apply_missingness
from pipeline.dataset.synthetic import smoothed_bootstrap
from pipeline.model import Model
from pipeline.schema import NAMES

Array = npt.NDArray[np.float64]

DAYS = 60
SOURCE = "replay"
FORMAT = 1
"""Of the report that lists the changes."""

_DAY = timedelta(days=1)
_OLDPEAK = NAMES.index("oldpeak")
_KNOWN = 0.8  # share of patients whose outcome becomes known
_DELAY_DAYS = (3.0, 15.0)  # from prediction to outcome: an angiography has to be booked
_ROUNDS = tuple(range(7, 19))
"""Hours at which the wards send their patients, within five minutes each."""
_CALL_ROWS = 1_000
_SCREENED_ILL = 0.1


class HistoryExists(CardiowatchError):
    """The log already has a replayed history."""


@dataclass(frozen=True)
class InjectedChange:
    """A simulated change to the replayed patients, from one day of the history to another."""

    first_day: int
    last_day: int
    title: str
    sentence: str
    features: tuple[str, ...]
    """The features whose values were changed, if any."""


INJECTED_CHANGES = (
    InjectedChange(
        21,
        32,
        "A unit error",
        "Half of the ECGs come from a device that writes ST depression in millivolts: "
        "1 mm is 0.1 mV, so 2 mm arrives as 0.2. Such values are plausible and are accepted. "
        "(The more common mistake, cholesterol in mmol/l, is rejected; the log counts it.)",
        ("oldpeak",),
    ),
    InjectedChange(
        34,
        45,
        "Other patients",
        "Patients are referred for screening: "
        f"{100 * _SCREENED_ILL:.0f} % of them have the disease instead of 46 %.",
        (),
    ),
    InjectedChange(
        47,
        59,
        "A new hospital",
        "Two in three patients come from a hospital that rarely does thallium scans and "
        "fluoroscopy, like the Hungarian hospital of the UCI data.",
        ("ca", "thal", "slope"),
    ),
)


@dataclass(frozen=True)
class Day:
    """One day of patients: values, outcomes and times."""

    rows: Array
    """Shape (n, 13), UCI codes, NaN = missing."""
    disease: Array
    received_ms: npt.NDArray[np.int64]
    """Since 1970, ascending."""


def days(end: datetime, seed: int = 0) -> Iterator[Day]:
    """Yield `DAYS` days up to the midnight before `end`, then the day of `end` so far."""
    midnight = end.replace(hour=0, minute=0, second=0, microsecond=0)
    for number in range(DAYS + 1):
        start = midnight - (DAYS - number) * _DAY
        yield _day(number, start, end, np.random.default_rng([seed, number]))


def _day(number: int, start: datetime, end: datetime, random: np.random.Generator) -> Day:
    n = int(random.integers(55, 81) if start.weekday() < 5 else random.integers(40, 56))
    drawn = smoothed_bootstrap(_pool(_active(number)), n, seed=int(random.integers(2**31)))
    rows = _changed(drawn[:, :-1], _active(number), random)
    hours = np.sort(random.choice(_ROUNDS, n) + random.random(n) / 13)
    received = (int(start.timestamp() * 1000) + 3_600_000 * hours).astype(np.int64)
    passed = received < int(end.timestamp() * 1000)
    return Day(rows[passed], drawn[passed, -1], received[passed])


def _active(number: int) -> InjectedChange | None:
    last = INJECTED_CHANGES[-1]
    if number > last.last_day:
        return last  # today continues as yesterday
    return next((c for c in INJECTED_CHANGES if c.first_day <= number <= c.last_day), None)


def _pool(change: InjectedChange | None) -> Array:
    """Return the real patients to draw from, with the label as a fourteenth column."""
    patients = read_patients(HEART_CSV, Coding.UCI)
    if patients.features is None or patients.disease is None:
        raise ValueError("the training data has no label")  # it is our own file
    rows = np.column_stack([patients.features.to_numpy(float), patients.disease.to_numpy(float)])
    if change is not INJECTED_CHANGES[1]:
        return rows
    ill, well = rows[rows[:, -1] == 1], rows[rows[:, -1] == 0]
    few = round(len(well) * _SCREENED_ILL / (1 - _SCREENED_ILL))
    return np.vstack([well, np.random.default_rng(0).permutation(ill)[:few]])


def _changed(rows: Array, change: InjectedChange | None, random: np.random.Generator) -> Array:
    if change is INJECTED_CHANGES[0]:
        device = random.random(len(rows)) < 0.5
        rows[device, _OLDPEAK] = np.round(rows[device, _OLDPEAK] / 10, 2)
    if change is INJECTED_CHANGES[2]:
        hungarian = next(site for site in PROFILES if site.name == "Hungarian")
        theirs = random.random(len(rows)) < 2 / 3
        rows[theirs] = apply_missingness(rows[theirs], hungarian, random)
    return rows


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
        yield (new_id(int(ms)), SOURCE, *values, *answer, round(float(took), 3), None, None)


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
    """Count rejections: an age now and then, and cholesterol in mmol/l during the unit error."""
    midnight = end.replace(hour=0, minute=0, second=0, microsecond=0)
    counts: Counter[RejectionKey] = Counter()
    for number in range(DAYS):
        noon = midnight - (DAYS - number) * _DAY + _DAY / 2
        minute = int(noon.timestamp()) // 60
        if random.random() < 0.2:
            counts[minute, "/predict", 422, "age", "range", SOURCE] += 1
        if _active(number) is INJECTED_CHANGES[0]:
            counts[minute, "/predict", 422, "chol", "unit", SOURCE] += int(random.integers(4, 9))
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
