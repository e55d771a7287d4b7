"""Findings in words: their values, and their effect on the estimated risk."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from dashboard.shared.escaping import escape_markdown
from dashboard.shared.numbers import join_words, signed
from pipeline.schema import BY_NAME, FEATURES, Feature, Kind
from pipeline.schema import in_a_sentence as in_a_sentence


def format_value(feature: Feature, value: Any) -> str:
    """Return a value as the API sends it (labels, true/false, numbers, None), in words."""
    if value is None:
        return "unknown"
    if feature.kind is Kind.BOOLEAN:
        return "yes" if value else "no"
    return str(value) if feature.codes else feature.format_value(value)


def finding_with_value(name: str, value: Any) -> str:
    """Return a finding with its value, as "Thallium scan: reversible defect"."""
    feature = BY_NAME[name]
    return f"{feature.label}: {format_value(feature, value)}"


def unknown_findings(missing: Sequence[str]) -> str:
    """Return which findings were unknown."""
    if not missing:
        return f"All {len(FEATURES)} findings were entered."
    labels = [in_a_sentence(BY_NAME[name].label) for name in missing]
    sentence = f"Unknown ({len(missing)} of {len(FEATURES)}): {join_words(labels)}."
    few = len(FEATURES) - len(missing) < 5
    return sentence + (" The estimate is based on very few findings." if few else "")


def effect_strength(contribution: float) -> str:
    """Return how strong a contribution in log-odds is.

    Strongly: the odds differ by a factor of e = 2.7 or more; moderately: of 1.5 or more.
    """
    size = abs(contribution)
    return "strongly" if size >= 1 else "moderately" if size >= math.log(1.5) else "slightly"


def effect_sentence(name: str, value: Any, contribution: float) -> str:
    """Return the effect of one finding in a sentence."""
    verb = "increases" if contribution > 0 else "decreases"
    strength = effect_strength(contribution)
    return f"“{finding_with_value(name, value)}” **{strength} {verb} the estimated risk**."


def top_effects(contributions: Sequence[Mapping[str, Any]], n: int = 3) -> list[str]:
    """Return one sentence for each of the `n` largest contributions."""
    ranked = sorted(contributions, key=lambda found: -abs(found["contribution"]))
    return [effect_sentence(f["feature"], f["value"], f["contribution"]) for f in ranked[:n]]


def warning(field: str, message: str) -> str:
    """Return a message with the label of the finding it is about."""
    text = escape_markdown(message)
    return f"**{BY_NAME[field].label}**: {text}" if field in BY_NAME else text


def value_of(name: str, patient: Mapping[str, Any]) -> str:
    """Return the value of one finding of a patient, in words."""
    return format_value(BY_NAME[name], patient.get(name))


def format_contribution(name: str, answer: Mapping[str, Any]) -> str:
    """Return one finding's contribution in log-odds."""
    found = answer["explanation"]["contributions"]
    return signed(next(c["contribution"] for c in found if c["feature"] == name))


def table_cell(feature: Feature, value: Any) -> str:
    """Return a value for the table of the log, whose headings have the units."""
    if value is None:
        return "–"
    return f"{value:.10g}" if feature.is_numeric else format_value(feature, value)


def contributions(explained: Mapping[str, Any]) -> list[dict[str, str]]:
    """Return the contribution of each finding, largest first, in log-odds and percentage points.

    Percentage points: the estimate minus the estimate with the finding's contribution at 0, where
    it is for the average training patient. They do not add up.
    """
    found = sorted(explained["contributions"], key=lambda c: -abs(c["contribution"]))
    total = explained["base_value"] + sum(c["contribution"] for c in found)
    return [
        {
            "Finding": finding_with_value(c["feature"], c["value"]),
            "Log-odds": signed(c["contribution"]),
            "Percentage points": signed(
                100 * (_sigmoid(total) - _sigmoid(total - c["contribution"])), 0
            ),
        }
        for c in found
    ]


def _sigmoid(z: float) -> float:
    return 1 / (1 + math.exp(-z))
