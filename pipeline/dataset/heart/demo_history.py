"""The patients of `make demo`: sixty days, and three changes that monitoring should see."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

import numpy as np
import numpy.typing as npt

from pipeline.dataset.heart.drift_scenarios import training_source
from pipeline.dataset.heart.missingness import PROFILES, apply_missingness
from pipeline.dataset.synthetic import smoothed_bootstrap
from pipeline.model.design_matrix import Array
from pipeline.schema import NAMES

DAYS = 60
MISTYPED, OTHER_UNIT = ("age", "range"), ("chol", "unit")
"""The field and the reason of the rejections."""

_DAY = timedelta(days=1)
_OLDPEAK = NAMES.index("oldpeak")
_ROUNDS = tuple(range(7, 19))
"""Hours at which the wards send their patients, within five minutes each."""
_SCREENED_ILL = 0.1


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
    drawn = smoothed_bootstrap(_pool(active_change(number)), n, seed=int(random.integers(2**31)))
    rows = _changed(drawn[:, :-1], active_change(number), random)
    hours = np.sort(random.choice(_ROUNDS, n) + random.random(n) / 13)
    received = (int(start.timestamp() * 1000) + 3_600_000 * hours).astype(np.int64)
    passed = received < int(end.timestamp() * 1000)
    return Day(rows[passed], drawn[passed, -1], received[passed])


def active_change(number: int) -> InjectedChange | None:
    """Return the change of a day of the history."""
    last = INJECTED_CHANGES[-1]
    if number > last.last_day:
        return last  # today continues as yesterday
    return next((c for c in INJECTED_CHANGES if c.first_day <= number <= c.last_day), None)


def _pool(change: InjectedChange | None) -> Array:
    """Return the real patients to draw from, with the label as a fourteenth column."""
    source = training_source()
    rows = np.column_stack([source.rows, source.disease])
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
