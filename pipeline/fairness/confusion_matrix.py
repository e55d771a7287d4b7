"""The confusion matrix of one group, and its rates."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray

from pipeline.model.design_matrix import Array
from pipeline.statistics.metrics import auc
from pipeline.statistics.proportions import (
    IntervalFunction,
    auc_interval,
    auc_variance,
    wilson_interval,
)

TP, FP, FN, TN, SELECTED, N = range(6)
_KNOWN = (TP, FP, FN, TN)


@dataclass(frozen=True)
class Metric:
    """A rate of the confusion matrix: numerator over denominator."""

    name: str
    label: str
    denominator_label: str
    """The denominator in words."""
    numerator: tuple[int, ...] = ()
    denominator: tuple[int, ...] = ()


SELECTION = Metric("selection_rate", "Selection rate", "patients", (SELECTED,), (N,))
RECALL = Metric("recall", "Sensitivity (recall, TPR)", "patients with disease", (TP,), (TP, FN))
FPR = Metric("fpr", "False positive rate", "patients without disease", (FP,), (FP, TN))
AUC = Metric("auc", "ROC-AUC", "patients of the smaller class")
BASE_RATE = Metric("base_rate", "Base rate", "patients with a known outcome", (TP, FN), _KNOWN)

METRICS: tuple[Metric, ...] = (
    SELECTION,
    RECALL,
    FPR,
    Metric("precision", "Precision", "patients predicted to have disease", (TP,), (TP, FP)),
    Metric("accuracy", "Accuracy", "patients with a known outcome", (TP, TN), _KNOWN),
    AUC,
)
"""The rates compared between groups; the base rate does not depend on the model."""


@dataclass(frozen=True)
class ConfusionMatrix:
    """The counts of one group of patients, and its ROC area where it has one."""

    counts: Array
    """TP, FP, FN, TN of the patients whose outcome is known; selected and n of all."""
    auc: tuple[float, float] | None
    """Area under the ROC curve and its standard error; None without both classes."""

    def n(self, metric: Metric) -> int:
        """Return the denominator; for the ROC area the patients of the smaller class."""
        if metric is AUC:
            diseased = self.counts[[TP, FN]].sum()
            return int(min(diseased, self.counts[[FP, TN]].sum())) if self.auc else 0
        return int(self.counts[list(metric.denominator)].sum())

    def count(self, metric: Metric) -> int:
        """Return the numerator."""
        return int(self.counts[list(metric.numerator)].sum())

    def value(self, metric: Metric) -> float | None:
        """Return the rate, 0 to 1; None when its denominator is 0."""
        if metric is AUC:
            return self.auc[0] if self.auc else None
        n = self.n(metric)
        return self.count(metric) / n if n else None

    def bounds(self, metric: Metric) -> IntervalFunction:
        """Return the rate's interval as a function of the normal quantile."""
        if metric is AUC and self.auc:
            return partial(auc_interval, *self.auc, self.n(metric))
        return partial(wilson_interval, self.count(metric), self.n(metric))


def variance(metric: Metric, a: ConfusionMatrix, b: ConfusionMatrix) -> float:
    """Return the variance of one patient's part in the rate, were it the same in both cells.

    Two successes and two failures are added, so that a rate of 0 or 1 is not taken for certain.
    """
    if metric is AUC:
        areas = [cell.auc[0] for cell in (a, b) if cell.auc] or [0.75]
        return auc_variance(min(sum(areas) / len(areas), 0.99))
    share = (a.count(metric) + b.count(metric) + 2) / (a.n(metric) + b.n(metric) + 4)
    return share * (1 - share)


def confusion_matrix_counter(
    y_true: Array, y_pred: NDArray[np.bool_], probability: Array | None
) -> Callable[[NDArray[np.bool_]], ConfusionMatrix]:
    """Return a function from a mask of patients to their `ConfusionMatrix`.

    Parameters
    ----------
    y_true
        1.0 = disease, 0.0 = none, NaN = missing, shape (n,).
    y_pred
        Predictions, shape (n,).
    probability
        Predicted probabilities, shape (n,); None = no ROC area.
    """
    known = ~np.isnan(y_true)
    sick, well = known & (y_true == 1), known & (y_true == 0)
    member = np.stack([sick & y_pred, well & y_pred, sick & ~y_pred, well & ~y_pred, y_pred])

    def cell(mask: NDArray[np.bool_]) -> ConfusionMatrix:
        counts = np.append((member & mask).sum(axis=1), mask.sum()).astype(float)
        area = None
        if probability is not None and counts[[TP, FN]].sum() and counts[[FP, TN]].sum():
            area = auc(y_true[mask & known], probability[mask & known])
        return ConfusionMatrix(counts, area)

    return cell
