"""How far the unknown findings of a patient could still move the estimate. numpy only.

The points of a patient's findings are taken as jointly normal, with the mean and the covariance
that they have among the training patients. Given the points of the known findings, the sum of the
unknown ones is then normal, too. docs/model.md says how often the range covers, on patients whom
the fit has not seen. Mean and covariance are all that is kept; no patient's row is.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.model.design_matrix import Array, round_coefficients

MIN_KNOWN = 30
"""Training patients with a finding; with fewer its spread is not known either."""
_Z = 1.959964  # 97.5 % point of the normal distribution
_RIDGE = 1e-9  # in squared log-odds: findings may determine each other entirely

_Regression = tuple[NDArray[np.int64], Array, float, float, int]
"""Of the unknown sum on the given findings: their indices, slopes, constant, half-width of the
95 % range, and the most informative finding."""

NOT_MEASURED = (
    "This model was trained by an older version, which did not measure how far unknown findings "
    "could move an estimate; train it again to see that."
)
"""For a patient with unknown findings and no `Explanation.unknown_range`."""


@dataclass(frozen=True)
class UnknownSum:
    """The sum of the points of a patient's unknown findings, in log-odds."""

    mean: float
    half_width: float
    """Of the 95 % range around the mean."""
    most_informative: int
    """Index of the finding whose knowledge would take most of the variance away."""


@dataclass(frozen=True)
class JointPoints:
    """Mean and covariance of the points of the training patients' known findings."""

    n: int
    """Patients that the sparsest covariance rests on."""
    mean: Array
    """Log-odds, shape (n_features,); NaN where fewer than `MIN_KNOWN` patients had the finding."""
    covariance: Array
    """Shape (n_features, n_features)."""

    @classmethod
    def of(cls, points: Array, known: NDArray[np.bool_]) -> JointPoints | None:
        """Measure them, each pair on the patients that have both; None = no finding is described.

        Parameters
        ----------
        points
            Log-odds, shape (n, n_features).
        known
            Which findings are known, shape (n, n_features).
        """
        described = known.sum(axis=0) >= MIN_KNOWN
        if not described.any():
            return None
        used = known & described
        mean = np.where(used, points, 0.0).sum(axis=0) / np.maximum(used.sum(axis=0), 1)
        centred = np.where(used, points - mean, 0.0)
        both = used.T.astype(float) @ used
        values, vectors = np.linalg.eigh(centred.T @ centred / np.maximum(both - 1, 1))
        # Covariances of different patients need not fit together: no variance is negative.
        covariance = vectors * np.maximum(values, 0.0) @ vectors.T
        n = int(both[np.ix_(described, described)].min())
        return cls(
            n,
            round_coefficients(np.where(described, mean, np.nan)),
            round_coefficients((covariance + covariance.T) / 2),
        )

    def to_dict(self, names: Sequence[str]) -> dict[str, Any]:
        """Return plain lists for the scorecard, over the findings that are described."""
        at = np.flatnonzero(~np.isnan(self.mean)).tolist()
        return {
            "n": self.n,
            "features": [names[i] for i in at],
            "mean": self.mean[at].tolist(),
            "covariance": self.covariance[np.ix_(at, at)].tolist(),
        }

    @classmethod
    def from_dict(cls, kept: Mapping[str, Any], names: Sequence[str]) -> JointPoints:
        """Read what `to_dict` wrote, for findings in the order of `names`."""
        mean, covariance = np.full(len(names), np.nan), np.zeros((len(names), len(names)))
        at = [names.index(name) for name in kept["features"]]
        mean[at], covariance[np.ix_(at, at)] = kept["mean"], kept["covariance"]
        return cls(kept["n"], mean, covariance)

    def unknown_sum(self, points: Array, unknown: NDArray[np.bool_]) -> UnknownSum | None:
        """Predict the sum of the unknown findings' points from the known ones.

        Parameters
        ----------
        points
            Log-odds of the known findings, shape (n_features,); the others are not read.
        unknown
            Which findings are unknown, shape (n_features,). Those that are not described have no
            part in the sum.

        Returns
        -------
        UnknownSum or None
            None when nothing that is described is unknown.
        """
        key = unknown.tobytes()
        if key not in self._regressions:
            self._regressions[key] = self._regression(unknown)
        found = self._regressions[key]
        if found is None:
            return None
        given, slopes, constant, half_width, most_informative = found
        return UnknownSum(constant + float(points[given] @ slopes), half_width, most_informative)

    @cached_property
    def _regressions(self) -> dict[bytes, _Regression | None]:
        """By pattern of unknown findings; a service meets few of the thousands that there are."""
        return {}

    def _regression(self, unknown: NDArray[np.bool_]) -> _Regression | None:
        described = ~np.isnan(self.mean)
        asked, given = np.flatnonzero(unknown & described), np.flatnonzero(~unknown & described)
        if not len(asked):
            return None
        across = self.covariance[np.ix_(given, asked)]
        within = self.covariance[np.ix_(given, given)] + _RIDGE * np.eye(len(given))
        slopes = np.linalg.solve(within, across)
        left = self.covariance[np.ix_(asked, asked)] - across.T @ slopes
        total = slopes.sum(axis=1)
        # A regression on few patients fits them too well, and its own coefficients are uncertain.
        k = len(given)
        inflation = (self.n - 1) / max(self.n - 1 - k, 1) * (1 + (1 + k) / self.n)
        variance = max(float(left.sum()), 0.0) * inflation
        explained = left.sum(axis=0) ** 2 / np.maximum(np.diag(left), _RIDGE)
        constant = float(self.mean[asked].sum() - self.mean[given] @ total)
        return given, total, constant, _Z * variance**0.5, int(asked[explained.argmax()])
