"""Measure fairness out of fold, for the training bundle.

No patient's row is written: sensitive groups, outcome and probability are enough.
"""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import numpy as np

from pipeline.fairness import assess
from pipeline.fairness.groups import Groups, joint_keys, sensitive_groups
from pipeline.model.design_matrix import Array
from pipeline.schema import SENSITIVE
from pipeline.training.imputation import CrossValidationFolds, OutOfFoldPredictions

THRESHOLD = 0.5


def out_of_fold(folds: CrossValidationFolds, predictions: OutOfFoldPredictions) -> Array:
    """Average each patient's probabilities over the repeats, each from a model without the patient.

    Returns
    -------
    Array
        Shape (n,), in the order of `folds.rows`.
    """
    total = np.zeros(len(folds.y))
    for (_, test, _), (_, p) in zip(folds, predictions.folds, strict=True):
        total[test] += p[0]
    return np.asarray(total / folds.repeats)


def evaluate_fairness(rows: Array, y: Array, p: Array) -> dict[str, Any]:
    """Assess the out-of-fold predictions by each sensitive attribute with codes.

    Kept for other assessments: the probabilities of each combination of all attributes' groups.
    """
    p = np.round(p, 6)
    groups = sensitive_groups(rows)
    crossed = joint_keys(groups)
    return {
        "note": "probabilities of models that had not seen the patient, averaged over the repeats",
        "threshold": THRESHOLD,
        "attributes": list(groups),
        **{f"by_{f.name}": _assessed(f.name, groups, y, p) for f in SENSITIVE if f.codes},
        "patients": {
            group: {
                "disease": np.sort(p[(crossed == group) & (y == 1)]).tolist(),
                "no disease": np.sort(p[(crossed == group) & (y == 0)]).tolist(),
            }
            for group in sorted(set(crossed))
        },
    }


def _assessed(name: str, groups: Groups, y: Array, p: Array) -> Any:
    found = assess(y, p >= THRESHOLD, {name: groups[name]}, probability=p)
    return _plain(asdict(found.groupings[name]))


def _plain(value: Any) -> Any:
    """Round numbers for people; the last bits differ between machines."""
    if isinstance(value, dict):
        return {key: _plain(part) for key, part in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(part) for part in value]
    return round(value, 6) + 0.0 if isinstance(value, float) else value
