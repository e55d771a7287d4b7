"""Texts of the Explanations page; nothing here claims a cause."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from dashboard.pages.explanations.data import LOGGED, TRAINING, Explanations, first
from dashboard.shared.escaping import escape_markdown
from dashboard.shared.findings import finding_with_value, in_a_sentence
from dashboard.shared.numbers import count_noun, join_words, signed
from dashboard.shared.texts import count_of_source
from pipeline.fairness.result import MIN_GROUP_SIZE
from pipeline.model.global_explanation import FeatureEffect
from pipeline.schema import BY_NAME

CHARTS: Mapping[str, str] = {"bars": "Bar", "swarm": "Beeswarm", "one": "Dependence"}
_CHANGED = 0.1
"""Log-odds: a smaller difference is not called a change."""


def verdict(shown: Explanations) -> str:
    """Return the most important findings, and whether logged patients differ from training."""
    known, fitted, logged = first(shown), shown.get(TRAINING), shown.get(LOGGED)
    if fitted is None and known.n < MIN_GROUP_SIZE:
        patients = count_noun(known.n, "logged patient")
        return f"Too few for global feature importance: {patients}, {MIN_GROUP_SIZE} needed."
    three = join_words([in_a_sentence(BY_NAME[name].label) for name in known.ranking[:3]])
    said = f"The model relies mostly on {three}"
    if fitted is None or logged is None or logged.n < MIN_GROUP_SIZE:  # too few to see a change
        return f"{said}."
    changes = {
        name: logged.effects[name].mean_absolute_contribution - effect.mean_absolute_contribution
        for name, effect in fitted.effects.items()
    }
    name = max(changes, key=lambda changed: abs(changes[changed]))
    if abs(changes[name]) < _CHANGED:
        return f"{said}, in training and for logged patients alike."
    more = "more" if changes[name] > 0 else "less"
    return f"{said}; for logged patients, {in_a_sentence(BY_NAME[name].label)} matters {more}."


def subtitle(shown: Explanations, source: str | None) -> str:
    """Return whose predictions are explained, and by which model version."""
    parts = [f"{shown[TRAINING].n} training patients"] if TRAINING in shown else []
    if LOGGED in shown and source:
        count = count_of_source(shown[LOGGED].n, source).removeprefix("1 ")
        parts.append(f"the most recent {count}")
    version = escape_markdown(first(shown).version)
    return f"Explanations · {' and '.join(parts)} · model {version}"


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


def direction_of_effect(effect: FeatureEffect) -> str:
    """Return in plain words which values of a finding increase or decrease the risk."""
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
            f"{side} values increase the estimated risk: {signed(max(first, last))} at "
            f"{feature.format_value(toward)}, {signed(min(first, last))} at "
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
        f"{finding_with_value(c['feature'], c['value'])} ({signed(c['contribution'])})"
        for c in contributions
    )
