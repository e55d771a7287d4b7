"""What the Drift page reads, cached: a window of the log, its reference, the monitoring history.

Counts cover every prediction of a window, from the rollups; rows are a sample of at most 5,000.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import streamlit as st
from numpy.typing import NDArray

from dashboard.shared import data_access, reference, scorecards
from dashboard.shared.cohort import ALL, Cohort
from pipeline import drift
from pipeline.drift import ClassifierResult, DriftResult, RiskShares
from pipeline.model import ModelError
from pipeline.model.global_explanation import count_values
from pipeline.model.reference import no_rows
from pipeline.schema import NAMES

Array = NDArray[np.float64]
Counts = dict[str, dict[float | None, int]]

TRAINING_DATA, PREVIOUS_WINDOW = "training", "before"
"""References: the training data, or the previous window of the same length."""

_FRESH_S = 60.0
_STEP = timedelta(minutes=5)  # rollups begin there; any other window would read rows
_CALIBRATION = Path(drift.__file__).parent / "calibration" / "calibration.json"
_FORMAT = 1  # of monitoring reports
_DAYS = 92


@dataclass(frozen=True)
class Window:
    """A window of the log."""

    since: datetime
    until: datetime
    source: str
    version: str | None
    """Of the model; None = all."""
    cohort: Cohort = ALL
    """Whose groups alone are compared, on either side."""
    alpha: float = 0.05
    """Significance level."""

    @property
    def previous(self) -> Window:
        """The window of the same length that ends where this one begins."""
        return replace(self, since=self.since - (self.until - self.since), until=self.since)


@dataclass(frozen=True)
class Sample:
    """Predictions of a window, or the training data."""

    n: int
    counts: Counts
    rows: Array | None
    """All patients, or a random sample, shape (up to 5,000, 13); None = not kept."""
    patients: tuple[bytes | None, ...] | None
    """Hashed references of the patients in `rows`; None = not known."""
    probability: Array
    """Estimated risks, shape (up to 5,000,)."""
    versions: tuple[str, ...]
    """Of the models that made the predictions of the window, the newest first."""
    exact: bool
    """False when rows wait to be counted; the newest of them are in the sample."""


@dataclass(frozen=True)
class Comparison:
    """A window, its reference and the result."""

    reference: Sample
    current: Sample
    result: DriftResult
    risk: tuple[float, float, float]
    """Mean estimated risk of the reference, of the window, standard error of the difference."""
    shares: RiskShares | None
    """What each finding did to it; None where a side's patients or the scorecard are not kept."""


@dataclass(frozen=True)
class MonitoringDay:
    """The result of one monitoring run."""

    since: datetime
    until: datetime
    p_value: float
    alpha: float
    drift: bool
    enough: bool
    named: tuple[str, ...]
    """Features that drifted in that window or in the week that ends with it."""
    effects: dict[str, float]
    risk: float | None
    """Mean estimated risk in the week that ends with the window."""
    verdict: str
    reference: str | None = None
    """Whom it was compared with; None in reports of the first edition."""


