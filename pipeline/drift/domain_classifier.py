"""Domain classifier (classifier two-sample test): it detects any kind of change.

Patients of the reference are labelled 0 and those of the window 1. Without drift the classifier's
AUC is 0.5 but for chance, which a permutation test measures. Heavy imports; pages read its results
from `reports` or a worker process.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike
from sklearn.base import ClassifierMixin
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.inspection import permutation_importance
from sklearn.metrics import roc_curve
from sklearn.model_selection import StratifiedKFold, train_test_split
from threadpoolctl import threadpool_limits

from pipeline.drift import MIN_PATIENTS
from pipeline.drift.comparison import sample_rows
from pipeline.drift.contingency_tables import Array, to_steps
from pipeline.schema import NAMES
from pipeline.statistics.metrics import auc

if TYPE_CHECKING:
    import pandas as pd

FOLDS = 5
PERMUTATIONS = 199
"""The smallest p-value is then 1/200; each costs as much as the cross-validation itself."""
_HOLD_OUT = 0.3
_SHUFFLES = 20  # of each feature, to measure its importance
_ROC_POINTS = 101
_Z = 1.959964  # 97.5 % point of the normal distribution


@dataclass(frozen=True)
class Importance:
    """Permutation importance of one feature."""

    feature: str
    auc_lost: float
    """Drop in hold-out AUC when the feature is permuted; 0 or below = not used."""


@dataclass(frozen=True, kw_only=True)
class ClassifierResult:
    """The result of the domain classifier; the defaults are those of too few patients."""

    enough_data: bool
    drift: bool
    p_value: float = 1.0
    """Share of relabellings whose cross-validated AUC is at least as high."""
    alpha: float
    auc_cv: float = 0.5
    """Mean over the folds; 0.5 = no drift, 1 = perfect separation."""
    auc_holdout: float = 0.5
    auc_holdout_interval: tuple[float, float] = (0.0, 1.0)
    """95 % interval (DeLong)."""
    roc: tuple[tuple[float, float], ...] = ((0.0, 0.0), (1.0, 1.0))
    """Hold-out ROC curve: false positive rate, true positive rate."""
    importances: tuple[Importance, ...] = tuple(Importance(name, 0.0) for name in NAMES)
    """The most important first."""
    n_reference: int
    n_current: int
    permutations: int = 0
    seed: int
    reason: str
    """One sentence for people."""

    def to_dict(self) -> dict[str, Any]:
        """Return plain values that JSON can carry."""
        plain = asdict(self)
        plain["auc_holdout_interval"] = list(self.auc_holdout_interval)
        plain["roc"] = [list(point) for point in self.roc]
        plain["importances"] = list(plain["importances"])
        return plain

    def frame(self) -> pd.DataFrame:
        """Return one row per feature: its permutation importance."""
        import pandas as pd  # imported only when a frame is wanted

        return pd.DataFrame([asdict(i) for i in self.importances], columns=["feature", "auc_lost"])


def classify(
    reference: ArrayLike | pd.DataFrame,
    current: ArrayLike | pd.DataFrame,
    *,
    alpha: float = 0.05,
    seed: int = 0,
    permutations: int = PERMUTATIONS,
    progress: Callable[[float], None] | None = None,
) -> ClassifierResult:
    """Train a classifier to tell the window from the reference.

    Parameters
    ----------
    reference, current
        Patients as in `pipeline.drift.compare`; of more than 5,000 a seeded sample is used.
    alpha
        Chance of an alarm when nothing has changed.
    seed
        Of samples, folds, trees and permutations.
    permutations
        Relabellings for the p-value.
    progress
        Called with the share that is done, 0 to 1.
    """
    random = np.random.default_rng(seed)
    sides = [sample_rows(to_steps(rows), random) for rows in (reference, current)]
    # Steps are whole and above -1e16, so a missing value becomes the lowest of every scale.
    x = np.nan_to_num(np.vstack(sides), nan=-1e18)
    y = np.repeat([0.0, 1.0], [len(side) for side in sides])
    sizes = len(sides[0]), len(sides[1])
    if min(sizes) < MIN_PATIENTS:
        return ClassifierResult(
            enough_data=False, drift=False, alpha=alpha, n_reference=sizes[0], n_current=sizes[1],
            seed=seed, reason=f"Not enough data: at least {MIN_PATIENTS} patients per side needed.",
        )  # fmt: skip
    with threadpool_limits(1):
        observed = cross_validated_auc(x, y, seed)
        as_high = 1
        for done in range(permutations):
            as_high += cross_validated_auc(x, random.permutation(y), seed) >= observed
            if progress is not None:
                progress((done + 1) / permutations)
        held = _hold_out(x, y, seed)
    p = as_high / (permutations + 1)
    area, interval, roc, importances = held
    return ClassifierResult(
        enough_data=True,
        drift=p <= alpha,
        p_value=p,
        alpha=alpha,
        auc_cv=observed,
        auc_holdout=area,
        auc_holdout_interval=interval,
        roc=roc,
        importances=importances,
        n_reference=sizes[0],
        n_current=sizes[1],
        permutations=permutations,
        seed=seed,
        reason=_reason(p <= alpha, observed, importances),
    )


def run_job(
    reference: list[list[float | None]],
    current: list[list[float | None]],
    permutations: int,
    progress: Callable[[float], None],
) -> dict[str, Any]:
    """Run `classify` in a worker process of the dashboard; None = missing."""
    sides = [np.array(rows, dtype=float).reshape(-1, len(NAMES)) for rows in (reference, current)]
    return classify(*sides, permutations=permutations, progress=progress).to_dict()


def cross_validated_auc(
    x: Array, y: Array, seed: int, classifier: ClassifierMixin | None = None
) -> float:
    """Return the mean AUC over five stratified folds.

    Parameters
    ----------
    x
        Patients in steps, shape (n, 13), NaN = missing.
    y
        0.0 = reference, 1.0 = window, shape (n,).
    seed
        Of the folds.
    classifier
        Default: that of `classify`.
    """
    folds = StratifiedKFold(FOLDS, shuffle=True, random_state=seed)
    areas = []
    for train, test in folds.split(x, y):
        model = (classifier or _model(seed)).fit(x[train], y[train])
        areas.append(auc(y[test], model.predict_proba(x[test])[:, 1])[0])
    return float(np.mean(areas))


def _model(seed: int) -> HistGradientBoostingClassifier:
    """Make small trees, so that noise is not learnt; they see relations and missing values."""
    return HistGradientBoostingClassifier(
        max_iter=40, max_leaf_nodes=6, min_samples_leaf=15, early_stopping=False, random_state=seed
    )


def _hold_out(
    x: Array, y: Array, seed: int
) -> tuple[float, tuple[float, float], tuple[tuple[float, float], ...], tuple[Importance, ...]]:
    """Train on 70 %, and look at the rest: AUC, its interval, ROC curve, importances."""
    x_train, x_test, y_train, y_test = train_test_split(
        x, y, test_size=_HOLD_OUT, stratify=y, random_state=seed
    )
    model = _model(seed).fit(x_train, y_train)
    scores = model.predict_proba(x_test)[:, 1]
    area, error = auc(y_test, scores)
    false, true, _ = roc_curve(y_test, scores)
    at = np.unique(np.linspace(0, len(false) - 1, _ROC_POINTS).astype(int))
    lost = permutation_importance(
        model, x_test, y_test, scoring="roc_auc", n_repeats=_SHUFFLES, random_state=seed
    ).importances_mean
    importances = map(Importance, NAMES, lost.tolist())
    return (
        area,
        (max(0.0, area - _Z * error), min(1.0, area + _Z * error)),
        tuple((float(a), float(b)) for a, b in zip(false[at], true[at], strict=True)),
        tuple(sorted(importances, key=lambda i: -i.auc_lost)),
    )


def _reason(drift: bool, area: float, importances: tuple[Importance, ...]) -> str:
    if not drift:
        return f"No drift detected: classifier AUC {area:.2f} is consistent with 0.5."
    return f"Drift: classifier AUC {area:.2f}, most important feature {importances[0].feature}."
