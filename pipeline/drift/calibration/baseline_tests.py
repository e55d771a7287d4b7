"""Other drift tests, to be measured beside ours: statistics for which larger means stranger.

Heavy imports; only `pipeline.calibrate` comes here.
"""

from __future__ import annotations

import numpy as np
from scipy import special, stats
from threadpoolctl import threadpool_limits

from pipeline.drift.contingency_tables import Array, to_steps
from pipeline.drift.domain_classifier import cross_validated_auc
from pipeline.drift.effect_sizes import pearson_chi_square
from pipeline.drift.hypothesis_tests.null_distributions import hypergeometric_neg_log_p
from pipeline.schema import FEATURES, Kind
from pipeline.statistics.metrics import auc

HOLM, FDR = "Holm over KS/Fisher/chi-square", "FDR over KS/Fisher/chi-square"
LOGISTIC, TREES = "classifier (logistic)", "classifier (boosted trees)"
BASELINE_TESTS = (HOLM, FDR, LOGISTIC, TREES)

_LEAST = 1e-300
_FOLDS = 5
_PENALTY = 1.0
_STEPS = 8  # Newton's; more change no digit that matters


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
    found = {
        HOLM: float(-np.log(max(p[0], _LEAST))),
        FDR: float(-np.log(max((p * len(p) / np.arange(1, len(p) + 1)).min(), _LEAST))),
        LOGISTIC: _logistic_auc(reference, current, random),
    }
    if trees:
        x = to_steps(np.vstack([reference, current]))
        y = np.repeat([0.0, 1.0], [len(reference), len(current)])
        with threadpool_limits(1):
            found[TREES] = cross_validated_auc(x, y, int(random.integers(2**31)))
    return found


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


def _logistic_auc(reference: Array, current: Array, random: np.random.Generator) -> float:
    """Mean AUC over five stratified folds of a ridge-penalised logistic regression."""
    x = _design(np.vstack([reference, current]))
    y = np.repeat([0.0, 1.0], [len(reference), len(current)])
    fold = np.empty(len(y), dtype=int)
    for label in (0.0, 1.0):
        index = np.flatnonzero(y == label)
        fold[random.permutation(index)] = np.arange(len(index)) % _FOLDS
    areas = []
    for k in range(_FOLDS):
        train, test = fold != k, fold == k
        beta = _fit(x[train], y[train])
        areas.append(auc(y[test], x[test] @ beta)[0])
    return float(np.mean(areas))


def _design(rows: Array) -> Array:
    """Return intercept, standardised numbers, levels and missing indicators."""
    columns = [np.ones(len(rows))]
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


def _fit(x: Array, y: Array) -> Array:
    beta = np.zeros(x.shape[1])
    ridge = np.eye(len(beta)) * _PENALTY
    ridge[0, 0] = 1e-9
    beta[0] = np.log(y.mean() / (1 - y.mean()))
    for _ in range(_STEPS):
        p = 1 / (1 + np.exp(-np.clip(x @ beta, -30, 30)))
        hessian = (x.T * (p * (1 - p))) @ x + ridge
        beta = beta + np.linalg.solve(hessian, x.T @ (y - p) - ridge @ beta)
    return np.asarray(beta)
