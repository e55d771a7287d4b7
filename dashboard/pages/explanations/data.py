"""Global explanations of the training patients and of the most recent predictions."""

from __future__ import annotations

from collections.abc import Mapping

from dashboard.shared import data_access, scorecards
from pipeline.model import Model
from pipeline.model.global_explanation import GlobalExplanation, count_values, explain_globally

TRAINING, LOGGED = "Training", "Logged"
Explanations = Mapping[str, GlobalExplanation]
"""Of `TRAINING` and of `LOGGED`, where there are any; the first is ranked."""


def global_importance(model: Model, n: int = data_access.MAX_RECENT) -> Explanations:
    """Return the global explanations of training and of the `n` most recent predictions."""
    card, (_, rows) = data_access.model_card(), data_access.recent_predictions(n)
    written = card and card["evidence"].get("explanations")
    found = {}
    if written:
        counts = {
            name: {None if key == "not known" else float(key): n for key, n in values.items()}
            for name, values in written["counts"].items()
        }
        found[TRAINING] = explain_globally(model, counts)
    if rows:
        found[LOGGED] = explain_globally(model, count_values(scorecards.feature_matrix(rows)))
    return found


def first(shown: Explanations) -> GlobalExplanation:
    """Return the explanation whose ranking orders all charts and tables."""
    return next(iter(shown.values()))
