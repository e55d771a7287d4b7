"""Do the predictions treat groups of patients alike? Rates by group, gaps, and what is uncertain.

There are two kinds of figures. The *differences* are fairlearn's (largest minus smallest rate):
comparable elsewhere, but never below 0, so their intervals cannot show "no difference"; their size
by chance is given too. The *gaps* are signed, with an interval, a p-value and the verdict, which is
"cannot tell" for a cell with fewer than `MIN_GROUP_SIZE` patients.

A difference in selection rates is not a fault in itself: where one group has the disease more
often, a perfect classifier also selects it more often. numpy and the standard library only.

Source: Hardt, Price, Srebro (2016), equalized odds; fairlearn 0.15, `demographic_parity_difference`
and `equalized_odds_difference` (worst case).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from pipeline.fairness.bootstrap import BootstrapDifference, demographic_parity, equalized_odds
from pipeline.fairness.confusion_matrix import (
    BASE_RATE,
    FPR,
    METRICS,
    RECALL,
    SELECTION,
    ConfusionMatrix,
    Metric,
    confusion_matrix_counter,
    variance,
)
from pipeline.fairness.result import (
    MIN_GROUP_SIZE,
    Assessment,
    Difference,
    Gap,
    Group,
    Grouping,
    Rate,
    Verdict,
)
from pipeline.model.inputs import InputError, vector
from pipeline.statistics.proportions import (
    EQUIVALENCE_MARGIN,
    Z95,
    difference_interval,
    holm_adjust,
    required_sample_size,
)

ALPHA = 0.05
ALL_OTHERS = "all others"


def assess(
    y_true: ArrayLike | None,
    y_pred: ArrayLike,
    groups: Mapping[str, ArrayLike],
    *,
    probability: ArrayLike | None = None,
    seed: int = 0,
) -> Assessment:
    """Compare the predictions of groups of patients.

    Parameters
    ----------
    y_true
        What was found: 1 = disease, 0 = none, NaN or None = missing, shape (n,). None for
        all = nothing is known; then there are selection rates only.
    y_pred
        Predictions 0 or 1, shape (n,).
    groups
        Attribute -> the group of each patient, shape (n,), in words. Patients whose group is empty
        or None are left out of that attribute.
    probability
        Predicted probabilities, shape (n,), for the ROC area; None = leave it out.
    seed
        Of the bootstrap.

    Raises
    ------
    ValueError
        When lengths differ, or an outcome or prediction is neither 0 nor 1.
    """
    predicted = vector(y_pred, "predictions")
    truth = np.full(len(predicted), np.nan) if y_true is None else vector(y_true, "outcomes")
    p = None if probability is None else vector(probability, "probabilities")
    if not np.isin(predicted, (0, 1)).all() or not (np.isnan(truth) | np.isin(truth, (0, 1))).all():
        raise ValueError("predictions and known outcomes must be 0 or 1")
    if p is not None and not ((p >= 0) & (p <= 1)).all():
        raise ValueError("probabilities must lie between 0 and 1")
    if not hasattr(groups, "items"):
        raise InputError("groups: a mapping from attributes to groups is expected")
    labels = {
        name: np.array([_group_name(v) for v in np.asarray(values, dtype=object)], dtype=object)
        for name, values in groups.items()
    }
    if any(
        len(a) != len(predicted) for a in (truth, *labels.values(), *([] if p is None else [p]))
    ):
        raise ValueError("one outcome, prediction, probability and group are expected per patient")
    count = confusion_matrix_counter(truth, predicted == 1, p)
    metrics = tuple(m for m in METRICS if p is not None or m.denominator)
    found = {}
    for i, (name, values) in enumerate(labels.items()):
        inside = values != ""
        cells = {group: count(inside & (values == group)) for group in sorted(set(values[inside]))}
        others = {group: count(inside & (values != group)) for group in cells}
        rng = np.random.default_rng([seed, i])
        found[name] = _grouping(name, cells, others, metrics, rng)
    return Assessment(len(predicted), int((~np.isnan(truth)).sum()), found)


def _group_name(value: Any) -> str:
    """Return a group in words; a code may be 0 or False. Empty = missing: None, NaN and pd.NA."""
    if isinstance(value, np.ndarray):
        raise InputError("groups: one group is expected for each patient")
    missing = value is None or type(value).__name__ == "NAType" or value != value
    return "" if missing else str(value)


def _grouping(
    name: str,
    cells: Mapping[str, ConfusionMatrix],
    others: Mapping[str, ConfusionMatrix],
    metrics: Sequence[Metric],
    rng: np.random.Generator,
) -> Grouping:
    listed = list(cells.values())
    known = any(cell.n(BASE_RATE) for cell in listed)
    compared = len(cells) > 1
    base_rates = [rate for cell in listed if (rate := cell.value(BASE_RATE)) is not None]
    parity = (
        _difference(listed, (SELECTION,), demographic_parity(listed, rng)) if compared else None
    )
    odds = compared and known
    return Grouping(
        name=name,
        groups=tuple(_group(group, cell, metrics) for group, cell in cells.items()),
        gaps=tuple(_gaps(cells, others, metrics)),
        demographic_parity=parity,
        equalized_odds=_difference(listed, (RECALL, FPR), equalized_odds(listed, rng))
        if odds
        else None,
        perfect_parity=max(base_rates) - min(base_rates) if len(base_rates) > 1 else None,
    )


def _group(name: str, cell: ConfusionMatrix, metrics: Sequence[Metric]) -> Group:
    rates = {
        m.name: Rate(cell.value(m), cell.bounds(m)(Z95), cell.n(m)) for m in (BASE_RATE, *metrics)
    }
    return Group(name, int(cell.counts[-1]), cell.n(BASE_RATE), rates)


def _gaps(
    cells: Mapping[str, ConfusionMatrix],
    others: Mapping[str, ConfusionMatrix],
    metrics: Sequence[Metric],
) -> list[Gap]:
    """Compare two groups with each other, more than two each with all others."""
    names = list(cells)
    pairs = [(names[1], names[0])] if len(names) == 2 else [(g, ALL_OTHERS) for g in names]
    if len(names) < 2:
        return []
    gaps = [
        _gap(m, group, cells[group], against, others[group])
        for group, against in pairs
        for m in metrics
    ]
    tested = [
        i for i, gap in enumerate(gaps) if gap.p_value is not None and min(gap.n) >= MIN_GROUP_SIZE
    ]
    adjusted = holm_adjust([gaps[i].p_value or 0.0 for i in tested])
    for i, p in zip(tested, adjusted, strict=True):
        gaps[i] = _judged(gaps[i], p)
    return gaps


def _gap(metric: Metric, name: str, a: ConfusionMatrix, against: str, b: ConfusionMatrix) -> Gap:
    first, second = a.value(metric), b.value(metric)
    apart = interval = p = None
    if first is not None and second is not None:
        apart = first - second
        interval, p = difference_interval(first, a.bounds(metric), second, b.bounds(metric))
    return Gap(
        metric=metric.name,
        group=name,
        against=against,
        difference=apart,
        interval=interval,
        p_value=p,
        p_adjusted=None,
        n=(a.n(metric), b.n(metric)),
        n_needed=required_sample_size(variance(metric, a, b)),
        verdict=Verdict.INCONCLUSIVE,
    )


def _judged(gap: Gap, p_adjusted: float) -> Gap:
    low, high = gap.interval or (-1.0, 1.0)
    verdict = Verdict.INCONCLUSIVE
    if p_adjusted < ALPHA:
        verdict = Verdict.GAP
    elif low >= -EQUIVALENCE_MARGIN and high <= EQUIVALENCE_MARGIN:
        verdict = Verdict.NO_GAP
    return replace(gap, p_adjusted=p_adjusted, verdict=verdict)


def _difference(
    cells: Sequence[ConfusionMatrix], metrics: Sequence[Metric], spread: BootstrapDifference
) -> Difference:
    smallest = min(cell.n(metric) for cell in cells for metric in metrics)
    verdict = Verdict.INCONCLUSIVE
    if smallest >= MIN_GROUP_SIZE and spread.p_value < ALPHA:
        verdict = Verdict.GAP
    elif smallest >= MIN_GROUP_SIZE and spread.interval[1] <= EQUIVALENCE_MARGIN:
        verdict = Verdict.NO_GAP
    return Difference(**asdict(spread), verdict=verdict, smallest=smallest)
