"""Findings of a patient in words: their values, and where the model says they point."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from dashboard.shared.escaping import escape_markdown
from dashboard.shared.numbers import join_words, log_odds
from pipeline.schema import BY_NAME, FEATURES, Feature, Kind


def format_value(feature: Feature, value: Any) -> str:
    """Say a value as it travels on the wire (words, true/false, numbers, None)."""
    if value is None:
        return "not known"
    if feature.kind is Kind.BOOLEAN:
        return "yes" if value else "no"
    return str(value) if feature.codes else feature.describe(value)


def finding_with_value(name: str, value: Any) -> str:
    """Name a finding with its value, as "Thallium scan: reversible defect"."""
    feature = BY_NAME[name]
    return f"{feature.label}: {format_value(feature, value)}"


def unknown_findings(missing: Sequence[str]) -> str:
    """Say which findings were not known."""
    if not missing:
        return "All thirteen findings were known."
    labels = [in_a_sentence(BY_NAME[name].label) for name in missing]
    sentence = f"Not known ({len(missing)} of {len(FEATURES)}): {join_words(labels)}."
    few = len(FEATURES) - len(missing) < 5
    return sentence + (" The estimate rests on very little." if few else "")


def in_a_sentence(label: str) -> str:
    """Write a feature's label inside a sentence; an abbreviation keeps its capitals."""
    return label if label[:2].isupper() else label[0].lower() + label[1:]


def effect_strength(contribution: float) -> str:
    """Grade a contribution in log-odds.

    Strongly: the odds differ by a factor of e = 2.7 or more; clearly: of 1.5 or more.
    """
    size = abs(contribution)
    return "strongly" if size >= 1 else "clearly" if size >= math.log(1.5) else "slightly"


def effect_sentence(name: str, value: Any, contribution: float) -> str:
    """Say in one sentence where one finding points."""
    side = "toward" if contribution > 0 else "away from"
    points = f"points **{effect_strength(contribution)} {side} disease**."
    if value is None:
        return f"That “{in_a_sentence(BY_NAME[name].label)}” is not known {points}"
    return f"“{finding_with_value(name, value)}” {points}"


def top_effects(contributions: Sequence[Mapping[str, Any]], n: int = 3) -> list[str]:
    """Return one sentence for each of the `n` findings that weigh most."""
    ranked = sorted(contributions, key=lambda found: -abs(found["contribution"]))
    return [effect_sentence(f["feature"], f["value"], f["contribution"]) for f in ranked[:n]]


def warning(field: str, message: str) -> str:
    """Name the finding that a message is about."""
    said = escape_markdown(message)
    return f"**{BY_NAME[field].label}**: {said}" if field in BY_NAME else said


def value_of(name: str, patient: Mapping[str, Any]) -> str:
    """Say one finding's value of a patient as sent."""
    return format_value(BY_NAME[name], patient.get(name))


def format_contribution(name: str, answer: Mapping[str, Any]) -> str:
    """Write one finding's contribution in log-odds."""
    found = answer["explanation"]["contributions"]
    return log_odds(next(c["contribution"] for c in found if c["feature"] == name))


def table_cell(feature: Feature, value: Any) -> str:
    """Write a value for the table of the log, whose headings carry the units."""
    if value is None:
        return "–"
    return f"{value:.10g}" if feature.is_numeric else format_value(feature, value)
