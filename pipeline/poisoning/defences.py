"""Three defences against poisoned labels, for many training sets at once. numpy only.

Each returns coefficients as `fit_weighted` does. Those that remove patients say which.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pipeline.model.design_matrix import Array
from pipeline.model.logistic_regression import CV_TOLERANCE, fit_weighted
from pipeline.model.scores import sigmoid
from pipeline.poisoning.attacks import Mask

NO_DEFENCE = "no defence"
STRONG_C = 0.01  # thirty times the served model's penalty: one label can pull less
NEIGHBOURS = 10
INNER_FOLDS = 5
MIN_PER_CLASS = 5  # of either class; a fit to one class alone does not exist


@dataclass(frozen=True)
class TrainingSets:
    """Training sets over the same m rows, with labels and weights of their own."""

    x: Array
    """Design matrix, shape (m, p)."""
    y: Array
    """Labels as the trainer sees them, shape (n_sets, m)."""
    used: Mask
    """Rows that are in the set, shape (n_sets, m)."""
    inner: NDArray[np.int64]
    """Inner fold of each row, shape (n_sets, m), for predictions out of fold."""

    def fit(self, c: float, used: Mask | None = None, start: Array | None = None) -> Array:
        """Fit every set, shape (n_sets, p + 1)."""
        weights = (self.used if used is None else used).astype(float)
        return fit_weighted(self.x, self.y, weights, c, start=start, tolerance=CV_TOLERANCE)


@dataclass(frozen=True)
class DefendedFit:
    """What a defence made of the training sets."""

    beta: Array
    """Coefficients, intercept first, shape (n_sets, p + 1)."""
    removed: Mask | None = None
    """Rows that were left out, shape (n_sets, m); None = the defence removes no rows."""


def no_defence(data: TrainingSets, c: float) -> DefendedFit:
    """Trust every label."""
    return DefendedFit(data.fit(c))


def strong_penalty(data: TrainingSets, c: float) -> DefendedFit:
    """Shrink the coefficients, whatever penalty is served."""
    return DefendedFit(data.fit(min(c, STRONG_C)))


def confident_learning(data: TrainingSets, c: float) -> DefendedFit:
    """Leave out the patients whom their own out-of-fold probability contradicts confidently.

    A label is contradicted when the other class's probability is at least the mean that patients
    with that label get, and its own is not (or is smaller).

    Source: Northcutt, Jiang, Chuang (2021), JAIR 70: the confident joint.
    """
    start = data.fit(c)
    p = np.empty(data.y.shape)
    for k in range(INNER_FOLDS):
        held_out = data.inner == k
        beta = data.fit(c, data.used & ~held_out, start)
        p = np.where(held_out, probabilities(data.x, beta), p)
    sick, well = data.used & (data.y == 1), data.used & (data.y == 0)
    like_sick = p >= _mean(p, sick)
    like_well = 1.0 - p >= _mean(1.0 - p, well)
    contradicted = np.where(
        data.y == 1, like_well & (~like_sick | (p < 0.5)), like_sick & (~like_well | (p > 0.5))
    )
    return _without(data, contradicted & data.used, c, start)


def nearest_neighbours(data: TrainingSets, c: float) -> DefendedFit:
    """Leave out the patients whose label most of their ten nearest neighbours do not share.

    Source: Wilson (1972), IEEE Transactions on Systems, Man and Cybernetics 2: edited neighbours.
    """
    squares = (data.x**2).sum(axis=1)
    distance = squares[:, None] + squares - 2.0 * data.x @ data.x.T
    np.fill_diagonal(distance, np.inf)
    order = np.argsort(distance, axis=1, kind="stable")[:, :-1]  # no patient is their own neighbour
    removed = np.zeros(data.used.shape, dtype=bool)
    for i, (used, y) in enumerate(zip(data.used, data.y, strict=True)):
        mine = order[used]
        there = used[mine]
        near = there & (np.cumsum(there, axis=1, dtype=np.int16) <= NEIGHBOURS)
        share = (near & (y[mine] == 1)).sum(axis=1) / np.maximum(near.sum(axis=1), 1)
        removed[i, used] = np.where(y[used] == 1, share < 0.5, share > 0.5)
    return _without(data, removed, c, None)


DEFENCES: Mapping[str, Callable[[TrainingSets, float], DefendedFit]] = {
    NO_DEFENCE: no_defence,
    "strong L2 penalty": strong_penalty,
    "confident learning": confident_learning,
    "nearest neighbours": nearest_neighbours,
}


def probabilities(x: Array, beta: Array) -> Array:
    """Score all rows by all coefficient sets, shape (n_sets, m)."""
    return sigmoid(beta[:, 1:] @ x.T + beta[:, :1])


def _mean(values: Array, where: Mask) -> Array:
    """Average over the rows of each set; infinite, which nothing reaches, where there are none."""
    counts = where.sum(axis=1, keepdims=True)
    means = (values * where).sum(axis=1, keepdims=True) / np.maximum(counts, 1)
    return np.where(counts == 0, np.inf, means)


def _without(data: TrainingSets, removed: Mask, c: float, start: Array | None) -> DefendedFit:
    """Fit without rows; keep all where too few of a class would be left."""
    left = data.used & ~removed
    smaller = np.minimum((left & (data.y == 1)).sum(axis=1), (left & (data.y == 0)).sum(axis=1))
    removed = removed & (smaller >= MIN_PER_CLASS)[:, None]
    return DefendedFit(data.fit(c, data.used & ~removed, start), removed)
