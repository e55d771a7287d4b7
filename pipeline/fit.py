"""Fit penalised logistic regressions, one or hundreds at a time, with numpy.

Minimises `sum_i w_i * log-loss_i + |beta|^2 / (2 C)`, the intercept unpenalised: scikit-learn's
`LogisticRegression(C=C)`. Newton's method on all weight sets at once, because a bootstrap of
hundreds of fits must take seconds.
"""

from __future__ import annotations

import numpy as np

from pipeline.design import Array

TOLERANCE = 1e-12  # largest entry of the mean gradient; rounding to 9 decimals then hides the rest
MAX_STEPS = 30  # Newton on this convex problem needs 6-9


def newton(matrix: Array, y: Array, weights: Array, c: float) -> Array:
    """Fit one logistic regression per weight set.

    Parameters
    ----------
    matrix
        Design matrix without intercept, shape (n, p).
    y
        Labels 0.0 or 1.0, shape (n,).
    weights
        Shape (n,) for one fit or (n_sets, n) for many.
    c
        Inverse strength of the penalty, as in scikit-learn.

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
    penalty = np.full(x.shape[1], 1.0 / c)
    penalty[0] = 0.0
    beta = np.zeros((len(w), x.shape[1]))
    total = w.sum(axis=1, keepdims=True)
    for _ in range(MAX_STEPS):
        p = 1.0 / (1.0 + np.exp(-(beta @ x.T)))
        gradient = (w * (p - y)) @ x + penalty * beta
        if (np.abs(gradient) <= TOLERANCE * total).all():
            return beta if weights.ndim == 2 else beta[0]
        curvature = w * p * (1.0 - p)
        hessian = np.stack([(x.T * row) @ x for row in curvature]) + np.diag(penalty)
        beta = beta - np.linalg.solve(hessian, gradient[..., None])[..., 0]
    raise ArithmeticError("the fit did not converge; use a smaller C")


def sigmoid_of(matrix: Array, beta: Array) -> Array:
    """Return the fitted probabilities of one coefficient set, intercept first."""
    return np.asarray(1.0 / (1.0 + np.exp(-(matrix @ beta[1:] + beta[0]))))
