"""Fit penalised logistic regressions, one or hundreds at a time, with numpy.

Minimises `sum_i w_i * log-loss_i + |beta|^2 / (2 C)`, the intercept unpenalised: scikit-learn's
`LogisticRegression(C=C)`. Newton's method on all weight sets at once, because a bootstrap of
hundreds of fits must take seconds.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from pipeline.model.design_matrix import Array

TOLERANCE = 1e-12  # largest entry of the mean gradient; rounding to 9 decimals then hides the rest
CV_TOLERANCE = 1e-6  # enough for a probability in cross-validation: it moves the 6th decimal
PAIRWISE_MIN_SETS = 16  # sets from which on multiplying the columns pair by pair pays
MAX_STEPS = 30  # Newton on this convex problem needs 6-9


def fit_weighted(
    matrix: Array,
    y: Array,
    weights: Array,
    c: float,
    *,
    start: Array | None = None,
    used: NDArray[np.bool_] | None = None,
    tolerance: float = TOLERANCE,
) -> Array:
    """Fit one logistic regression per weight set.

    Parameters
    ----------
    matrix
        Design matrix without intercept, shape (n, p).
    y
        Labels 0.0 or 1.0, shape (n,), or (n_sets, n) when each set has labels of its own.
    weights
        Shape (n,) for one fit or (n_sets, n) for many.
    c
        Inverse strength of the penalty, as in scikit-learn.
    start
        Where to begin, intercept first; a fit to nearby weights saves steps.
    used
        Columns that each set may use, shape (n_sets, p); the others get 0. None = all.
    tolerance
        Largest entry of the mean gradient at the end.

    Returns
    -------
    Array
        Intercept first, shape (p + 1,) or (n_sets, p + 1).

    Raises
    ------
    ArithmeticError
        When a fit does not converge, as with a C so large that classes separate.
    """
    x = np.column_stack([np.ones(len(matrix)), matrix])
    w = np.atleast_2d(weights)
    size = x.shape[1]
    free = np.ones((len(w), size))
    if used is not None:
        free[:, 1:] = used
    penalty = np.full(size, 1.0 / c)
    penalty[0] = 0.0
    diagonal = np.eye(size) * (penalty * free + (1.0 - free))[:, None, :]
    beta = (np.zeros(size) if start is None else start) * free
    total = w.sum(axis=1, keepdims=True)
    products = _all_at_once(x) if len(w) >= PAIRWISE_MIN_SETS else _one_by_one(x)
    for _ in range(MAX_STEPS):
        p = 1.0 / (1.0 + np.exp(-(beta @ x.T)))
        gradient = ((w * (p - y)) @ x + penalty * beta) * free
        if (np.abs(gradient) <= tolerance * total).all():
            return beta if weights.ndim == 2 else beta[0]
        curvature = w * p * (1.0 - p)
        hessian = products(curvature)
        hessian = hessian * free[:, :, None] * free[:, None, :] + diagonal
        beta = beta - np.linalg.solve(hessian, gradient[..., None])[..., 0]
    raise ArithmeticError("the fit did not converge; use a smaller C")


def _one_by_one(x: Array) -> Callable[[Array], Array]:
    return lambda curvature: np.stack([(x.T * row) @ x for row in curvature])


def _all_at_once(x: Array) -> Callable[[Array], Array]:
    """Weigh the products of all pairs of columns: one matrix product for all sets."""
    size = x.shape[1]
    rows, columns = np.triu_indices(size)
    pairs = x[:, rows] * x[:, columns]
    place = np.empty((size, size), dtype=int)
    place[rows, columns] = place[columns, rows] = np.arange(len(rows))
    return lambda curvature: (curvature @ pairs)[:, place]


def predict_probability(matrix: Array, beta: Array) -> Array:
    """Return the fitted probabilities of one coefficient set, intercept first."""
    return np.asarray(1.0 / (1.0 + np.exp(-(matrix @ beta[1:] + beta[0]))))


def bootstrap_coefficients(
    matrix: Array, y: Array, shares: Array, c: float, start: Array, n_sets: int, seed: int
) -> Array:
    """Fit again on patients drawn with replacement; a patient's copies are drawn together.

    Parameters
    ----------
    matrix
        Design of all copies of n patients, shape (n * number of copies, p), copy by copy.
    y
        Labels of the n patients.
    shares
        Weight of each copy, shape (number of copies,).
    c, start
        As in `fit_weighted`.
    n_sets
        Number of draws.
    seed
        Of the draws.

    Returns
    -------
    Array
        Shape (n_sets, p + 1), intercept first.
    """
    n = len(y)
    rng = np.random.default_rng(seed)
    draws = (rng.random((n_sets, n)) * n).astype(int)
    counts = np.stack([np.bincount(draw, minlength=n) for draw in draws])
    weights = np.hstack([counts * share for share in shares])
    return fit_weighted(matrix, np.tile(y, len(shares)), weights, c, start=start)
