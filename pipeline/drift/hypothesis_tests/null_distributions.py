"""Distributions under "the labels reference and window are exchangeable", from counts alone.

Given the pooled values, every statistic's distribution over relabellings is known: counts are
hypergeometric, and the quadratic statistics have known moments.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy import special

from pipeline.drift.contingency_tables import Array, Integers
from pipeline.drift.effect_sizes import ANDERSON_DARLING_POINTS

_GRID = 200  # points; off by less than 0.01 in -log p
_EQUAL = 1e-9  # relative difference of probabilities that are the same
_LEAST = 1e-300  # p-values below it are not told apart


@dataclass(frozen=True)
class ShiftedGamma:
    """A shifted gamma distribution that has a statistic's first moments."""

    shape: float
    scale: float
    shift: float

    def neg_log_p(self, statistic: ArrayLike) -> Array:
        """Return -log of the probability of a statistic at least as large."""
        above = np.maximum((np.asarray(statistic, dtype=float) - self.shift) / self.scale, 0.0)
        if above.size <= _GRID:
            return self._tail(above)
        # Over relabellings, between points: a fifth of the time, and still one rising curve.
        grid = float(above.max()) * np.linspace(0.0, 1.0, _GRID) ** 2
        return np.asarray(np.interp(above, grid, self._tail(grid)))

    def _tail(self, above: Array) -> Array:
        return np.asarray(-np.log(np.maximum(special.gammaincc(self.shape, above), _LEAST)))


def anderson_darling_cuts(pooled: ArrayLike) -> tuple[Integers, Array]:
    """Choose where to compare two distribution functions, and with what weight.

    Parameters
    ----------
    pooled
        Counts at the different values, ascending.

    Returns
    -------
    Index of the last value below each cut, and the weight of the squared difference of the two
    shares below it: (mass around the cut) / (H (1 - H)), H being the pooled share below it.

    Source: Scholz & Stephens (1987), JASA 82:918, with the mass of a tie split evenly between its
    two sides, so that a scale may be reversed.
    """
    cumulative = np.cumsum(np.asarray(pooled, dtype=float))
    share = cumulative[:-1] / cumulative[-1]
    index = np.arange(len(share))
    if len(share) > ANDERSON_DARLING_POINTS:
        # Evenly on the scale on which the statistic weighs: the tails are looked at as closely.
        scale = np.arcsin(2 * share - 1)
        at = np.searchsorted(
            scale, np.linspace(scale[0], scale[-1], ANDERSON_DARLING_POINTS) - 1e-12
        )
        index = np.unique(at)
    h = share[index]
    ends = np.concatenate([[0.0], h, [1.0]])
    return index, (ends[2:] - ends[:-2]) / 2 / (h * (1 - h))


def anderson_darling_null(h: Array, weights: Array, total: int) -> ShiftedGamma:
    """Match three cumulants of the statistic over all relabellings.

    It is a quadratic form in the differences at the cuts, whose covariances are those of a
    sample without replacement; cumulants of a quadratic form of normals are traces of powers.

    Source: Pearson (1959), Biometrika 46:364 (three-moment approximation).
    """
    low = np.minimum.outer(h, h) - np.outer(h, h)
    root = np.sqrt(weights)
    kernel = root[:, None] * low * root * (total / (total - 1))
    squared = kernel @ kernel
    first, second = float(np.trace(kernel)), 2 * float(np.trace(squared))
    third = 8 * float((squared * kernel).sum())
    return gamma_three_moments(first, second, third)


def gamma_three_moments(first: float, second: float, third: float) -> ShiftedGamma:
    """Find the shifted gamma distribution with these three cumulants."""
    shape = 4 * second**3 / third**2
    scale = (second / shape) ** 0.5
    return ShiftedGamma(shape, scale, first - shape * scale)


