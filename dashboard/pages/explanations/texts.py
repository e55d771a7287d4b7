"""What the Explanations page says; nothing here says that one thing brings about another."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from dashboard.shared.escaping import escape_markdown
from dashboard.shared.findings import finding_with_value, in_a_sentence
from dashboard.shared.numbers import count_noun, join_words, log_odds
from dashboard.shared.texts import count_of_source
from pipeline.fairness.result import MIN_CELL
from pipeline.model.global_explanation import Effect, Overall
from pipeline.schema import BY_NAME

CHARTS: Mapping[str, str] = {"bars": "Bars", "swarm": "Swarm", "one": "One finding"}
_CHANGED = 0.1
"""Log-odds per patient, as in a tenth of the odds: less is not called a change."""


def verdict(fitted: Overall | None, logged: Overall | None) -> str:
    """Say in one sentence what the model goes by, and whether that is the same for logged ones."""
    known = fitted or logged
    if known is None:
        return "There is nothing to explain yet."
    if fitted is None and known.n < MIN_CELL:
        patients = count_noun(known.n, "logged patient")
        verb = "is" if known.n == 1 else "are"
        return f"{patients} {verb} too few to say what the model goes by."
    first = f"The model goes mostly by {_three(known)}"
    if fitted is None or logged is None or logged.n < MIN_CELL:  # of few, a change says nothing
        return f"{first}."
    name = most_changed(fitted, logged)
    by = logged.effects[name].weight - fitted.effects[name].weight
    if abs(by) < _CHANGED:
        return f"{first}, for the logged patients as in training."
    more = "more" if by > 0 else "less"
    return f"{first}; for the logged patients {in_a_sentence(BY_NAME[name].label)} weighs {more}."


def most_changed(fitted: Overall, logged: Overall) -> str:
    """Return the feature whose weight differs most."""
    return max(
        fitted.effects,
        key=lambda name: abs(logged.effects[name].weight - fitted.effects[name].weight),
    )


def _three(of: Overall) -> str:
    return join_words([in_a_sentence(BY_NAME[name].label) for name in of.ranking[:3]])


def subtitle(fitted: Overall | None, logged: Overall | None, source: str | None) -> str:
    """Say whose predictions are explained, and by which model."""
    parts = [f"{fitted.n} training patients"] if fitted else []
    if logged and source:
        parts.append(f"the newest {count_of_source(logged.n, source).rstrip(',')}")
    version = next(of.version for of in (fitted, logged) if of)
    return f"Explanations · {' beside '.join(parts)} · model {escape_markdown(version)}"


WEIGHT_NOTE = (
    "How far a finding moves the estimate of a patient on average, in log-odds, whichever way. "
    "Exact, not estimated: the model adds findings up."
)
SWARM_NOTE = (
    "Each dot is one value of a finding, its size the number of patients who have it. To the right "
    "it points toward disease, to the left away from it; teal = low, violet = high, grey = not "
    "known."
)
ONE_NOTE = (
    "What each value of the finding adds to the log-odds, compared with the average training "
    "patient, and how many patients have it."
)
CHALLENGERS_NOTE = (
    "The rank of each finding in this model and in two others that were fitted to the same "
    "patients and are not in service (by shap.TreeExplainer). Where three different models rank a "
    "finding alike, it is the data's pattern rather than one model's habit."
)
CHALLENGER_NOTE = "Mean for each value; the bar spans the smallest and the largest of any patient."
PATIENTS_NOTE = (
    "Each was explained by the model version that made the prediction: the five findings that "
    "weigh most, toward disease (+) or away from it (−). Those at or above the threshold come "
    "first."
)
NO_TRAINING = (
    "The training patients are not shown: the service does not give the model card at the moment, "
    "or the model was trained before they were counted (`make train`)."
)
OTHER_VERSIONS = (
    "Some of the logged predictions were made by another model version; here all are explained by "
    "the one in use, so that only the patients differ."
)
NO_MODEL_TITLE = "The model is not at hand"
NO_MODEL = "The log does not hold the scorecard that made its predictions; start the service once."
ID_EXAMPLE = "as in the table above, in the log and in every answer of the service"


def direction_of_effect(fitted: Effect | None, logged: Effect | None) -> str:
    """Read one finding in plain words: which values point where."""
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
        return "It makes hardly a difference."
    if feature.is_numeric:
        (first, low), (last, high) = known[0], known[-1]
        if first == last:
            return "It makes hardly a difference."
        toward, away = (high, low) if last > first else (low, high)
        side = "Higher" if last > first else "Lower"
        return (
            f"{side} values point toward disease: {feature.describe(toward)} adds "
            f"{log_odds(max(first, last))}, {feature.describe(away)} {log_odds(min(first, last))}."
        )
    toward_words = [feature.describe(value) for size, value in sorted(known)[::-1] if size > 0]
    away_words = [feature.describe(value) for size, value in sorted(known) if size <= 0]
    return (
        f"Increases the risk: {join_words(toward_words) or 'none'}. Decreases the risk: "
        f"{join_words(away_words) or 'none'}."
    )


def largest_contributions(contributions: Sequence[Mapping[str, Any]]) -> str:
    """Write the strongest findings of one patient in a line."""
    return "; ".join(
        f"{finding_with_value(c['feature'], c['value'])} ({log_odds(c['contribution'])})"
        for c in contributions
    )
