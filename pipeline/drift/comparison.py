"""Compare a window of patients with a reference.

One verdict with a family-wise p-value, and adjusted p-values that name what changed. Families of
statistics (values, missing rates, tails, pairs, multivariate) share one alpha. Up to
`MAX_PERMUTATION_ROWS` patients per side everything is tested on rows with one shared set of label
permutations; above, each feature is tested on value counts of all patients and pairs on a sample.
docs/drift.md measures how well that works. numpy and scipy.special only.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
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
from pipeline.drift.repeats import near_repeats, one_row_per_patient
from pipeline.drift.result import DriftResult
from pipeline.drift.verdict import MAX_PERMUTATION_ROWS, MIN_PATIENTS, verdict
from pipeline.model.inputs import check_counts
from pipeline.model.reference import ValueCounts

if TYPE_CHECKING:
    import pandas as pd


Patients = Sequence[bytes | str | None] | None
MAX_REPEATED_SHARE = 0.01
"""Of a sample, up to which counts of all rows are tested: repeats are then too few to alarm."""


def compare(
    reference: ArrayLike | pd.DataFrame,
    current: ArrayLike | pd.DataFrame,
    *,
    reference_patients: Patients = None,
    patients: Patients = None,
    alpha: float = 0.05,
    seed: int = 0,
) -> DriftResult:
    """Compare a window of patients with a reference.

    Of a patient who is in it several times one row is tested, drawn at random.

    Parameters
    ----------
    reference, current
        Frames with the thirteen columns or arrays of shape (n, 13); UCI codes, NaN = missing.
    reference_patients, patients
        References of the patients of both sides, one a row, None = unknown. Without them equal rows
        are one patient when they know at least eight findings, three of them measurements.
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
        When a column is absent, alpha is not between 0 and 1, or references are not one a row.
    """
    _check(alpha)
    random = np.random.default_rng(seed)
    all_before, all_now = to_steps(reference), to_steps(current)
    before = all_before[one_row_per_patient(all_before, reference_patients, random)]
    now = all_now[one_row_per_patient(all_now, patients, random)]
    tables, sizes = tables_from_rows(before, now), (len(before), len(now))
    if max(sizes) > MAX_PERMUTATION_ROWS:
        samples = sample_rows(before, random), sample_rows(now, random)
        found = _counted(tables, sizes, samples, alpha, seed)
    elif min(sizes) < MIN_PATIENTS:
        found = verdict(tables, sizes, None, None, alpha, seed)
    else:
        tested = permute_labels(before, now, alpha, seed).tested()
        found = verdict(tables, sizes, (before, now), tested, alpha, seed, "permutation")
    return replace(
        found, repeats=len(all_now) - len(now), near_repeats=near_repeats(before, now, random)
    )


def compare_counts(
    reference_counts: ValueCounts,
    current_counts: ValueCounts,
    *,
    reference_sample: ArrayLike | pd.DataFrame | None = None,
    sample: ArrayLike | pd.DataFrame | None = None,
    reference_patients: Patients = None,
    patients: Patients = None,
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
        them pairs are not tested. When they are all patients, and few, rows are tested; so they
        are where the window's sample shows that patients repeat.
    reference_patients, patients
        References of the patients of both samples, as in `compare`.
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
    random = np.random.default_rng(seed)
    repeats = len(now) - len(one_row_per_patient(now, patients, random))
    whole = (len(before), len(now)) == sizes and max(sizes) <= MAX_PERMUTATION_ROWS
    if whole or repeats > MAX_REPEATED_SHARE * len(now):
        return compare(
            reference_sample,
            sample,
            reference_patients=reference_patients,
            patients=patients,
            alpha=alpha,
            seed=seed,
        )
    samples = sample_rows(before, random), sample_rows(now, random)
    return _counted(tables, sizes, samples, alpha, seed)


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
