"""Drift: compare a window of patients with a reference (`compare`, `compare_counts`).

Start reading at `comparison`; docs/drift.md describes the tests and how well they work.
"""

from pipeline.drift.comparison import compare, compare_counts, risk_change
from pipeline.drift.result import DriftResult, FeatureDrift, PairDrift, UnitError, Verdict
from pipeline.drift.verdict import MAX_PERMUTATION_ROWS, MIN_PATIENTS

__all__ = [
    "MAX_PERMUTATION_ROWS",
    "MIN_PATIENTS",
    "DriftResult",
    "FeatureDrift",
    "PairDrift",
    "UnitError",
    "Verdict",
    "compare",
    "compare_counts",
    "risk_change",
]
