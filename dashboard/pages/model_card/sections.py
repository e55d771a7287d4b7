"""The training bundle -> the sections of the model card: words, a picture, a table each.

Plain text throughout: the page and the file mark it up, each in its own way.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from dashboard.pages.model_card import chart_data, texts, texts_limits
from dashboard.pages.model_card.chart_data import Picture, Point
from dashboard.shared import group_rates
from dashboard.shared.numbers import percent
from pipeline.fairness.result import Grouping
from pipeline.schema import FEATURES, Feature

Rows = Sequence[Mapping[str, str]]


@dataclass(frozen=True)
class Section:
    """One question about the model."""

    title: str
    text: str
    picture: Picture | None = None
    table: Rows = ()
    note: str = ""
    """Below the table."""
    points: tuple[str, ...] = ()


@dataclass(frozen=True)
class Card:
    """The whole card."""

    version: str
    verdict: str
    sections: tuple[Section, ...]


class Incomplete(Exception):
    """The bundle was written by an older training and lacks what a card needs."""


def card(found: Mapping[str, Any]) -> Card:
    """Write the card.

    Parameters
    ----------
    found
        `version`, `threshold` and `evidence`, as `GET /model` answers.

    Raises
    ------
    Incomplete
        When a part of the evidence is missing.
    """
    try:
        return _card(found)
    except KeyError as error:
        raise Incomplete(str(error.args[0])) from None


def _card(found: Mapping[str, Any]) -> Card:
    evidence = found["evidence"]
    grouping = Grouping.from_dict(evidence["fairness"]["by_sex"])
    return Card(
        version=found["version"],
        verdict=texts.verdict(evidence["cross_validation"], evidence["external"]),
        sections=(
            _calibration(evidence),
            _models(evidence),
            _elsewhere(evidence["external"]),
            _groups(evidence, grouping),
            _data(evidence),
            _making(found),
            Section(
                texts_limits.LIMITS_TITLE, texts_limits.LIMITS, points=texts_limits.limits(evidence)
            ),
            Section(
                texts_limits.MIND_TITLE,
                texts_limits.MIND,
                points=texts_limits.mind(evidence, grouping),
            ),
        ),
    )


def _calibration(evidence: Mapping[str, Any]) -> Section:
    picture = chart_data.calibration(evidence)
    several = len(picture.curves) > 1
    table = [
        _calibration_row(whose if several else None, point)
        for whose, curve in picture.curves.items()
        for point in curve
    ]
    said = texts.calibration(evidence["cross_validation"])
    return Section(texts.CALIBRATION_TITLE, said, picture, table, texts.CALIBRATION_NOTE)


def _calibration_row(whose: str | None, point: Point) -> dict[str, str]:
    """Return one point of a calibration curve; None = there is only one curve."""
    patients = {} if whose is None else {"Patients": whose}
    return {
        **patients,
        texts.PREDICTED: percent(point.predicted),
        texts.OBSERVED: percent(point.observed),
        "95 % range": f"{100 * point.low:.0f}–{percent(point.high)}",
        "Of": str(point.n),
    }


def _models(evidence: Mapping[str, Any]) -> Section:
    challengers = evidence["challengers"]
    table = [texts.model_row(row) for row in challengers["table"]]
    return Section(
        texts.MODELS_TITLE,
        texts.models(challengers),
        chart_data.discrimination(evidence),
        table,
        texts.MODELS_NOTE,
    )


def _elsewhere(external: Sequence[Mapping[str, Any]]) -> Section:
    table = [texts.external_row(other) for other in external]
    return Section(texts.ELSEWHERE_TITLE, texts.elsewhere(external), table=table)


def _groups(evidence: Mapping[str, Any], grouping: Grouping) -> Section:
    table = [
        {
            "Rate": group_rates.LABELS[gap.metric],
            **{
                g.name.capitalize(): group_rates.rate_words(g.rates[gap.metric])
                for g in grouping.groups
            },
            "Difference": group_rates.signed(gap.difference),
            "95 % range": group_rates.signed_range(gap.interval),
            "Verdict": group_rates.gap_words(gap),
        }
        for gap in grouping.gaps
    ]
    said = f"{group_rates.verdict(grouping)} {texts.perfect(grouping)}"
    picture = chart_data.gaps(grouping) if grouping.gaps else None
    return Section(texts.GROUPS_TITLE, said, picture, table, texts.groups_note(evidence))


def _data(evidence: Mapping[str, Any]) -> Section:
    counts = evidence["explanations"]["counts"]
    table = [
        {
            "Finding": feature.label,
            "Values": _values(feature, counts[feature.name]),
            "Not known": str(evidence["data"]["missing"][feature.name]),
        }
        for feature in FEATURES
    ]
    points = texts_limits.audit(evidence["data"], evidence["audit"])
    return Section(
        texts_limits.DATA_TITLE, texts_limits.data(evidence["data"]), table=table, points=points
    )


def _values(feature: Feature, counts: Mapping[str, int]) -> str:
    known = {float(value): n for value, n in counts.items() if value != "not known"}
    if feature.is_numeric:
        return texts_limits.spread(known, feature.unit)
    return "; ".join(f"{feature.describe(value)} {n}" for value, n in sorted(known.items()))


def _making(found: Mapping[str, Any]) -> Section:
    table = [{"What": name, "How": value} for name, value in texts_limits.making(found).items()]
    return Section(texts_limits.MAKING_TITLE, texts_limits.MAKING, table=table)
