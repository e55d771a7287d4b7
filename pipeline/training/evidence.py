"""The model card's evidence: imputation, challengers, cross-validation, other hospitals."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from sklearn.isotonic import IsotonicRegression

from pipeline.audit import Audit
from pipeline.model.design_matrix import Array
from pipeline.statistics.metrics import auc, probability_metrics
from pipeline.training.challengers import CHALLENGERS, LOGISTIC
from pipeline.training.evidence_fairness import evaluate_fairness, out_of_fold
from pipeline.training.imputation import (
    C_GRID,
    FOLDS,
    IMPUTATION_METHODS,
    MISSINGNESS_SCENARIOS,
    REPEATS,
    CrossValidationFolds,
    OutOfFoldPredictions,
    Predictor,
    cross_validate,
    fit_missingness_augmented,
    simplest_within_one_se,
)

SERVED_METHOD = "mask-augmented training"
"""The treatment that the rule chose on Cleveland and that the scorecard is written for."""

SELECTION_RULE = (
    "the simplest whose Brier score, averaged over five scenarios of missing values, is at most "
    "one standard error (over the folds) above the best; simplest first as listed"
)
QUICK_REPEATS = 2
_Z = 1.959964  # 97.5 % point of the normal distribution
_DIGITS = 6  # figures for people; the last bits differ between machines


def evaluate_imputation(rows: Array, y: Array) -> tuple[dict[str, Any], float]:
    """Compare the treatments of missing values; return the evidence and the C to serve with."""
    fits: dict[str, Callable[[Array, Array], Predictor]] = {}
    for name, fit in IMPUTATION_METHODS.items():
        for c in C_GRID:
            fits[f"{name}|{c}"] = lambda a, b, fit=fit, c=c: fit(a, b, c)  # type: ignore[misc]
    predictions = cross_validate(CrossValidationFolds(rows, y), fits)
    best: dict[str, tuple[float, OutOfFoldPredictions]] = {}
    for name in IMPUTATION_METHODS:
        c = min(C_GRID, key=lambda c: predictions[f"{name}|{c}"].loss())
        best[name] = c, predictions[f"{name}|{c}"]
    losses = {name: p.loss() for name, (_, p) in best.items()}
    chosen = simplest_within_one_se(losses)
    table = [
        {"treatment": name, "c": c, **_summary(p), "chosen": name == chosen}
        for name, (c, p) in best.items()
    ]
    c, served = best[SERVED_METHOD]
    evidence = {
        "rule": SELECTION_RULE,
        "scenarios": list(MISSINGNESS_SCENARIOS),
        "folds": FOLDS,
        "repeats": REPEATS,
        "grid": list(C_GRID),
        "table": table,
        "chosen": chosen,
        "served": SERVED_METHOD,
        "cross_validation": _complete(served),
        "confidence": _confidence(served),
        "fairness": evaluate_fairness(rows, y, out_of_fold(CrossValidationFolds(rows, y), served)),
    }
    return evidence, c


def evaluate_challengers(rows: Array, y: Array, c: float, full: bool) -> dict[str, Any]:
    """Compare the scorecard with the challengers on the same folds."""
    repeats = REPEATS if full else QUICK_REPEATS
    fits: Mapping[str, Callable[[Array, Array], Predictor]] = {
        LOGISTIC: lambda a, b: fit_missingness_augmented(a, b, c),
        **CHALLENGERS,
    }
    predictions = cross_validate(CrossValidationFolds(rows, y, repeats), fits)
    losses = {name: p.loss() for name, p in predictions.items()}
    champion = simplest_within_one_se(losses)
    reference = predictions[LOGISTIC].brier()
    table = []
    for name, p in predictions.items():
        difference = (p.brier() - reference).mean(axis=1)
        table.append(
            {
                "model": name,
                **_summary(p),
                "brier_minus_champion": _rounded([difference.mean(), *_resampled(difference)]),
                "champion": name == champion,
            }
        )
    return {
        "rule": SELECTION_RULE,
        "folds": FOLDS,
        "repeats": repeats,
        "full": full,
        "note": "" if full else f"{repeats} of {REPEATS} repeats; all of them with --full",
        "table": table,
        "champion": champion,
    }


def audit_summary(found: Audit) -> dict[str, Any]:
    """Return the audit of the training file, without the counts in `data`."""
    kept = ("coding", "coding_evidence", "label", "label_inverted", "label_check", "duplicates",
            "problems")  # fmt: skip
    written = found.to_dict()
    return {name: _rounded(written[name]) for name in kept}


def external_validation(y: Array, p: Array, missing: Mapping[str, int]) -> dict[str, Any]:
    """Measure the finished model on another hospital's patients."""
    return {"missing": dict(missing), **_rounded(probability_metrics(y, p).to_dict())}