def make_window(window: str, source: str, version: str | None, until: datetime | None) -> Window:
    """Return the window (a key of `data_access.WINDOWS`) that ends at `until`, else now."""
    end = until or datetime.now(UTC) + _STEP
    if until is None:
        end = datetime.fromtimestamp(end.timestamp() // _STEP.seconds * _STEP.seconds, UTC)
    return Window(end - data_access.WINDOWS[window].length, end, source, version)


@st.cache_data(ttl=_FRESH_S, max_entries=20, show_spinner=False)
def read_sample(of: Window) -> Sample:
    """Read a window from the log."""
    reader = data_access.reader()
    counts = reader.counts(
        since=of.since, until=of.until, source=of.source, model_version=of.version
    )
    # The sample is of all versions; its size decides which rows are drawn.
    everyone = counts.n if of.version is None else _number(of)
    rows = reader.sample(since=of.since, until=of.until, source=of.source, n=everyone)
    ours = [row for row in rows if of.version in (None, row.model_version)]
    return Sample(
        n=counts.n,
        counts={name: dict(values) for name, values in counts.values.items()},
        rows=np.array([row.features for row in ours], dtype=float).reshape(-1, len(NAMES)),
        patients=tuple(row.patient_hash for row in ours),
        probability=np.array([row.probability for row in ours], dtype=float),
        versions=tuple(dict.fromkeys(row.model_version for row in reversed(rows))),
        exact=counts.exact,
    )


def _number(of: Window) -> int:
    return data_access.reader().counts(since=of.since, until=of.until, source=of.source).n


def training(version: str) -> Sample:
    """Return the training patients of a model version.

    Raises
    ------
    ModelError
        When the folder of the model in service has none of this version.
    """
    found = reference.of_version(version)
    counts = {name: dict(values) for name, values in found.counts.items()}
    n, rows = found.population.n, found.rows
    return Sample(n, counts, rows, None, found.probability, (version,), True)


@st.cache_data(ttl=_FRESH_S, max_entries=20, show_spinner="Comparing …")
def comparison(of: Window, against: str) -> Comparison:
    """Compare a window with `TRAINING_DATA` or `PREVIOUS_WINDOW`, on rows or counts.

    The training patients belong to one model: of several in the window, to the newest one.

    Raises
    ------
    ModelError
        When there is no reference of the model that made the window's predictions.
    """
    now = everyone = read_sample(of)
    if against == PREVIOUS_WINDOW:
        then = read_sample(of.previous)
    elif now.versions:
        if of.version is None and len(now.versions) > 1:
            now = read_sample(replace(of, version=now.versions[0]))
        then = training(of.version or now.versions[0])
    else:
        then = now
    if of.cohort.groups:
        now, then = _of_cohort(now, of.cohort), _of_cohort(then, of.cohort)
        if not then.n:
            raise ModelError("the reference has no patients of this cohort")
    known = then.rows is not None
    result = drift.compare_counts(
        then.counts,
        now.counts,
        reference_sample=then.rows,
        sample=now.rows if known else None,
        reference_patients=then.patients,
        patients=now.patients,
        alpha=of.alpha,
    )
    risk = drift.risk_change(then.probability, now.probability)
    now = replace(now, versions=everyone.versions)
    return Comparison(then, now, result, risk, _risk_shares(then, now))


def _of_cohort(sample: Sample, found: Cohort) -> Sample:
    """Return the patients of a sample that belong to the groups of a cohort."""
    if sample.rows is None:
        raise ModelError(no_rows("a cohort"))
    inside = found.mask(sample.rows)
    rows, known = sample.rows[inside], sample.patients
    return replace(
        sample,
        n=len(rows),
        counts=count_values(rows),
        rows=rows,
        patients=known and tuple(p for p, kept in zip(known, inside, strict=True) if kept),
        probability=sample.probability[inside],
    )


def _risk_shares(then: Sample, now: Sample) -> RiskShares | None:
    model = scorecards.scorecard(now.versions[0]) if now.versions else None
    if model is None or then.rows is None or now.rows is None:
        return None
    if not len(then.rows) or not len(now.rows):
        return None
    return drift.risk_shares(model.score(then.rows), model.score(now.rows))


@st.cache_data(ttl=_FRESH_S, max_entries=20, show_spinner="Training a classifier …")
def classification(of: Window, against: str) -> ClassifierResult:
    """Train the domain classifier on the rows of `comparison`, which both sides have."""
    found = comparison(of, against)
    before, now = found.reference, found.current
    if before.rows is None or now.rows is None:
        raise ValueError("the classifier needs rows")
    return drift.classify(
        before.rows,
        now.rows,
        reference_patients=before.patients,
        patients=now.patients,
        alpha=of.alpha,
    )


def history(source: str) -> list[MonitoringDay]:
    """Return the monitoring runs of a source, oldest first; a new one is in it at once."""
    newest = data_access.reader().reports(source=source, limit=1)
    return _history(source, newest[0]["id"]) if newest else []


@st.cache_data(ttl=_FRESH_S, max_entries=5, show_spinner=False)
def _history(source: str, newest: str) -> list[MonitoringDay]:
    kept = data_access.reader().reports(source=source, limit=_DAYS)
    days = [_day(row["report"]) for row in kept if row["format"] == _FORMAT]
    return sorted(days, key=lambda day: day.until)


def _day(report: dict[str, Any]) -> MonitoringDay:
    window, week = report["drift"]["window"], report["drift"]["week"]
    return MonitoringDay(
        since=datetime.fromisoformat(report["since"]),
        until=datetime.fromisoformat(report["until"]),
        p_value=min(1.0, 2 * min(window["p_value"], week["p_value"])),
        alpha=window["alpha"] + week["alpha"],
        drift=window["drift"] or week["drift"],
        enough=window["enough_data"] or week["enough_data"],
        named=tuple(dict.fromkeys([*window["drifted"], *week["drifted"]])),
        effects={
            name: max(window["features"][name]["effect"], week["features"][name]["effect"])
            for name in window["features"]
        },
        risk=report["risk"]["week"] if report["n_week"] else None,
        verdict=report["verdict"],
        reference=report.get("reference"),
    )


@st.cache_data(ttl=_FRESH_S, max_entries=1, show_spinner=False)
def drift_scenario() -> list[dict[str, Any]]:
    """Return the simulated changes of replayed patients; empty without any."""
    kept = data_access.reader().reports(kind="replay", limit=1)
    return list(kept[0]["report"]["changes"]) if kept else []


@st.cache_data(ttl=_FRESH_S, max_entries=1, show_spinner=False)
def calibration() -> dict[str, Any] | None:
    """Return how the test did on simulated windows; None = not measured."""
    try:
        found = json.loads(_CALIBRATION.read_text("utf-8"))
    except (OSError, ValueError):
        return None
    return found if isinstance(found, dict) and "clean" in found else None
