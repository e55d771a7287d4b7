"""What scoring gives: probabilities, their intervals and contributions. numpy only."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from pipeline.model.design_matrix import Array
from pipeline.schema import NAMES

if TYPE_CHECKING:
    import pandas as pd

INTERVAL_LEVEL = 0.95
_TAILS = ((1 - INTERVAL_LEVEL) / 2, (1 + INTERVAL_LEVEL) / 2)
_CHUNK = 4096  # rows whose bootstrap scores are held at once: 4096 x 400 x 8 bytes = 13 MB


@dataclass(frozen=True)
class Explanation:
    """Why one patient's probability is what it is, in log-odds."""

    base_value: float
    """Mean log-odds of the training patients."""
    contributions: tuple[float, ...]
    """One per feature, in the order of `FEATURES`; with `base_value` they sum to the log-odds."""
    interval: tuple[float, float]
    """95 % bootstrap interval of the fitted probability; contains the probability."""
    unknown_range: tuple[float, float] | None = None
    """95 % range of the probability that the model would give if it knew the unknown findings;
    contains the probability. None when none is unknown, or for a scorecard made without it."""
    most_informative: str | None = None
    """The unknown finding whose knowledge would narrow that range most."""


@dataclass(frozen=True)
class Scores:
    """The scores of n patients, in row order."""

    probability: Array
    """Probability of disease, shape (n,)."""
    contributions: Array
    """Log-odds, shape (n, 13), in the order of `FEATURES`."""
    base_value: float
    _matrix: Array
    _sets: Array

    @cached_property
    def interval(self) -> Array:
        """95 % bootstrap interval of the fitted probability, shape (n, 2); computed when asked."""
        return _interval(self._matrix, self._sets, self.probability)

    def to_dict(self) -> dict[str, Any]:
        """Return plain lists under the names of the attributes."""
        return {
            "probability": self.probability.tolist(),
            "interval": self.interval.tolist(),
            "base_value": self.base_value,
            "contributions": [
                dict(zip(NAMES, row, strict=True)) for row in self.contributions.tolist()
            ],
        }

    def frame(self) -> pd.DataFrame:
        """Return one row per patient: probability, low, high and the thirteen contributions."""
        import pandas as pd  # imported only when a frame is wanted

        frame = pd.DataFrame(self.contributions, columns=list(NAMES))
        frame.insert(0, "probability", self.probability)
        frame.insert(1, "low", self.interval[:, 0])
        frame.insert(2, "high", self.interval[:, 1])
        return frame


def sigmoid(z: Array) -> Array:
    """Return the probabilities of log-odds, without overflow."""
    odds = np.exp(-np.abs(z))
    return np.asarray(np.where(z >= 0, 1.0, odds) / (1.0 + odds))


def sigmoid_scalar(z: float) -> float:
    """Return the probability of one log-odds, without an array."""
    if z >= 0:
        return 1.0 / (1.0 + math.exp(-z))
    odds = math.exp(z)
    return odds / (1.0 + odds)


def percentile_interval(z: Array) -> tuple[float, float]:
    """Return the probabilities between which the middle 95 % of one patient's log-odds lie.

    The quantiles of `np.quantile`, which takes ten times as long for a few hundred numbers.
    """
    ordered = np.sort(z)
    bounds = []
    for tail in _TAILS:
        position = tail * (len(ordered) - 1)
        i = min(int(position), len(ordered) - 2)
        step = float(ordered[i + 1] - ordered[i])
        bounds.append(sigmoid_scalar(float(ordered[i]) + (position - i) * step))
    return bounds[0], bounds[1]


def _interval(matrix: Array, sets: Array, probability: Array) -> Array:
    """Score every bootstrap set and keep the middle 95 %, widened to hold the probability."""
    bounds = np.empty((len(matrix), 2))
    for start in range(0, len(matrix), _CHUNK):
        part = slice(start, start + _CHUNK)
        z = matrix[part] @ sets[:, 1:].T + sets[:, 0]
        bounds[part] = sigmoid(np.quantile(z, _TAILS, axis=1).T)
    bounds[:, 0] = np.minimum(bounds[:, 0], probability)
    bounds[:, 1] = np.maximum(bounds[:, 1], probability)
    return bounds
