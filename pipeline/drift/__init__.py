"""Have the patients changed? Compare a window with a reference: `compare`, `compare_counts`.

`comparison` is where to begin to read; docs/drift.md says what is looked at and how well it works.
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
