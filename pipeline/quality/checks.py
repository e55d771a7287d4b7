"""Data quality of a window: rules with fixed limits, no tests.

Whether a rate has *changed* is a question for drift, which controls its false alarms. These rules
catch what is wrong without a comparison: missing or constant features, invalid values, repeated
patients, rejected requests. numpy and pandas only.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from pipeline.model.inputs import check_counts, patients
from pipeline.model.reference import ValueCounts
from pipeline.quality.result import DataQuality, FeatureQuality, QualityIssue
from pipeline.schema import FEATURES, NAMES, Feature, Kind, range_warnings, usual_range

if TYPE_CHECKING:
    import pandas as pd

Array = NDArray[np.float64]

MIN_N = 30
"""With fewer patients a constant or missing feature may be chance: 0.5 ** 30 is one in 10**9."""
MAX_MISSING_SHARE = 0.95
"""Missing rate from which a feature counts as no longer sent."""
MAX_IDENTICAL_RUN = 5
"""Identical consecutive patients that count as one patient sent again: even two are rare."""
MAX_UNUSUAL_SHARE = 0.10
"""Share of unusual values of one feature; 2 % or less in the training data."""
MAX_REJECTED_SHARE = 0.05
"""Share of requests that were rejected for their content."""


def assess(
    rows: ArrayLike | pd.DataFrame,
    *,
    reference: ValueCounts | None = None,
    in_order: bool = True,
    refusals: Sequence[Mapping[str, Any]] = (),
    n_requests: int | None = None,
) -> DataQuality:
    """Return the data quality of a window.

    Parameters
    ----------
    rows
        Patients in the order in which they came, UCI codes, NaN = missing, shape (n, 13).
    reference
        Value counts of the training data: its codes and missing rates. Features that it lacks are
        not the model's; only invalid values of them are a problem.
    in_order
        False when `rows` are a random sample: then repeats are not checked.
    refusals
        Counts of rejected requests: `field`, `reason`, `count`.
    n_requests
        Requests that were answered in the window, when `rows` are a sample of them.
    """
    values = patients(rows)
    check_counts(reference or {}, "reference")
    seen = dict.fromkeys(NAMES) if reference is None else {n: reference.get(n, {}) for n in NAMES}
    features = {
        feature.name: _feature(feature, i, values, seen[feature.name])
        for i, feature in enumerate(FEATURES)
    }
    enough = len(values) >= MIN_N
    runs = _runs(values) if in_order and len(values) else None
    refused = sum(int(refusal["count"]) for refusal in refusals)
    problems = [found for f in features.values() for found in _problems(f, seen[f.name], enough)]
    problems += _run_problem(runs) + _refusal_problem(refused, n_requests or len(values), refusals)
    return DataQuality(
        n=len(values),
        enough_data=enough,
        features=features,
        warned=_warned(values) if len(values) else None,
        repeats=None if runs is None else int((runs - 1).sum()),
        longest_run=None if runs is None else int(runs.max()),
        n_refused=refused,
        refusals=tuple(dict(refusal) for refusal in refusals),
        problems=tuple(sorted(problems, key=lambda problem: not problem.serious)),
    )


def _feature(
    feature: Feature, i: int, values: Array, seen: Mapping[float | None, int] | None
) -> FeatureQuality:
    column = values[:, i]
    known = column[~np.isnan(column)]
    possible = _possible(feature, known)
    unseen: list[float] = []
    if seen and feature.kind is not Kind.NUMBER:
        unseen = sorted(set(known[possible].tolist()) - set(seen))
    return FeatureQuality(
        name=feature.name,
        n_known=len(known),
        missing=_share(np.isnan(column)),
        missing_reference=seen.get(None, 0) / (sum(seen.values()) or 1) if seen else None,
        unusual=_share(_unusual(feature, known, values[~np.isnan(column), 0])),
        impossible=int((~possible).sum()),
        unseen=tuple(unseen),
        distinct=len(np.unique(known)),
    )


def _share(which: NDArray[np.bool_]) -> float:
    return float(which.mean()) if len(which) else 0.0


def _possible(feature: Feature, known: Array) -> NDArray[np.bool_]:
    if feature.kind is Kind.NUMBER:
        return np.asarray((known >= feature.low) & (known <= feature.high))
    return np.isin(known, feature.values)


def _unusual(feature: Feature, known: Array, age: Array) -> NDArray[np.bool_]:
    if not feature.is_numeric:
        return np.zeros(len(known), dtype=bool)
    found = np.zeros(len(known), dtype=bool)
    for some in np.unique(age[~np.isnan(age)]):  # the usual range of a heart rate falls with age
        low, high = usual_range(feature, float(some))
        of_age = age == some
        found |= of_age & (known < low) if low is not None else False
        found |= of_age & (known > high) if high is not None else False
    return found


def _warned(values: Array) -> float:
    rows = ([None if v != v else v for v in row] for row in values.tolist())
    return sum(bool(range_warnings(row)) for row in rows) / len(values)


def _runs(values: Array) -> NDArray[np.int64]:
    """Return the lengths of the runs of equal rows."""
    comparable = np.nan_to_num(values, nan=-99.0)
    changed = np.any(comparable[1:] != comparable[:-1], axis=1)
    starts = np.flatnonzero(np.concatenate([[True], changed, [True]]))
    return np.diff(starts)


def _problems(
    found: FeatureQuality, seen: Mapping[float | None, int] | None, enough: bool
) -> list[QualityIssue]:
    label = next(feature.label for feature in FEATURES if feature.name == found.name)
    problems = []
    if found.impossible:
        sentence = f"{label}: {found.impossible:,} invalid value{'s' * (found.impossible != 1)}."
        problems.append(QualityIssue(found.name, "impossible", True, sentence))
    if found.unseen:
        codes = ", ".join(f"{code:g}" for code in found.unseen)
        sentence = f"{label}: codes not present in the training data: {codes}."
        problems.append(QualityIssue(found.name, "unseen", False, sentence))
    if not enough or seen == {}:
        return problems
    if found.missing >= MAX_MISSING_SHARE and (found.missing_reference or 0.0) < MAX_MISSING_SHARE:
        sentence = f"{label}: {100 * found.missing:.0f} % missing."
        problems.append(QualityIssue(found.name, "absent", True, sentence))
    elif found.distinct == 1 and found.n_known >= MIN_N and _varies(seen):
        sentence = f"{label}: constant for all {found.n_known:,} patients."
        problems.append(QualityIssue(found.name, "constant", True, sentence))
    if found.unusual >= MAX_UNUSUAL_SHARE and found.n_known >= MIN_N:
        sentence = f"{label}: {100 * found.unusual:.0f} % unusual values."
        problems.append(QualityIssue(found.name, "unusual", False, sentence))
    return problems


def _varies(seen: Mapping[float | None, int] | None) -> bool:
    return seen is None or len(set(seen) - {None}) > 1


def _run_problem(runs: NDArray[np.int64] | None) -> list[QualityIssue]:
    if runs is None or runs.max() < MAX_IDENTICAL_RUN:
        return []
    sentence = f"{int(runs.max()):,} identical consecutive patients."
    return [QualityIssue("", "repeated", False, sentence)]


def _refusal_problem(
    refused: int, answered: int, refusals: Sequence[Mapping[str, Any]]
) -> list[QualityIssue]:
    share = refused / (refused + answered) if refused else 0.0
    if share < MAX_REJECTED_SHARE:
        return []
    most = max(refusals, key=lambda refusal: int(refusal["count"]))
    sentence = (
        f"{100 * share:.0f} % of requests rejected, "
        f"mostly for {most['field'] or 'the service'} ({str(most['reason']).replace('_', ' ')})."
    )
    return [QualityIssue(str(most["field"]), "refused", False, sentence)]
