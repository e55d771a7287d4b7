"""The training bundle -> the sections of the model card: text, a chart, a table each.

Plain text throughout: the page and the file mark it up, each in its own way.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from dashboard.pages.model_card import chart_data, texts, texts_limits
from dashboard.pages.model_card.chart_data import ChartData
from dashboard.shared import group_rates
from dashboard.shared.numbers import percent
from errors import CardiowatchError
from pipeline.fairness.result import Grouping
from pipeline.model.reference import Population
from pipeline.schema import FEATURES, Feature

TableRows = Sequence[Mapping[str, str]]


@dataclass(frozen=True)
class Section:
    """One section of the card."""

    title: str
    text: str
    chart: ChartData | None = None
    table: TableRows = ()
    note: str = ""
    """Below the table."""
    points: tuple[str, ...] = ()


@dataclass(frozen=True)
class ModelCard:
    """The whole card."""

    version: str
    verdict: str
    sections: tuple[Section, ...]


class EvidenceMissing(CardiowatchError):
    """The bundle of an older training lacks what a card needs."""


def build_card(found: Mapping[str, Any], of: Population) -> ModelCard:
    """Return the card.

    Parameters
    ----------
    found
        `version`, `threshold` and `evidence`, as `GET /model` returns them.
    of
        The training patients.

    Raises
    ------
    EvidenceMissing
        When a part of the evidence is missing.
    """
    try:
        return _build(found, of)
    except KeyError:
        raise EvidenceMissing(texts.INCOMPLETE) from None


def _build(found: Mapping[str, Any], of: Population) -> ModelCard:
    evidence = found["evidence"]
    assessed = evidence["fairness"]
    groupings = [Grouping.from_dict(assessed[key]) for key in assessed if key.startswith("by_")]
    return ModelCard(
        version=found["version"],
        verdict=texts.verdict(evidence["cross_validation"], evidence["external"]),
        sections=(
            _calibration(evidence),
            _challengers(evidence),
            _external_validation(evidence["external"]),
            *(_groups(evidence, grouping) for grouping in groupings),
            _data(evidence, of),
            _model_details(found),
            Section(
                "Limitations and out-of-scope use",
                texts.NOT_A_DEVICE,
                points=texts_limits.limits(of),
            ),
            Section(
                "Criteria for retraining or withdrawal",
                texts_limits.CRITERIA,
                points=texts_limits.withdrawal_criteria(evidence, groupings),
            ),
        ),
    )


def _calibration(evidence: Mapping[str, Any]) -> Section:
    chart = chart_data.calibration(evidence)
    table = [
        ({"Patients": whose} if len(chart.curves) > 1 else {})
        | {
            texts.PREDICTED: percent(point.predicted),
            texts.OBSERVED: percent(point.observed),
            "95 % interval": f"{100 * point.low:.0f}–{percent(point.high)}",
            "n": str(point.n),
        }
        for whose, curve in chart.curves.items()
        for point in curve
    ]
    said = texts.calibration(evidence["cross_validation"])
    return Section("Calibration", said, chart, table, texts.CALIBRATION_NOTE)


def _challengers(evidence: Mapping[str, Any]) -> Section:
    challengers = evidence["challengers"]
    table = [texts.model_row(row) for row in challengers["table"]]
    return Section(
        "Comparison with challenger models",
        texts.challengers(challengers),
        chart_data.auc_comparison(evidence),
        table,
        texts.CHALLENGERS_NOTE,
    )


def _external_validation(external: Sequence[Mapping[str, Any]]) -> Section:
    table = [texts.external_row(other) for other in external]
    return Section("External validation", texts.external_validation(external), table=table)


def _groups(evidence: Mapping[str, Any], grouping: Grouping) -> Section:
    table = [
        {
            "Rate": group_rates.LABELS[gap.metric],
            **({"Group": gap.group} if len(grouping.groups) > 2 else {}),
            **group_rates.rate_cells(grouping, gap.metric),
            **group_rates.gap_cells(gap),
        }
        for gap in grouping.gaps
    ]
    said = (
        f"{group_rates.fairness_verdict(grouping)} {group_rates.perfect_classifier_note(grouping)}"
    )
    chart = chart_data.fairness_gaps(grouping) if grouping.gaps else None
    return Section(f"Fairness by {grouping.name}", said, chart, table, texts.groups_note(evidence))


def _data(evidence: Mapping[str, Any], of: Population) -> Section:
    counts = evidence["explanations"]["counts"]
    table = [
        {
            "Finding": feature.label,
            "Values": _values(feature, counts[feature.name]),
            "Missing": str(evidence["data"]["missing"][feature.name]),
        }
        for feature in FEATURES
        if feature.name in counts
    ]
    points = texts_limits.audit_points(evidence["data"], evidence["audit"])
    return Section("Training data", texts_limits.data(of), table=table, points=points)


def _values(feature: Feature, counts: Mapping[str, int]) -> str:
    known = {float(value): n for value, n in counts.items() if value != "not known"}
    if feature.is_numeric:
        return texts_limits.value_range(known, feature.unit)
    return "; ".join(f"{feature.format_value(value)} {n}" for value, n in sorted(known.items()))


def _model_details(found: Mapping[str, Any]) -> Section:
    details = texts_limits.model_details(found)
    table = [{"Property": name, "Value": value} for name, value in details.items()]
    return Section("Model details", texts_limits.DETAILS, table=table)
