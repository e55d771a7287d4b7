"""Drift: compare a window of patients with a reference (`compare`, `compare_counts`, `classify`).

Start reading at `comparison`; docs/drift.md describes the tests and how well they work.
"""

from pipeline.drift.comparison import compare, compare_counts
from pipeline.drift.domain_classifier import ClassifierResult, classify
from pipeline.drift.result import DriftResult, FeatureDrift, PairDrift, UnitError, Verdict
from pipeline.drift.risk import RiskShares, risk_change, risk_shares
from pipeline.drift.verdict import MAX_PERMUTATION_ROWS, MIN_PATIENTS

__all__ = [
    "MAX_PERMUTATION_ROWS",
    "MIN_PATIENTS",
    "ClassifierResult",
    "DriftResult",
    "FeatureDrift",
    "PairDrift",
    "RiskShares",
    "UnitError",
    "Verdict",
    "classify",
    "compare",
    "compare_counts",
    "risk_change",
    "risk_shares",
]
