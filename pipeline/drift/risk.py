"""What a window's changes did to the estimated risk."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from pipeline.drift.contingency_tables import Array
from pipeline.model.inputs import InputError, vector
from pipeline.model.scores import Scores, sigmoid

_ORDERS = 20


@dataclass(frozen=True)
class RiskShares:
    """How much each finding moved the mean risk from reference to window."""

    reference: float
    """Mean probability of the reference, by the model that scored both sides."""
    current: float
    """Mean probability of the window."""
    log_odds: Array
    """In the order of `FEATURES`; they sum to the change of the mean log-odds."""
    probability: Array
    """Shapley values, in the same order; they sum to the change of the mean probability."""


def risk_change(reference: ArrayLike, current: ArrayLike) -> tuple[float, float, float]:
    """Return the mean risk of reference and window, and the standard error of the change.

    Parameters
    ----------
    reference, current
        Predicted probabilities; an empty side counts as unchanged.
    """
    before, now = (vector(p, "probabilities") for p in (reference, current))
    if not all(((p >= 0) & (p <= 1)).all() for p in (before, now)):
        raise InputError("probabilities must lie between 0 and 1")
    if not len(before) or not len(now):
        mean = float(np.concatenate([before, now]).mean()) if len(before) + len(now) else 0.0
        return mean, mean, 0.0
    error = (before.var() / len(before) + now.var() / len(now)) ** 0.5
    return float(before.mean()), float(now.mean()), float(error)


def risk_shares(reference: Scores, current: Scores, *, seed: int = 0) -> RiskShares:
    """Divide the change of the mean risk among the findings.

    The model is additive in log-odds, so there a finding's share is the change of its mean
    contribution. In probabilities it depends on the other findings: patients of the same rank by
    risk are paired, each side's all with equal weight, and one is turned into the other finding by
    finding, in random orders and the same reversed.

    Parameters
    ----------
    reference, current
        Scores of both sides by the same model, at least one patient each.
    seed
        Of the orders.

    Source: Shapley (1953), A value for n-person games; Castro, Gomez & Tejada (2009), Computers &
    Operations Research 36:1726, for random orders.
    """
    random, features = np.random.default_rng(seed), reference.contributions.shape[1]
    m, n = len(reference.probability), len(current.probability)
    ends = np.unique(np.concatenate([np.arange(1, m + 1) * n, np.arange(1, n + 1) * m]))
    weights = np.diff(ends, prepend=0) / (m * n)
    before = reference.contributions[np.argsort(reference.probability)[(ends - 1) // n]]
    moved = current.contributions[np.argsort(current.probability)[(ends - 1) // m]] - before
    probability = np.zeros(features)
    for _ in range(_ORDERS):
        order = random.permutation(features)
        for way in (order, order[::-1]):
            z = reference.base_value + before.sum(axis=1)
            risk = sigmoid(z)
            for i in way:
                z = z + moved[:, i]
                earlier, risk = risk, sigmoid(z)
                probability[i] += weights @ (risk - earlier)
    log_odds = current.contributions.mean(axis=0) - reference.contributions.mean(axis=0)
    before_p, now_p = float(reference.probability.mean()), float(current.probability.mean())
    return RiskShares(before_p, now_p, log_odds, probability / (2 * _ORDERS))