def gamma_two_moments(drawn: Array) -> Array:
    """Turn draws of a statistic into -log p by the gamma distribution with their two moments."""
    mean, variance = float(drawn.mean()), float(drawn.var())
    if mean <= 0 or variance <= 0:
        return np.zeros_like(drawn)
    return ShiftedGamma(mean**2 / variance, variance / mean, 0.0).neg_log_p(drawn)


def pearson_null(pooled: ArrayLike, n: float) -> ShiftedGamma:
    """Match the exact mean and variance of Pearson's statistic over all relabellings.

    Parameters
    ----------
    pooled
        Pooled counts of the levels, all > 0, at least two.
    n
        Known values in the window.

    Source: Dawson (1954), Biometrika 41:280, for the variance.
    """
    counts = np.asarray(pooled, dtype=float)
    total, k = float(counts.sum()), len(counts)
    mean = total * (k - 1) / (total - 1)
    if total < 4:
        return ShiftedGamma(mean / 2, 2.0, 0.0)
    sides = total / n + total / (total - n)
    v1, v2 = (total - 2) / (total - 1), (k - 1) * (total - k) / (total - 1)
    w1, w2 = (sides - 4) / (total - 2), (float((total / counts).sum()) - k * k) / (total - 2)
    variance = 2 * total / (total - 3) * (v1 - w1) * (v2 - w2) + total**2 / (total - 1) * w1 * w2
    return ShiftedGamma(mean**2 / variance, variance / mean, 0.0)


def hypergeometric_log_pmf(marked: int, total: int, drawn: int, counts: Array) -> Array:
    """Log of the hypergeometric probabilities of `counts` marked among `drawn` of `total`."""

    def choose(n: float, k: Array) -> Array:
        return np.asarray(
            special.gammaln(n + 1) - special.gammaln(k + 1) - special.gammaln(n - k + 1)
        )

    return np.asarray(
        choose(marked, counts)
        + choose(total - marked, drawn - counts)
        - choose(total, np.asarray(float(drawn)))
    )


def hypergeometric_support(marked: int, total: int, drawn: int) -> Array:
    """List the counts that a sample can have; 40 standard deviations are enough."""
    low, high = max(0, drawn - (total - marked)), min(marked, drawn)
    mean = drawn * marked / total
    spread = (mean * (1 - marked / total) * (total - drawn) / max(total - 1, 1)) ** 0.5
    reach = 40 * spread + 40
    first, last = max(low, int(mean - reach)), min(high, int(mean + reach) + 1)
    return np.arange(first, last + 1, dtype=float)


def hypergeometric_neg_log_p(
    marked: int, total: int, drawn: int, *, two_sided: bool, mid: bool
) -> Array:
    """Tabulate -log p of every count of marked ones in the window.

    Parameters
    ----------
    marked, total, drawn
        Marked and all of the pooled patients, and how many of them are the window.
    two_sided
        Counts that are no likelier than the observed one count, as in Fisher's exact test; else
        only larger ones do.
    mid
        Count the observed value by half: the better scale for a permutation test, no exact p-value.

    Returns
    -------
    Array indexed by the count, shape (drawn + 1,) or up to the largest possible count.
    """
    counts = hypergeometric_support(marked, total, drawn)
    mass = np.exp(hypergeometric_log_pmf(marked, total, drawn, counts))
    order = np.argsort(mass, kind="stable") if two_sided else np.arange(len(mass))[::-1]
    p = np.empty(len(mass))
    p[order] = np.cumsum(mass[order])
    if two_sided:  # equally likely ones are equally strange
        p = p[order][np.searchsorted(mass[order] * (1 - _EQUAL), mass, side="right") - 1]
    p -= mass / 2 if mid else 0.0
    table = np.full(min(marked, drawn) + 1, -np.log(_LEAST))
    first = int(counts[0])
    table[first : first + len(counts)] = -np.log(np.clip(p, _LEAST, 1.0))
    if not two_sided:
        table[:first] = 0.0
    return table
