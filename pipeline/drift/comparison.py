"""Compare a window of patients with a reference.

One verdict with a family-wise p-value, and adjusted p-values that name what changed. Families of
statistics (values, missing rates, tails, pairs, multivariate) share one alpha. Up to
`MAX_PERMUTATION_ROWS` patients per side everything is tested on rows with one shared set of label
permutations; above, each feature is tested on value counts of all patients and pairs on a sample.
docs/drift.md measures how well that works. numpy and scipy.special only.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike

from pipeline.drift.contingency_tables import (
    Array,
    ContingencyTable,
    count_patients,
    tables_from_counts,
    tables_from_rows,
    to_steps,
)
from pipeline.drift.hypothesis_tests.large_sample import large_sample_test
from pipeline.drift.hypothesis_tests.permutation import permute_labels
from pipeline.drift.result import DriftResult
from pipeline.drift.verdict import MAX_PERMUTATION_ROWS, MIN_PATIENTS, verdict
from pipeline.model.inputs import InputError, check_counts, vector
from pipeline.model.reference import ValueCounts

if TYPE_CHECKING:
    import pandas as pd


def compare(
    reference: ArrayLike | pd.DataFrame,
    current: ArrayLike | pd.DataFrame,
    *,
    alpha: float = 0.05,
    seed: int = 0,
) -> DriftResult:
    """Compare a window of patients with a reference.

    Parameters
    ----------
    reference, current
        Frames with the thirteen columns or arrays of shape (n, 13); UCI codes, NaN = missing.
    alpha
        Chance of an alarm when nothing has changed, 0 to 1. For a daily window, 0.05 / 30.
    seed
        Of the permutations and samples; the same seed gives the same result.

    Returns
    -------
    DriftResult
        Always a verdict, whatever is missing, constant or new.

    Raises
    ------
    ValueError
        When a column is absent or alpha is not between 0 and 1.
    """
    _check(alpha)
    before, now = to_steps(reference), to_steps(current)
    tables = tables_from_rows(before, now)
    if max(len(before), len(now)) > MAX_PERMUTATION_ROWS:
        random = np.random.default_rng(seed)
        samples = sample_rows(before, random), sample_rows(now, random)
        return _counted(tables, (len(before), len(now)), samples, alpha, seed)
    sizes = len(before), len(now)
    if min(sizes) < MIN_PATIENTS:
        return verdict(tables, sizes, None, None, alpha, seed)
    tested = permute_labels(before, now, alpha, seed).tested()
    return verdict(tables, sizes, (before, now), tested, alpha, seed, "permutation")


def compare_counts(
    reference_counts: ValueCounts,
    current_counts: ValueCounts,
    *,
    reference_sample: ArrayLike | pd.DataFrame | None = None,
    sample: ArrayLike | pd.DataFrame | None = None,
    alpha: float = 0.05,
    seed: int = 0,
) -> DriftResult:
    """Compare value counts, which cost the same for ten thousand patients and ten million.

    Parameters
    ----------
    reference_counts, current_counts
        Feature -> value -> count, None = missing, as `db.rollups.counts.ValueCounts.values`.
    reference_sample, sample
        Random patients of both sides, for pairs; of each, `MAX_PERMUTATION_ROWS` at most. Without
        them pairs are not tested. When they are all patients, and few, rows are tested.
    alpha, seed
        As in `compare`.

    Raises
    ------
    ValueError
        When a count is no count, a sample lacks a column or alpha is not between 0 and 1.
    """
    _check(alpha)
    check_counts(reference_counts, "reference")
    check_counts(current_counts, "current")
    tables = tables_from_counts(reference_counts, current_counts)
    sizes = count_patients(reference_counts), count_patients(current_counts)
    if reference_sample is None or sample is None:
        return _counted(tables, sizes, None, alpha, seed)
    before, now = to_steps(reference_sample), to_steps(sample)
    if (len(before), len(now)) == sizes and max(sizes) <= MAX_PERMUTATION_ROWS:
        return compare(reference_sample, sample, alpha=alpha, seed=seed)
    random = np.random.default_rng(seed)
    samples = sample_rows(before, random), sample_rows(now, random)
    return _counted(tables, sizes, samples, alpha, seed)


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


def _check(alpha: float) -> None:
    if not 0 < alpha < 1:
        raise ValueError("alpha must lie between 0 and 1")


def sample_rows(rows: Array, random: np.random.Generator) -> Array:
    """Return the patients, or `MAX_PERMUTATION_ROWS` of them in their order."""
    if len(rows) <= MAX_PERMUTATION_ROWS:
        return rows
    return rows[np.sort(random.choice(len(rows), MAX_PERMUTATION_ROWS, replace=False))]


def _counted(
    tables: tuple[ContingencyTable, ...],
    sizes: tuple[int, int],
    samples: tuple[Array, Array] | None,
    alpha: float,
    seed: int,
) -> DriftResult:
    if min(sizes) < MIN_PATIENTS:
        return verdict(tables, sizes, None, None, alpha, seed)
    if samples is not None and min(map(len, samples)) < MIN_PATIENTS:
        samples = None
    tested = large_sample_test(tables, sizes, samples, alpha, seed)
    return verdict(tables, sizes, samples, tested, alpha, seed, "counts")