def _summary(predictions: OutOfFoldPredictions) -> dict[str, Any]:
    """Average AUC and Brier score per scenario; intervals over the folds."""
    brier = predictions.brier()
    area = np.array([[auc(y, row)[0] for row in p] for y, p in predictions.folds])
    loss, se = predictions.loss()
    named: dict[str, Any] = {
        "auc": dict(zip(MISSINGNESS_SCENARIOS, area.mean(axis=0).tolist(), strict=True)),
        "auc_interval": _resampled(area[:, 0]),
        "brier": dict(zip(MISSINGNESS_SCENARIOS, brier.mean(axis=0).tolist(), strict=True)),
        "brier_interval": _resampled(brier[:, 0]),
        "loss": loss,
        "loss_se": se,
    }
    return dict(_rounded(named))


def _resampled(values: Array) -> list[float]:
    """Interval of a mean over repeated folds, whose training parts overlap.

    Source: Nadeau & Bengio (2003), Machine Learning 52: variance * (1 / folds + test / training).
    """
    half = _Z * float(values.var(ddof=1) * (1 / len(values) + 1 / (FOLDS - 1))) ** 0.5
    return [float(values.mean()) - half, float(values.mean()) + half]


def _complete(predictions: OutOfFoldPredictions) -> dict[str, Any]:
    """Summarise the served model on complete patients, out of fold."""
    per_fold = [probability_metrics(y, p[0]) for y, p in predictions.folds]
    pooled = probability_metrics(
        np.concatenate([y for y, _ in predictions.folds]),
        np.concatenate([p[0] for _, p in predictions.folds]),
    )
    measures = ("auc", "brier", "accuracy", "ece")
    repeat_ece = [
        probability_metrics(
            np.concatenate([y for y, _ in predictions.folds[i : i + FOLDS]]),
            np.concatenate([p[0] for _, p in predictions.folds[i : i + FOLDS]]),
        ).ece
        for i in range(0, len(predictions.folds), FOLDS)
    ]
    found: dict[str, Any] = {
        m: {
            "mean": float(np.mean([getattr(q, m) for q in per_fold])),
            "sd": float(np.std([getattr(q, m) for q in per_fold], ddof=1)),
        }
        for m in measures[:3]
    }
    found["ece"] = {"mean": float(np.mean(repeat_ece)), "sd": float(np.std(repeat_ece, ddof=1))}
    found["calibration_intercept"] = pooled.calibration_intercept
    found["calibration_slope"] = pooled.calibration_slope
    found["reliability"] = [
        {**b, "n": b["n"] / (len(per_fold) / FOLDS)} for b in pooled.reliability
    ]
    return dict(_rounded(found))


def _confidence(predictions: OutOfFoldPredictions) -> dict[str, Any]:
    """Fit how often patients with a probability had the disease, out of fold, in all scenarios."""
    p = np.concatenate([p.ravel() for _, p in predictions.folds])
    y = np.concatenate([np.tile(y, len(p)) for y, p in predictions.folds])
    curve = IsotonicRegression(y_min=0.0, y_max=1.0).fit(p, y)
    found = {"probability": curve.X_thresholds_.tolist(), "disease": curve.y_thresholds_.tolist()}
    return dict(_rounded(found))


def _rounded(value: Any) -> Any:
    """Round every number of a JSON value; NaN becomes None."""
    if isinstance(value, Mapping):
        return {k: _rounded(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [_rounded(v) for v in value]
    if isinstance(value, float):
        return None if value != value else round(float(value), _DIGITS) + 0.0
    return value
