"""Texts of the Explanations page; nothing here claims a cause."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from dashboard.shared.escaping import escape_markdown
from dashboard.shared.findings import finding_with_value, in_a_sentence
from dashboard.shared.numbers import count_noun, join_words, log_odds
from dashboard.shared.texts import count_of_source
from pipeline.fairness.result import MIN_GROUP_SIZE
from pipeline.model.global_explanation import FeatureEffect, GlobalExplanation
from pipeline.schema import BY_NAME

CHARTS: Mapping[str, str] = {"bars": "Bar", "swarm": "Beeswarm", "one": "Dependence"}
_CHANGED = 0.1
"""Log-odds: a smaller difference is not called a change."""


def verdict(fitted: GlobalExplanation | None, logged: GlobalExplanation | None) -> str:
    """Return the most important findings, and whether logged patients differ from training."""
    known = fitted or logged
    if known is None:
        return "No predictions to explain yet."
    if fitted is None and known.n < MIN_GROUP_SIZE:
        patients = count_noun(known.n, "logged patient")
        return f"Too few for global feature importance: {patients}, {MIN_GROUP_SIZE} needed."
    first = f"The model relies mostly on {_three(known)}"
    if fitted is None or logged is None or logged.n < MIN_GROUP_SIZE:  # too few to see a change
        return f"{first}."
    name = most_changed(fitted, logged)
    by = (
        logged.effects[name].mean_absolute_contribution
        - fitted.effects[name].mean_absolute_contribution
    )
    if abs(by) < _CHANGED:
        return f"{first}, in training and for logged patients alike."
    more = "more" if by > 0 else "less"
    return f"{first}; for logged patients, {in_a_sentence(BY_NAME[name].label)} matters {more}."


def most_changed(fitted: GlobalExplanation, logged: GlobalExplanation) -> str:
    """Return the feature whose importance differs most."""
    return max(
        fitted.effects,
        key=lambda name: abs(
            logged.effects[name].mean_absolute_contribution
            - fitted.effects[name].mean_absolute_contribution
        ),
    )


def _three(of: GlobalExplanation) -> str:
    return join_words([in_a_sentence(BY_NAME[name].label) for name in of.ranking[:3]])


def subtitle(
    fitted: GlobalExplanation | None, logged: GlobalExplanation | None, source: str | None
) -> str:
    """Return whose predictions are explained, and by which model version."""
    parts = [f"{fitted.n} training patients"] if fitted else []
    if logged and source:
        count = count_of_source(logged.n, source).removeprefix("1 ")
        parts.append(f"the most recent {count}")
    version = next(of.version for of in (fitted, logged) if of)
    return f"Explanations · {' and '.join(parts)} · model {escape_markdown(version)}"


WEIGHT_NOTE = (
    "Mean absolute contribution of each finding to the log-odds. Exact, not approximated, because "
    "the model is additive. 0 = no effect."
)
SWARM_NOTE = (
    "Beeswarm plot: each dot is one value of a finding, and its size the number of patients with "
    "that value. Right of 0 increases the estimated risk, left of 0 decreases it. Teal = low, "
    "violet = high, grey = unknown."
)
ONE_NOTE = (
    "Dependence plot: the contribution of each value to the log-odds, compared with the average "
    "training patient, and the share of patients with that value."
)
CHALLENGERS_NOTE = (
    "Feature importance rank in this model and in two challenger models trained on the same "
    "patients (not in service; shap.TreeExplainer). Where three different models agree, the rank "
    "reflects the data rather than one model."
)
CHALLENGER_NOTE = "Mean contribution per value; bars show the minimum and maximum over patients."
PATIENTS_NOTE = (
    "The five largest contributions to each prediction, from the model version that made it: "
    "+ increases, − decreases the estimated risk. Positive predictions come first."
)
NO_TRAINING = (
    "Training patients are not shown: the model card is unavailable, or the model is too old to "
    "include these counts (run `make train`)."
)
OTHER_VERSIONS = (
    "Some logged predictions were made by another model version. All are explained with the "
    "current model here, so that only the patients differ."
)
NO_MODEL_TITLE = "Model unavailable"
NO_MODEL = "The log has no scorecard for these predictions. Start the service once to register it."
ID_EXAMPLE = "ID from the table above or from an API response"


def direction_of_effect(fitted: FeatureEffect | None, logged: FeatureEffect | None) -> str:
    """Return in plain words which values of a finding increase or decrease the risk."""
    effect = fitted or logged
    if effect is None or not effect.counts:
        return ""
    feature = BY_NAME[effect.feature]
    known = [
        (size, value)
        for size, value in zip(effect.contributions, effect.values, strict=True)
        if value is not None
    ]
    if not known or max(abs(size) for size, _ in known) < 0.05:
        return "Almost no effect."
    if feature.is_numeric:
        (first, low), (last, high) = known[0], known[-1]
        if first == last:
            return "Almost no effect."
        toward, away = (high, low) if last > first else (low, high)
        side = "Higher" if last > first else "Lower"
        return (
            f"{side} values increase the estimated risk: {log_odds(max(first, last))} at "
            f"{feature.format_value(toward)}, {log_odds(min(first, last))} at "
            f"{feature.format_value(away)}."
        )
    toward_words = [feature.format_value(value) for size, value in sorted(known)[::-1] if size > 0]
    away_words = [feature.format_value(value) for size, value in sorted(known) if size <= 0]
    return (
        f"Increases the estimated risk: {join_words(toward_words) or 'none'}. "
        f"Decreases it: {join_words(away_words) or 'none'}."
    )


def largest_contributions(contributions: Sequence[Mapping[str, Any]]) -> str:
    """Return the largest contributions of one patient in a line."""
    return "; ".join(
        f"{finding_with_value(c['feature'], c['value'])} ({log_odds(c['contribution'])})"
        for c in contributions
    )
