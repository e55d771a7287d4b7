"""Global explanations of the training patients and of the most recent predictions."""

from __future__ import annotations

from collections.abc import Mapping

from dashboard.shared import data_access, scorecards
from pipeline.model import Model
from pipeline.model.global_explanation import (
    GlobalExplanation,
    ValueCounts,
    count_values,
    explain_globally,
)


def global_importance(
    model: Model, n: int = data_access.MAX_RECENT
) -> tuple[GlobalExplanation | None, GlobalExplanation | None]:
    """Return the global explanations of training and of the `n` most recent predictions."""
    card, (_, rows) = data_access.model_card(), data_access.recent_predictions(n)
    written = card and card["evidence"].get("explanations")
    fitted = explain_globally(model, _counts(written["counts"])) if written else None
    return fitted, explain_globally(
        model, count_values(scorecards.feature_matrix(rows))
    ) if rows else None


def _counts(written: Mapping[str, Mapping[str, int]]) -> ValueCounts:
    return {
        name: {None if key == "not known" else float(key): n for key, n in values.items()}
        for name, values in written.items()
    }
