"""Global explanations for the training bundle: value counts, and SHAP for the challengers.

No patient's row is written: how often each value occurs is enough. shap takes 3 s to import, so
`pipeline.train` comes here only when it gets so far.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from pipeline.model import Model
from pipeline.model.design_matrix import Array
from pipeline.model.global_explanation import count_values
from pipeline.schema import NAMES
from pipeline.training.challengers import boosting, forest

try:
    import shap
except ImportError:  # the dashboard's image is without it: with its compiler it weighs 200 MB
    shap = None

MAX_EXPLAINED = 400
"""Patients, drawn at random: the time of boosting's explainer grows with their square."""
_DIGITS = 4


def evaluate_explanations(rows: Array, y: Array, model: Model) -> dict[str, Any]:
    """Count the training patients' values, and explain the challengers where shap is installed."""
    studied = {"random forest": _forest, "gradient boosting": _boosting} if shap else {}
    return {
        "model_version": model.version,
        "counts": {
            name: {_key(value): n for value, n in values.items()}
            for name, values in count_values(rows).items()
        },
        "challengers": {name: study(rows, y) for name, study in studied.items()},
    }


def _forest(rows: Array, y: Array) -> dict[str, Any]:
    explainer = shap.TreeExplainer(forest(rows, y), feature_perturbation="tree_path_dependent")
    rows = _sampled(rows)
    values = np.asarray(explainer.shap_values(rows))[:, :, 1]
    return _study("shap.TreeExplainer, along the trees' own paths", "probability", rows, values)


def _boosting(rows: Array, y: Array) -> dict[str, Any]:
    trees, rows = boosting(rows, y), _sampled(rows)
    values = explain_boosting(trees, rows, rows)[0]
    explainer = f"shap.TreeExplainer, against {len(rows)} training patients"
    return _study(explainer, "log-odds", rows, values)


def _sampled(rows: Array) -> Array:
    if len(rows) <= MAX_EXPLAINED:
        return rows
    return rows[np.sort(np.random.default_rng(0).choice(len(rows), MAX_EXPLAINED, replace=False))]


def explain_boosting(trees: Any, background: Array, rows: Array) -> tuple[Array, float]:
    """Return interventional SHAP values in log-odds, shape (n, 13), and the base value."""
    masker = shap.maskers.Independent(background, max_samples=len(background))
    explainer = shap.TreeExplainer(trees, masker)
    values = explainer.shap_values(rows, check_additivity=False)
    return np.asarray(values), float(explainer.expected_value)


def _study(explainer: str, scale: str, rows: Array, values: Array) -> dict[str, Any]:
    return {
        "explainer": explainer,
        "scale": scale,
        "n": len(rows),
        "features": _effects(rows, values),
    }


def _effects(rows: Array, contributions: Array) -> dict[str, Any]:
    """Summarise contributions per feature and value: mean, smallest, largest, patients."""
    effects: dict[str, Any] = {}
    for i, name in enumerate(NAMES):
        column, sizes = rows[:, i], contributions[:, i]
        by_value = {}
        for value in count_values(rows)[name]:
            chosen = np.isnan(column) if value is None else column == value
            part = sizes[chosen]
            figures = [float(part.mean()), float(part.min()), float(part.max())]
            by_value[_key(value)] = [*(round(f, _DIGITS) + 0.0 for f in figures), len(part)]
        effects[name] = {"weight": round(float(np.abs(sizes).mean()), _DIGITS), "values": by_value}
    return effects


def _key(value: float | None) -> str:
    """Return a value as a key of a JSON object."""
    return "not known" if value is None else f"{value:g}"
