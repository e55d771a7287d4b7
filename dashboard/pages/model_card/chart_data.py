"""The charts of the model card as data: Plotly draws them on the page, `svg` in the file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from dashboard.pages.model_card import texts
from dashboard.shared.group_rates import LABELS
from pipeline.fairness.result import Grouping, Verdict
from pipeline.statistics.proportions import wilson_interval


@dataclass(frozen=True)
class Point:
    """Patients with similar predictions, and the share of them with disease."""

    predicted: float
    observed: float
    low: float
    """Wilson's 95 % interval of `observed`."""
    high: float
    n: int


@dataclass(frozen=True)
class CalibrationCurve:
    """Predicted against observed probabilities; the diagonal is perfect calibration."""

    alt: str
    curves: Mapping[str, tuple[Point, ...]]
    """By data set, the training data first."""


@dataclass(frozen=True)
class IntervalRow:
    """A value with its 95 % interval."""

    name: str
    value: float
    low: float
    high: float
    is_conclusive: bool = True
    """False = drawn in grey: inconclusive, or not the model in service."""


@dataclass(frozen=True)
class IntervalChart:
    """Values with intervals on one axis, one below the other."""

    alt: str
    axis: str
    rows: tuple[IntervalRow, ...]
    around_zero: bool = False


ChartData = CalibrationCurve | IntervalChart


def calibration(evidence: Mapping[str, Any]) -> CalibrationCurve:
    """Return the curves of the training data, out of fold, and of external validations."""
    curves = {texts.TRAINING_OUT_OF_FOLD: points(evidence["cross_validation"]["reliability"])}
    curves |= {other["file"]: points(other["reliability"]) for other in evidence["external"]}
    return CalibrationCurve("Calibration curve with 95 % intervals; numbers in the table", curves)


def points(bins: Sequence[Mapping[str, float]]) -> tuple[Point, ...]:
    """Return the bins of a calibration curve with the intervals of the observed shares."""
    return tuple(
        Point(
            b["predicted"],
            b["observed"],
            *wilson_interval(b["observed"] * b["n"], b["n"]),
            round(b["n"]),
        )
        for b in bins
    )


def auc_comparison(evidence: Mapping[str, Any]) -> IntervalChart:
    """Return the AUC of the model, of its challengers, and in external validation."""
    rows = [
        _row(row["model"].capitalize(), row["auc"]["complete"], row["auc_interval"], i == 0)
        for i, row in enumerate(evidence["challengers"]["table"])
    ]
    rows += [_row(o["file"], o["auc"], o["auc_interval"]) for o in evidence["external"]]
    return IntervalChart(
        "AUC of each model with its 95 % interval; numbers in the table",
        "AUC (0.5 = chance, 1 = perfect)",
        tuple(rows),
    )


def fairness_gaps(grouping: Grouping) -> IntervalChart:
    """Return the differences between two groups, or between each of more and all others."""
    rows = tuple(
        _row(
            f"{gap.group} · " * (len(grouping.groups) > 2) + LABELS[gap.metric],
            gap.difference,
            gap.interval,
            gap.verdict is not Verdict.INCONCLUSIVE,
        )
        for gap in grouping.gaps
        if gap.difference is not None and gap.interval is not None
    )
    first = grouping.gaps[0]
    axis = f"{first.group if len(grouping.groups) == 2 else 'group'} minus {first.against}"
    return IntervalChart(
        "Differences between groups with 95 % intervals; numbers in the table",
        axis,
        rows,
        around_zero=True,
    )


def _row(
    name: str, value: float, interval: Sequence[float], is_conclusive: bool = True
) -> IntervalRow:
    low, high = interval
    return IntervalRow(name, value, low, high, is_conclusive)
