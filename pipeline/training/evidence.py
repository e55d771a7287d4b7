"""Measure what the model card shows: treatments, challengers, cross-validation, other hospitals."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from sklearn.isotonic import IsotonicRegression

from pipeline.audit import Audit
from pipeline.model.design_matrix import Array
from pipeline.statistics.metrics import auc, quality
from pipeline.training.challengers import CHALLENGERS, LOGISTIC
from pipeline.training.evidence_fairness import out_of_fold, study_fairness
from pipeline.training.imputation import (
    FOLDS,
    GRID,
    REPEATS,
    SCENARIOS,
    TREATMENTS,
    Folds,
    Predict,
    Predictions,
    cross_validate,
    fit_augmented,
    simplest_within_one_se,
)

SERVED = "mask-augmented training"
"""The treatment that the rule chose on Cleveland and that the scorecard is written for."""

RULE = (
    "the simplest whose Brier score, averaged over five scenarios of missing values, is at most "
    "one standard error (over the folds) above the best; simplest first as listed"
)
QUICK_REPEATS = 2
_Z = 1.959964  # 97.5 % point of the normal distribution
_DIGITS = 6  # figures for people; the last bits differ between machines


def study_treatments(rows: Array, y: Array) -> tuple[dict[str, Any], float]:
    """Compare the treatments of missing values; return the evidence and the C to serve with."""
    fits: dict[str, Callable[[Array, Array], Predict]] = {}
    for name, fit in TREATMENTS.items():
        for c in GRID:
            fits[f"{name}|{c}"] = lambda a, b, fit=fit, c=c: fit(a, b, c)  # type: ignore[misc]
    predictions = cross_validate(Folds(rows, y), fits)
    best: dict[str, tuple[float, Predictions]] = {}
    for name in TREATMENTS:
        c = min(GRID, key=lambda c: predictions[f"{name}|{c}"].loss())
        best[name] = c, predictions[f"{name}|{c}"]
    losses = {name: p.loss() for name, (_, p) in best.items()}
    chosen = simplest_within_one_se(losses)
    table = [
        {"treatment": name, "c": c, **_summary(p), "chosen": name == chosen}
        for name, (c, p) in best.items()
    ]
    c, served = best[SERVED]
    evidence = {
        "rule": RULE,
        "scenarios": list(SCENARIOS),
        "folds": FOLDS,
        "repeats": REPEATS,
        "grid": list(GRID),
        "table": table,
        "chosen": chosen,
        "served": SERVED,
        "cross_validation": _complete(served),
        "confidence": _confidence(served),
        "fairness": study_fairness(rows, y, out_of_fold(Folds(rows, y), served)),
    }
    return evidence, c


def study_challengers(rows: Array, y: Array, c: float, full: bool) -> dict[str, Any]:
    """Compare the scorecard with the challengers on the same folds."""
    repeats = REPEATS if full else QUICK_REPEATS
    fits: Mapping[str, Callable[[Array, Array], Predict]] = {
        LOGISTIC: lambda a, b: fit_augmented(a, b, c),
        **CHALLENGERS,
    }
    predictions = cross_validate(Folds(rows, y, repeats), fits)
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
        "rule": RULE,
        "folds": FOLDS,
        "repeats": repeats,
        "full": full,
        "note": "" if full else f"{repeats} of {REPEATS} repeats; all of them with --full",
        "table": table,
        "champion": champion,
    }


def audited(found: Audit) -> dict[str, Any]:
    """Keep what the audit said of the training file, but for the counts of `data`."""
    kept = ("coding", "coding_evidence", "label", "label_inverted", "label_check", "duplicates",
            "problems")  # fmt: skip
    written = found.to_dict()
    return {name: _rounded(written[name]) for name in kept}


def external(y: Array, p: Array, missing: Mapping[str, int]) -> dict[str, Any]:
    """Measure the finished model on another hospital's patients."""
    return {"missing": dict(missing), **_rounded(quality(y, p).to_dict())}


def _summary(predictions: Predictions) -> dict[str, Any]:
    """Average AUC and Brier score per scenario; intervals over the folds."""
    brier = predictions.brier()
    area = np.array([[auc(y, row)[0] for row in p] for y, p in predictions.folds])
    loss, se = predictions.loss()
    named: dict[str, Any] = {
        "auc": dict(zip(SCENARIOS, area.mean(axis=0).tolist(), strict=True)),
        "auc_interval": _resampled(area[:, 0]),
        "brier": dict(zip(SCENARIOS, brier.mean(axis=0).tolist(), strict=True)),
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


def _complete(predictions: Predictions) -> dict[str, Any]:
    """Summarise the served model on complete patients, out of fold."""
    per_fold = [quality(y, p[0]) for y, p in predictions.folds]
    pooled = quality(
        np.concatenate([y for y, _ in predictions.folds]),
        np.concatenate([p[0] for _, p in predictions.folds]),
    )
    measures = ("auc", "brier", "accuracy", "ece")
    repeat_ece = [
        quality(
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


def _confidence(predictions: Predictions) -> dict[str, Any]:
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
