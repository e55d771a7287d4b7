"""One monitoring run: what it reads from the log, what it checks, and its report.

Drift is tested in the window and in the week that ends with it: a day shows sudden faults, a week
gradual ones. Both share one alpha. Fairness and measured accuracy need more patients, and time for
outcomes to arrive: they use the thirty days before the window's end.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import numpy as np
from numpy.typing import NDArray

from db.reader.queries import Reader
from db.reader.samples import SampledRow
from pipeline import quality
from pipeline.drift import DriftResult, classify, compare, compare_counts, risk_change
from pipeline.fairness import assess
from pipeline.fairness.groups import sensitive_groups
from pipeline.fairness.result import Assessment
from pipeline.model import Model
from pipeline.model.reference import Reference, no_rows
from pipeline.monitoring import status_rules
from pipeline.monitoring.accuracy_estimation import (
    CalibrationCurve,
    calibration_curve,
    estimate_accuracy,
    measure_accuracy,
)
from pipeline.schema import NAMES

FORMAT = 1
"""Of the report; a reader rejects a number that it does not know."""

CORRELATION_CHANGES = "changes of the correlations between findings"
"""What drift tests on patients alone."""
WEEK = timedelta(days=7)
MONTH = timedelta(days=30)
CLASSIFIED = 500
"""Rows for the domain classifier, which then takes less than a second."""
MAX_PAIRS = 5
"""Pairs of features in a report, of 78; those with the smallest p-values."""

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Window:
    """The predictions that a run checks."""

    source: str
    since: datetime
    until: datetime


@dataclass(frozen=True)
class ExpectedAccuracy:
    """What a model's evidence says of its predictions."""

    accuracy: float
    """Cross-validated."""
    confidence: CalibrationCurve | None
    """None when the model was trained without it."""

    @classmethod
    def of(cls, evidence: Mapping[str, Any]) -> ExpectedAccuracy:
        """Read the evidence of a model."""
        accuracy = float(evidence["cross_validation"]["accuracy"]["mean"])
        return cls(accuracy, calibration_curve(evidence))


def run(
    reader: Reader,
    window: Window,
    model: Model,
    reference: Reference,
    expected: ExpectedAccuracy,
    *,
    newest: bool = True,
) -> tuple[status_rules.Status, str, dict[str, Any]]:
    """Check a window; return its status, the reason, and the report.

    Only the newest of several windows is given to the domain classifier: it costs as much as the
    rest, and no status rests on it.

    Raises
    ------
    DatabaseUnavailable
        The log cannot be read.
    """
    since, until, source = window.since, window.until, window.source
    alpha = status_rules.MONTHLY_FALSE_ALARM_RATE / status_rules.RUNS_PER_MONTH / 2
    unused = ~np.isin(np.array(NAMES), model.features)
    day = _Part(reader, source, since, until, unused)
    week = _Part(reader, source, min(since, until - WEEK), until, unused)
    drift = {"window": day.drift(reference, alpha), "week": week.drift(reference, alpha)}
    refusals = reader.rejection_counts(since=since, until=until, source=source)
    found_quality = quality.assess(
        day.values,
        reference=reference.counts,
        in_order=day.whole,
        refusals=refusals,
        n_requests=day.n,
    )
    month = _Part(reader, source, until - MONTH, until, unused)
    known = reader.sample_with_outcomes(
        since=until - MONTH, until=until, source=source, known_before=until
    )
    outcome = _column(known, "outcome")
    of_known = _values(known)
    rates = assess(None, month.prediction, sensitive_groups(month.values))
    errors = assess(outcome, _column(known, "prediction"), sensitive_groups(of_known))
    true = measure_accuracy(outcome, _column(known, "prediction"))
    estimated = None
    if expected.confidence is not None:
        ours = [row for row in week.rows if row.model_version == model.version]
        estimated = estimate_accuracy(
            _column(ours, "probability"), _column(ours, "prediction"), expected.confidence
        )
    words = {"window": _words(window), "week": "7-day window"}
    findings = [
        *status_rules.check_quality(found_quality),
        *status_rules.check_drift((words[name], result) for name, result in drift.items()),
        *status_rules.check_accuracy(estimated, true, expected.accuracy),
        *status_rules.check_fairness(rates, Assessment.from_dict(reference.fairness)),
        *status_rules.check_data(day.n, drift["week"].enough_data, week.n),
    ]
    status, verdict = status_rules.overall_status(findings)
    before, now, error = risk_change(reference.probability, week.probability)
    report = {
        "format": FORMAT,
        "source": source,
        "model_version": model.version,
        "since": since.isoformat(),
        "until": until.isoformat(),
        "n": day.n,
        "n_week": week.n,
        "n_month": month.n,
        "sampled": {"window": len(day.rows), "week": len(week.rows), "month": len(month.rows)},
        "exact": day.exact and week.exact,
        "models": dict(Counter(row.model_version for row in month.rows)),
        "reference": reference.population.statement(),
        "not_computed": None if reference.rows is not None else no_rows(CORRELATION_CHANGES),
        "status": str(status),
        "verdict": verdict,
        "findings": [finding.to_dict() for finding in findings],
        "quality": found_quality.to_dict(),
        "drift": {name: _brief(result) for name, result in drift.items()},
        "classifier": day.classifier(reference, alpha) if newest else None,
        "risk": {"training": before, "week": now, "standard_error": error},
        "fairness": {"rates": rates.to_dict(), "errors": errors.to_dict()},
        "accuracy": {
            "training": expected.accuracy,
            "estimated": None if estimated is None else estimated.to_dict(),
            "true": true.to_dict(),
        },
    }
    return status, verdict, report


