"""What the model card draws, as data: Plotly draws it on the page, `svg` in the file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from dashboard.pages.model_card import texts
from dashboard.shared import group_rates
from pipeline.fairness.result import Grouping, Verdict
from pipeline.statistics.proportions import wilson


@dataclass(frozen=True)
class Point:
    """Patients with about the same estimate, and how many of them had the disease."""

    predicted: float
    observed: float
    low: float
    """Wilson's 95 % interval of `observed`."""
    high: float
    n: int


@dataclass(frozen=True)
class Calibration:
    """Predicted against observed shares; on the diagonal the percentages are right."""

    alt: str
    curves: Mapping[str, tuple[Point, ...]]
    """By whose patients they are, the training's first."""


@dataclass(frozen=True)
class Span:
    """A figure with its 95 % range."""

    name: str
    value: float
    low: float
    high: float
    firm: bool = True
    """False = drawn in grey: these patients cannot tell, or it is not the model in service."""


@dataclass(frozen=True)
class Spans:
    """Figures on one axis, one below the other."""

    alt: str
    axis: str
    rows: tuple[Span, ...]
    around_zero: bool = False


Picture = Calibration | Spans


def calibration(evidence: Mapping[str, Any]) -> Calibration:
    """Draw the patients of training, out of fold, and those of other hospitals."""
    curves = {texts.OWN: points(evidence["cross_validation"]["reliability"])}
    curves |= {other["file"]: points(other["reliability"]) for other in evidence["external"]}
    return Calibration(texts.CALIBRATION_ALT, curves)


def points(bins: Sequence[Mapping[str, float]]) -> tuple[Point, ...]:
    """Return the bins of a reliability curve with the interval of what was observed."""
    return tuple(
        Point(b["predicted"], b["observed"], *wilson(b["observed"] * b["n"], b["n"]), round(b["n"]))
        for b in bins
    )


def discrimination(evidence: Mapping[str, Any]) -> Spans:
    """Draw the AUC of the model, its challengers, and on other hospitals' patients."""
    rows = [
        _span(row["model"].capitalize(), row["auc"]["complete"], row["auc_interval"], firm=i == 0)
        for i, row in enumerate(evidence["challengers"]["table"])
    ]
    rows += [_span(o["file"], o["auc"], o["auc_interval"]) for o in evidence["external"]]
    return Spans(texts.AUC_ALT, texts.AUC_AXIS, tuple(rows))


def gaps(grouping: Grouping) -> Spans:
    """Draw the signed gaps between two groups."""
    rows = tuple(
        _span(
            group_rates.LABELS[gap.metric],
            gap.difference,
            gap.interval,
            firm=gap.verdict is not Verdict.UNKNOWN,
        )
        for gap in grouping.gaps
        if gap.difference is not None and gap.interval is not None
    )
    first = grouping.gaps[0]
    axis = texts.gap_axis(first.group, first.against)
    return Spans(texts.GAPS_ALT, axis, rows, around_zero=True)


def _span(name: str, value: float, interval: Sequence[float], *, firm: bool = True) -> Span:
    low, high = interval
    return Span(name, value, low, high, firm)
