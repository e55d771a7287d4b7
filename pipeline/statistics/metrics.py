"""How good predicted probabilities are: discrimination, error and calibration. numpy only."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from pipeline.model.design_matrix import Array

RELIABILITY_BINS = 10  # of equal width; the usual number, and 30 patients a bin at n = 303
_Z = 1.959964  # 97.5 % point of the normal distribution


@dataclass(frozen=True)
class ProbabilityMetrics:
    """The measures of one set of predictions."""

    n: int
    n_disease: int
    auc: float
    """Chance that a patient with disease scores above one without; 0.5 = coin, 1 = perfect."""
    auc_interval: tuple[float, float]
    """95 % interval (DeLong)."""
    brier: float
    """Mean squared error of the probability; 0 = perfect, 0.25 = always saying 50 %."""
    brier_interval: tuple[float, float]
    accuracy: float
    """Share right at threshold 0.5."""
    ece: float
    """Expected calibration error: mean distance of predicted and observed share over the bins."""
    calibration_intercept: float
    """Log-odds by which all predictions are too low; 0 = right on average."""
    calibration_slope: float
    """1 = right spread; below 1 = too extreme."""
    reliability: tuple[dict[str, float], ...]
    """The bins: n, mean predicted probability, observed share."""

    def to_dict(self) -> dict[str, Any]:
        """Return plain values."""
        return asdict(self)


def probability_metrics(y: Array, p: Array) -> ProbabilityMetrics:
    """Measure predictions.

    Parameters
    ----------
    y
        0.0 or 1.0, shape (n,), both present.
    p
        Predicted probabilities, shape (n,).
    """
    area, area_se = auc(y, p)
    squared = (p - y) ** 2
    brier, brier_se = float(squared.mean()), float(squared.std(ddof=1) / len(y) ** 0.5)
    bins = reliability_curve(y, p)
    intercept, slope = calibration_intercept_slope(y, p)
    return ProbabilityMetrics(
        n=len(y),
        n_disease=int(y.sum()),
        auc=area,
        auc_interval=(max(0.0, area - _Z * area_se), min(1.0, area + _Z * area_se)),
        brier=brier,
        brier_interval=(max(0.0, brier - _Z * brier_se), brier + _Z * brier_se),
        accuracy=float(((p >= 0.5) == (y == 1)).mean()),
        ece=sum(b["n"] * abs(b["predicted"] - b["observed"]) for b in bins) / len(y),
        calibration_intercept=intercept,
        calibration_slope=slope,
        reliability=bins,
    )


def auc(y: Array, p: Array) -> tuple[float, float]:
    """Return the area under the ROC curve and its standard error.

    Ties count one half. The error is DeLong's: the variance of each patient's share of won pairs.

    Source: DeLong, DeLong, Clarke-Pearson (1988), Biometrics 44.
    """
    sick, well = np.sort(p[y == 1]), np.sort(p[y == 0])
    won_by_sick = _share_below(well, sick)
    won_by_well = 1.0 - _share_below(sick, well)
    variance = sum(v.var(ddof=1) / len(v) for v in (won_by_sick, won_by_well) if len(v) > 1)
    return float(won_by_sick.mean()), float(variance) ** 0.5


def _share_below(others: Array, values: Array) -> Array:
    below = np.searchsorted(others, values, side="left")
    up_to = np.searchsorted(others, values, side="right")
    return np.asarray((below + up_to) / (2 * len(others)))


def reliability_curve(y: Array, p: Array) -> tuple[dict[str, float], ...]:
    """Compare predicted and observed shares in bins of equal width; empty bins are left out."""
    index = np.minimum((p * RELIABILITY_BINS).astype(int), RELIABILITY_BINS - 1)
    return tuple(
        {
            "n": int((index == b).sum()),
            "predicted": float(p[index == b].mean()),
            "observed": float(y[index == b].mean()),
        }
        for b in np.unique(index)
    )


def calibration_intercept_slope(y: Array, p: Array) -> tuple[float, float]:
    """Return calibration intercept (slope held at 1) and calibration slope (intercept free).

    Source: Van Calster et al. (2019), BMC Medicine 17:230.
    """
    z = np.log(p / (1.0 - p))
    intercept = _logistic(np.ones((len(y), 1)), z, y)[0]
    slope = _logistic(np.column_stack([np.ones(len(y)), z]), np.zeros(len(y)), y)[1]
    return float(intercept), float(slope)


def _logistic(x: Array, offset: Array, y: Array) -> Array:
    """Fit logit(y) = offset + x beta without penalty; NaN when the classes separate."""
    beta = np.zeros(x.shape[1])
    for _ in range(50):
        p = 1.0 / (1.0 + np.exp(-np.clip(offset + x @ beta, -500, 500)))
        hessian = (x.T * (p * (1.0 - p))) @ x
        if np.linalg.cond(hessian) > 1e12:
            return np.full(x.shape[1], np.nan)
        step = np.linalg.solve(hessian, x.T @ (y - p))
        beta = beta + step
        if np.abs(step).max() < 1e-10:
            return np.asarray(beta)
    return np.full(x.shape[1], np.nan)