class _Part:
    """The rows of a window: their exact counts and, when they are many, a sample.

    Findings that the model does not use are left out of the counts, and missing in the values.
    """

    def __init__(
        self,
        reader: Reader,
        source: str,
        since: datetime,
        until: datetime,
        unused: NDArray[np.bool_],
    ) -> None:
        counts = reader.counts(since=since, until=until, source=source)
        self.n, self.exact, self.counts = counts.n, counts.exact, counts.values
        seed = int(until.timestamp())
        self.rows = reader.sample(since=since, until=until, source=source, n=self.n, seed=seed)
        self.whole = len(self.rows) == self.n
        self.values = _values(self.rows)
        self.values[:, unused] = np.nan
        self.probability = _column(self.rows, "probability")
        self.prediction = _column(self.rows, "prediction")
        self._seed = seed

    def drift(self, reference: Reference, alpha: float) -> DriftResult:
        """Compare with the training data: on all rows, or on their counts and the sample."""
        patients = [row.patient_hash for row in self.rows]
        if self.whole and reference.rows is not None:
            return compare(
                reference.rows, self.values, patients=patients, alpha=alpha, seed=self._seed
            )
        return compare_counts(
            reference.counts,
            self.counts,
            reference_sample=reference.rows,
            sample=None if reference.rows is None else self.values,
            patients=patients,
            alpha=alpha,
            seed=self._seed,
        )

    def classifier(self, reference: Reference, alpha: float) -> dict[str, Any] | None:
        """Return the domain classifier's result on at most `CLASSIFIED` of the rows."""
        if reference.rows is None:
            return None
        order = np.random.default_rng(self._seed).permutation(len(self.rows))[:CLASSIFIED]
        patients = [self.rows[i].patient_hash for i in order]
        found = classify(
            reference.rows, self.values[order], patients=patients, alpha=alpha, seed=self._seed
        ).to_dict()
        del found["roc"]
        return found


def _values(rows: list[SampledRow]) -> Array:
    return np.array([row.features for row in rows], dtype=float).reshape(-1, len(NAMES))


def _column(rows: list[SampledRow], name: str) -> Array:
    return np.array([getattr(row, name) for row in rows], dtype=float)


def _words(window: Window) -> str:
    hours = (window.until - window.since) / timedelta(hours=1)
    return "1-day window" if hours == 24 else f"{hours:g}-hour window"


def _brief(result: DriftResult) -> dict[str, Any]:
    plain = result.to_dict()
    plain["pairs"] = plain["pairs"][:MAX_PAIRS]
    return plain
