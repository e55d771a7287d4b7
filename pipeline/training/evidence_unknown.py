"""How often the range over a patient's unknown findings covers the full estimate.

Patients whom the fit has not seen lose some of their findings. The range that is drawn from the
known ones and the training patients should hold the probability that the same model gives to all
findings in 95 % of cases, whatever is unknown.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.model_selection import RepeatedStratifiedKFold

from pipeline.dataset.heart import PATTERNS
from pipeline.model import Model, from_json
from pipeline.model.design_matrix import Array, build_design_matrix, standardise
from pipeline.model.logistic_regression import CV_TOLERANCE, fit_weighted
from pipeline.model.unknown_findings import MIN_KNOWN
from pipeline.schema import FEATURES, NAMES
from pipeline.training.imputation import FOLDS, SEED, augment_with_missingness
from pipeline.training.scorecard_writer import build_scorecard

REPEATS = 1
RANDOM = "random pattern"
_N_RANDOM = 2  # patterns per patient


def evaluate_unknown_range(
    rows: Array, y: Array, c: float, repeats: int = REPEATS
) -> list[dict[str, Any]]:
    """Measure coverage and mean width for each named pattern and for random ones.

    Parameters
    ----------
    rows, y
        The training patients; those with all findings that enough of them have are tested.
    c
        Inverse strength of the penalty.
    repeats
        Of the five folds.

    Returns
    -------
    list of dict
        pattern, unknown (names), n (patients tested), coverage (share, 0 to 1), width (mean, of
        the probability).
    """
    described = (~np.isnan(rows)).sum(axis=0) >= MIN_KNOWN
    complete = np.asarray(~np.isnan(rows[:, described]).any(axis=1))
    found: dict[str, list[tuple[bool, float]]] = {name: [] for name in (*PATTERNS, RANDOM)}
    folds = RepeatedStratifiedKFold(n_splits=FOLDS, n_repeats=repeats, random_state=SEED)
    for k, (train, test) in enumerate(folds.split(rows, y)):
        model, rng = _fit(rows[train], y[train], c), np.random.default_rng([SEED, k])
        for row in rows[test][complete[test]]:
            for name, unknown in PATTERNS.items():
                mask = np.isin(np.array(NAMES), unknown) & described
                if mask.any():
                    found[name].append(_tried(model, row, mask))
            for _ in range(_N_RANDOM):
                found[RANDOM].append(_tried(model, row, _random_pattern(rng, described)))
    return [
        {
            "pattern": name,
            "unknown": list(PATTERNS.get(name, ())),
            "n": len(tried),
            "coverage": float(np.mean([held for held, _ in tried])),
            "width": float(np.mean([width for _, width in tried])),
        }
        for name, tried in found.items()
        if tried
    ]


def _fit(rows: Array, y: Array, c: float) -> Model:
    center, scale = standardise(rows)
    copies, shares = augment_with_missingness(rows)
    matrix, weights = build_design_matrix(copies, center, scale), np.repeat(shares, len(rows))
    beta = fit_weighted(matrix, np.tile(y, len(shares)), weights, c, tolerance=CV_TOLERANCE)
    no_interval = np.tile(beta, (2, 1))
    return from_json(build_scorecard(beta, no_interval, rows, center, scale, {}))


def _tried(model: Model, row: Array, unknown: NDArray[np.bool_]) -> tuple[bool, float]:
    """Return whether the range holds the full estimate, and its width."""
    low, high = model.explain(np.where(unknown, np.nan, row).tolist()).unknown_range or (0.0, 1.0)
    return low <= model.probability(row.tolist()) <= high, high - low


def _random_pattern(rng: np.random.Generator, described: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Draw which optional findings are unknown: at least one, any number alike."""
    optional = np.flatnonzero(described & [not feature.required for feature in FEATURES])
    unknown = np.zeros(len(FEATURES), dtype=bool)
    unknown[rng.permutation(optional)[: rng.integers(1, len(optional) + 1)]] = True
    return unknown
