"""Global explanations of the training patients and of the most recent predictions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any

from dashboard.shared import data_access, reference, scorecards
from dashboard.shared.cohort import Cohort
from pipeline.model import Model, ModelError
from pipeline.model.global_explanation import GlobalExplanation, count_values, explain_globally

TRAINING, LOGGED = "Training", "Logged"
Explanations = Mapping[str, GlobalExplanation]
"""Of `TRAINING` and of `LOGGED`, where there are any; the first is ranked."""


def global_importance(
    model: Model, whose: Cohort, rows: Sequence[Mapping[str, Any]]
) -> Explanations:
    """Return the global explanations of the training patients of a cohort and of logged rows."""
    card = data_access.model_card()
    written = card and card["evidence"].get("explanations")
    found = {}
    if whose.groups:
        with suppress(ModelError):
            trained = reference.current("a cohort").rows
            if trained is not None and (inside := whose.mask(trained)).any():
                found[TRAINING] = explain_globally(model, count_values(trained[inside]))
    elif written:
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
