"""Other drift tests, to be measured beside ours: statistics for which larger means stranger.

Heavy imports; only `pipeline.calibrate` comes here.
"""

from __future__ import annotations

import numpy as np
from scipy import special, stats
from sklearn.base import ClassifierMixin
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedKFold
from threadpoolctl import threadpool_limits

from pipeline.drift.contingency_tables import Array, to_steps
from pipeline.drift.effect_sizes import pearson_chi_square
from pipeline.drift.hypothesis_tests.null_distributions import hypergeometric_neg_log_p
from pipeline.schema import FEATURES, Kind
from pipeline.statistics.metrics import auc

HOLM, FDR = "Holm over KS/Fisher/chi-square", "FDR over KS/Fisher/chi-square"
LOGISTIC, TREES = "classifier (logistic)", "classifier (boosted trees)"

_LEAST = 1e-300


def baseline_statistics(
    reference: Array, current: Array, random: np.random.Generator, *, trees: bool
) -> dict[str, float]:
    """Return the statistic of each baseline test; each then gets the limit that makes it 5 %.

    Parameters
    ----------
    reference, current
        Patients, shapes (m, 13) and (n, 13), UCI codes, NaN = missing.
    random
        Draws the folds.
    trees
        Also the boosted trees, which cost ten times as much as the rest together.
    """
    p = np.sort(univariate_p_values(reference, current))
    rows, seed = np.vstack([reference, current]), int(random.integers(2**31))
    y = np.repeat([0.0, 1.0], [len(reference), len(current)])
    with threadpool_limits(1):
        found = {
            HOLM: float(-np.log(max(p[0], _LEAST))),
            FDR: float(-np.log(max((p * len(p) / np.arange(1, len(p) + 1)).min(), _LEAST))),
            LOGISTIC: _cross_validated_auc(_design(rows), y, seed, LogisticRegression()),
        }
        if trees:
            found[TREES] = _cross_validated_auc(to_steps(rows), y, seed, _boosted_trees(seed))
    return found


def _cross_validated_auc(x: Array, y: Array, seed: int, classifier: ClassifierMixin) -> float:
    """Return the mean AUC over five stratified folds."""
    folds = StratifiedKFold(5, shuffle=True, random_state=seed)
    areas = []
    for train, test in folds.split(x, y):
        model = classifier.fit(x[train], y[train])
        areas.append(auc(y[test], model.predict_proba(x[test])[:, 1])[0])
    return float(np.mean(areas))


def _boosted_trees(seed: int) -> HistGradientBoostingClassifier:
    """Make small trees, so that noise is not learnt; they see relations and missing values."""
    return HistGradientBoostingClassifier(
        max_iter=40, max_leaf_nodes=6, min_samples_leaf=15, early_stopping=False, random_state=seed
    )


def univariate_p_values(reference: Array, current: Array) -> Array:
    """Test each feature's known values: KS for measurements, Fisher for two levels, chi-square."""
    found = np.ones(len(FEATURES))
    for i, feature in enumerate(FEATURES):
        a, b = (rows[~np.isnan(rows[:, i]), i] for rows in (reference, current))
        levels = np.union1d(a, b)
        if not len(a) or not len(b) or len(levels) < 2:
            continue
        if feature.kind is Kind.NUMBER:
            found[i] = stats.ks_2samp(a, b, method="asymp").pvalue
            continue
        before, now = (np.array([(side == level).sum() for level in levels]) for side in (a, b))
        if len(levels) == 2:
            log_p = hypergeometric_neg_log_p(
                int(before[0] + now[0]), len(a) + len(b), len(b), two_sided=True, mid=False
            )
            found[i] = np.exp(-log_p[now[0]])
        else:
            chi_square = pearson_chi_square(now.astype(float), (before + now).astype(float))
            found[i] = special.chdtrc(len(levels) - 1, chi_square)
    return found


def _design(rows: Array) -> Array:
    """Return standardised numbers, levels and missing indicators."""
    columns: list[Array] = []
    for i, feature in enumerate(FEATURES):
        column, known = rows[:, i], ~np.isnan(rows[:, i])
        if feature.is_numeric and known.any():
            spread = column[known].std() or 1.0
            columns.append(np.where(known, (column - column[known].mean()) / spread, 0.0))
        elif known.any():
            columns += [(column == level) * 1.0 for level in np.unique(column[known])[1:]]
        if not known.all():
            columns.append(~known * 1.0)
    return np.column_stack(columns)
