"""Shares and their differences: intervals, p-values and the numbers that would be needed.

One method for every signed gap: each group's own interval, squared and added (MOVER). For shares it
is Newcombe's hybrid score interval, whose 95 % hold at small denominators where those of Wald and
of the percentile bootstrap do not (docs/fairness.md; `cardiowatch measure coverage`). The p-value
inverts the same interval: p < .05 exactly when the 95 % interval excludes 0.

Source: Wilson (1927), JASA 22; Newcombe (1998), Statistics in Medicine 17:873, method 10;
Zou & Donner (2008), Statistics in Medicine 27:1693 (MOVER); Holm (1979).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import ceil, erfc, log, sqrt

from pipeline.model.scores import sigmoid_scalar

Z95 = 1.959963984540054
EQUIVALENCE_MARGIN = 0.10
"""A gap of ten percentage points is called relevant: two patients of twenty."""
_Z_NEEDED = Z95 + 1.2815515655446004  # 90 % point: see `required_sample_size`
_STEPS = 40  # halvings of [0, 40]: z to 4e-11

Interval = tuple[float, float]
IntervalFunction = Callable[[float], Interval]
"""An estimate's interval for any normal quantile z; 1.96 gives the 95 % interval."""


def wilson_interval(count: float, n: float, z: float = Z95) -> Interval:
    """Return Wilson's score interval of the share `count / n`; (0, 1) when n is 0."""
    if n == 0:
        return 0.0, 1.0
    share, z2 = count / n, z * z
    center = (share + z2 / (2 * n)) / (1 + z2 / n)
    half = z / (1 + z2 / n) * sqrt(share * (1 - share) / n + z2 / (4 * n * n))
    # Rounding must not push a bound past the share itself.
    return min(max(0.0, center - half), share), max(min(1.0, center + half), share)


def auc_interval(area: float, error: float, n: int, z: float = Z95) -> Interval:
    """Return the interval of an area under the ROC curve, symmetric in its log-odds.

    Parameters
    ----------
    area, error
        The area and its standard error (DeLong).
    n
        Patients in the smaller class: Wilson's interval of n shares is used where every pair is won
        or lost and DeLong's error is 0.
    """
    if not 0 < area < 1 or error == 0:
        return wilson_interval(area * n, n, z)
    middle, half = log(area / (1 - area)), z * error / (area * (1 - area))
    return sigmoid_scalar(middle - half), sigmoid_scalar(middle + half)


def difference_interval(
    a: float, around_a: IntervalFunction, b: float, around_b: IntervalFunction
) -> tuple[Interval, float]:
    """Return the 95 % interval and the two-sided p-value of a - b, from independent patients."""
    return _mover(a, around_a, b, around_b, Z95), _p_value(a, around_a, b, around_b)


def holm_adjust(p_values: Sequence[float]) -> list[float]:
    """Adjust p-values so that a family keeps its error rate; in the order given."""
    adjusted, largest = [0.0] * len(p_values), 0.0
    order = sorted(range(len(p_values)), key=p_values.__getitem__)
    for rank, i in enumerate(order):
        largest = max(largest, min(1.0, (len(order) - rank) * p_values[i]))
        adjusted[i] = largest
    return adjusted


def required_sample_size(variance: float) -> int:
    """Return the patients per group that would settle whether a gap reaches the margin.

    The power to find a gap of `EQUIVALENCE_MARGIN` is then 90 %, and where there is no gap the 95 %
    interval stays inside the margin in 80 % of samples.

    Parameters
    ----------
    variance
        Of the estimate from one patient: share * (1 - share) for a share.
    """
    return ceil(2 * variance * (_Z_NEEDED / EQUIVALENCE_MARGIN) ** 2)


def auc_variance(area: float) -> float:
    """Return the variance of an AUC from one patient of either class, for `required_sample_size`.

    Source: Hanley & McNeil (1982), Radiology 143, the terms that remain at large n.
    """
    return area / (2 - area) + 2 * area**2 / (1 + area) - 2 * area**2


def _mover(
    a: float, around_a: IntervalFunction, b: float, around_b: IntervalFunction, z: float
) -> Interval:
    low_a, high_a = around_a(z)
    low_b, high_b = around_b(z)
    return (
        a - b - sqrt((a - low_a) ** 2 + (high_b - b) ** 2),
        a - b + sqrt((high_a - a) ** 2 + (b - low_b) ** 2),
    )


def _p_value(a: float, around_a: IntervalFunction, b: float, around_b: IntervalFunction) -> float:
    """Find the z at which the interval touches 0, by halving."""
    if a == b:
        return 1.0
    below, above = 0.0, 40.0
    for _ in range(_STEPS):
        z = (below + above) / 2
        low, high = _mover(a, around_a, b, around_b, z)
        if low > 0 or high < 0:
            below = z
        else:
            above = z
    return erfc(below / sqrt(2))


def at_prevalence(probability: float, trained: float, here: float) -> float:
    """Return a probability of disease where the prevalence alone differs from that in training.

    Parameters
    ----------
    probability
        The model's, 0 to 1.
    trained, here
        Shares with disease among the training patients and here, between 0 and 1.

    Source
    ------
    Bayes' theorem with unchanged likelihood ratios (prior probability shift), Saerens and others,
    Neural Computation 2002.
    """
    ratio = here / (1 - here) * (1 - trained) / trained
    return probability * ratio / (probability * ratio + 1 - probability)
