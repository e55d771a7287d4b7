"""The checks of a monitoring run: green, amber or red, each with its reason in a sentence.

Red: predictions are likely to be wrong; investigate today. Amber: investigate when there is time,
or inconclusive. Green: no changes detected.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from pipeline.drift.result import DriftResult
from pipeline.fairness.confusion_matrix import SELECTION
from pipeline.fairness.result import MIN_GROUP_SIZE, Assessment
from pipeline.monitoring.accuracy_estimation import Accuracy
from pipeline.quality import DataQuality
from pipeline.schema import BY_NAME, in_a_sentence
from pipeline.statistics.proportions import Z95

MONTHLY_FALSE_ALARM_RATE = 0.05
"""Chance of a false drift alarm in a month of daily runs: one in twenty months."""
RUNS_PER_MONTH = 30
ACCURACY_MARGIN = 0.05
"""Drop in accuracy against training that matters: one more wrong prediction in twenty."""
FAIRNESS_Z = 3.0
"""Standard errors by which a fairness gap must differ from that in training: the windows of thirty
runs overlap, so the usual 1.96 would raise a false alarm every other month."""


class Status(StrEnum):
    """The status of a monitoring run."""

    GREEN = "green"
    AMBER = "amber"
    RED = "red"


@dataclass(frozen=True)
class CheckResult:
    """What one check found."""

    check: str
    """quality, drift, fairness, estimated accuracy, accuracy or data."""
    status: Status
    sentence: str

    def to_dict(self) -> dict[str, Any]:
        """Return plain values."""
        return {"check": self.check, "status": str(self.status), "sentence": self.sentence}


def overall_status(findings: Sequence[CheckResult]) -> tuple[Status, str]:
    """Return the worst status and its reason in one sentence."""
    order = [Status.RED, Status.AMBER, Status.GREEN]
    worst = min((f.status for f in findings), key=order.index, default=Status.GREEN)
    reasons = [f.sentence for f in findings if f.status is worst]
    if worst is Status.GREEN or not reasons:
        return Status.GREEN, "No changes detected."
    n = len(reasons) - 1
    more = f" {n} more reason{' applies' if n == 1 else 's apply'}." if n else ""
    return worst, reasons[0] + more


def check_data(n: int, enough: bool, n_week: int) -> list[CheckResult]:
    """Return a warning when there are too few patients to test."""
    if n_week == 0:
        return [CheckResult("data", Status.AMBER, "No predictions for a week.")]
    if not enough:
        sentence = f"Inconclusive, too few data: {n_week:,} {_predictions(n_week)} in 7 days."
        return [CheckResult("data", Status.AMBER, sentence)]
    return []


def _predictions(n: int) -> str:
    return "prediction" if n == 1 else "predictions"


def check_quality(quality: DataQuality) -> list[CheckResult]:
    """Return what is wrong with the values."""
    return [
        CheckResult("quality", Status.RED if problem.serious else Status.AMBER, problem.sentence)
        for problem in quality.problems
    ]


def check_drift(windows: Iterable[tuple[str, DriftResult]]) -> list[CheckResult]:
    """Return the windows with drift and their features; the shortest window comes first."""
    return [
        CheckResult("drift", Status.RED, f"Input drift detected ({words}): {_named(result)}.")
        for words, result in windows
        if result.drift
    ]


def _named(result: DriftResult) -> str:
    names = [in_a_sentence(BY_NAME[name].label) for name in result.drifted]
    if not names:
        if result.look_first is None:
            return "multivariate drift; no single feature identified"
        likely = in_a_sentence(BY_NAME[result.look_first].label)
        return f"no single feature identified; most likely {likely}"
    last = f"{len(names) - 3} more" if len(names) > 3 else names.pop()
    return f"{', '.join(names[:3])} and {last}" if names else last


def check_accuracy(estimated: Accuracy | None, true: Accuracy, trained: float) -> list[CheckResult]:
    """Return whether measured or estimated accuracy is clearly below that of training."""
    found = []
    for accuracy in (true, estimated):
        if accuracy is None or accuracy.interval is None or accuracy.accuracy is None:
            continue
        if accuracy.interval[1] >= trained - ACCURACY_MARGIN:
            continue
        share, before = f"{100 * accuracy.accuracy:.0f} %", f"{100 * trained:.0f} % in training."
        if accuracy is true:
            sentence = f"Accuracy {share} on {true.n:,} predictions with an outcome; {before}"
            found.append(CheckResult("accuracy", Status.RED, sentence))
        else:
            sentence = f"Estimated accuracy {share}; {before}"
            found.append(CheckResult("estimated accuracy", Status.AMBER, sentence))
    return found


def check_fairness(now: Assessment, trained: Assessment) -> list[CheckResult]:
    """Return the gaps in selection rate that differ clearly from those in training."""
    found = []
    for name, grouping in trained.groupings.items():
        before = {(g.group, g.against): g for g in grouping.gaps if _selection(g)}
        for gap in now.groupings[name].gaps if name in now.groupings else ():
            old = before.get((gap.group, gap.against))
            if not _selection(gap) or old is None or min(gap.n) < MIN_GROUP_SIZE:
                continue
            if gap.difference is None or old.difference is None:
                continue
            apart, error = gap.difference - old.difference, (_se(gap) ** 2 + _se(old) ** 2) ** 0.5
            if abs(apart) > FAIRNESS_Z * error:
                sentence = (
                    f"Selection rate gap {gap.difference:+.0%} between {gap.group} and "
                    f"{gap.against}; {old.difference:+.0%} in training."
                )
                found.append(CheckResult("fairness", Status.AMBER, sentence))
    return found


def _selection(gap: Any) -> bool:
    return bool(gap.metric == SELECTION.name)


def _se(gap: Any) -> float:
    low, high = gap.interval
    return float(high - low) / (2 * Z95)
