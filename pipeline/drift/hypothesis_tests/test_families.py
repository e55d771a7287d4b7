"""The test families, and the share of alpha that each may spend.

Each statistic is a function of sums of columns over the patients of the window. One matrix product
then gives every statistic for every relabelling, and the same relabellings serve all of them, so
that their dependence is kept.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pipeline.drift.contingency_tables import Array

VALUES, LEVELS, MISSING, TAILS, DIGIT_PREFERENCE = "values", "levels", "missing", "tails", "digits"
SHAPE = "shape"
"""Univariate families."""
PAIRS, FEATURE_CORRELATIONS, CONDITIONAL, MULTIVARIATE = (
    "pairs",
    "relations",
    "given the others",
    "together",
)
"""Families of several features: each pair, one feature's twelve pairs, conditional, all."""
DEPENDENCE = "dependence"
"""How far a feature is from its middle, or whether it is missing, with the other features."""
COMBINED = "column"
"""A feature's values and its conditional test, combined: a fault in a column shows in both."""

ALPHA_WEIGHTS = {
    VALUES: 0.05,
    SHAPE: 0.03,
    LEVELS: 0.35,
    MISSING: 0.02,
    TAILS: 0.08,
    DIGIT_PREFERENCE: 0.01,
    PAIRS: 0.01,
    FEATURE_CORRELATIONS: 0.02,
    DEPENDENCE: 0.03,
    COMBINED: 0.35,
    MULTIVARIATE: 0.05,
}
"""Share of alpha of each family for detection: is there drift at all?"""

ATTRIBUTION_WEIGHTS = {
    VALUES: 0.45,
    SHAPE: 0.05,
    LEVELS: 0.1,
    MISSING: 0.1,
    TAILS: 0.15,
    DIGIT_PREFERENCE: 0.05,
    PAIRS: 0.1,
}
"""Share of alpha for identification: what changed? Only tests of one column or one pair."""
ATTRIBUTION_ALPHA_SHARE = 0.8
"""Of alpha; a wrongly identified feature misleads, so identification is stricter than alarms."""


@dataclass(frozen=True)
class Hypothesis:
    """What a test is about: a family and its features."""

    family: str
    names: tuple[str, ...]
    """A feature, a pair, or nothing for all together."""


Sums = NDArray[np.floating]
"""Sums over the window, shape (b, c); single precision when there are many."""


@dataclass(frozen=True)
class StatisticBlock:
    """Columns to be summed over the window, and the evidence that their sums are."""

    hypotheses: tuple[Hypothesis, ...]
    columns: Array
    """Shape (n, c)."""
    neg_log_p: Callable[[Sums], Array]
    """Sums of shape (b, c) -> -log p of shape (b, number of hypotheses)."""
