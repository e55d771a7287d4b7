"""What other thresholds would change for each group: a simulation, never in service.

The service applies one threshold to everybody; thresholds by sex or age are computed here only to
show their cost. Deterministic; numpy only.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pipeline.fairness.confusion_matrix import (
    FPR,
    METRICS,
    RECALL,
    SELECTION,
    ConfusionMatrix,
    Metric,
    confusion_matrix_counter,
)
from pipeline.model.design_matrix import Array

THRESHOLDS: tuple[float, ...] = tuple(round(0.05 + 0.01 * i, 2) for i in range(91))
"""0.05 to 0.95: outside, hardly a patient changes sides."""

_ACCURACY = next(metric for metric in METRICS if metric.name == "accuracy")


@dataclass(frozen=True)
class ThresholdScenario:
    """The effect of other thresholds on the same patients."""

    name: str
    thresholds: Mapping[str, float]
    """Group -> threshold."""
    changed_predictions: int
    """Patients whose prediction would change."""
    additional_false_negatives: int
    """False negatives, minus those at the current threshold."""
    additional_false_positives: int
    """False positives, minus those at the current threshold."""
    accuracy: float
    rates: Mapping[str, Mapping[str, float | None]]
    """Group -> selection rate, recall and FPR."""
    demographic_parity_difference: float
    """Largest minus smallest selection rate."""
    equalized_odds_difference: float
    """Larger of the differences in recall and FPR."""


def rates_by_threshold(
    y: Array, p: Array, groups: NDArray[np.object_], thresholds: Sequence[float] = THRESHOLDS
) -> dict[str, dict[str, list[float | None]]]:
    """Return each group's selection rate, recall and FPR at every threshold.

    Parameters
    ----------
    y
        Outcomes 0.0 or 1.0, shape (n,).
    p
        Predicted probabilities, shape (n,).
    groups
        The group of each patient, shape (n,).

    Returns
    -------
    dict
        Group -> metric name -> one rate per threshold.
    """
    cells = [_cells(y, p >= t, groups) for t in thresholds]
    return {
        group: {m.name: [cell[group].value(m) for cell in cells] for m in (SELECTION, RECALL, FPR)}
        for group in sorted(set(groups))
    }


def compare_thresholds(
    y: Array, p: Array, groups: NDArray[np.object_], threshold: float
) -> tuple[ThresholdScenario, ...]:
    """Compare the current threshold with others.

    1. The current threshold.
    2. The one threshold for all with the smallest equalized odds difference among those that cost
       at most two points of accuracy.
    3. A threshold per group that brings every group to the recall of all patients.
    4. A threshold per group that brings every group to the selection rate of all patients.
    """
    names = sorted(set(groups))
    now = dict.fromkeys(names, threshold)
    overall = _cells(y, p >= threshold, np.full(len(y), "all", dtype=object))["all"]
    rules = {
        "Current threshold": now,
        "Best single threshold": dict.fromkeys(names, _fairest(y, p, groups, threshold)),
        "Equal sensitivity (recall)": _matching(RECALL, y, p, groups, overall, threshold),
        "Equal selection rate": _matching(SELECTION, y, p, groups, overall, threshold),
    }
    return tuple(_what_if(name, y, p, groups, chosen, now) for name, chosen in rules.items())


def compare_threshold(
    y: Array, p: Array, groups: NDArray[np.object_], new: float, now: float
) -> ThresholdScenario:
    """Compare one other threshold for all with the current one."""
    names = sorted(set(groups))
    return _what_if("", y, p, groups, dict.fromkeys(names, new), dict.fromkeys(names, now))


def _cells(
    y: Array, predicted: NDArray[np.bool_], groups: NDArray[np.object_]
) -> dict[str, ConfusionMatrix]:
    count = confusion_matrix_counter(y, predicted, None)
    return {group: count(groups == group) for group in sorted(set(groups))}


def _by_group(p: Array, groups: NDArray[np.object_], chosen: Mapping[str, float]) -> Array:
    return np.asarray(p >= np.array([chosen[group] for group in groups]))


def _what_if(
    name: str,
    y: Array,
    p: Array,
    groups: NDArray[np.object_],
    chosen: Mapping[str, float],
    now: Mapping[str, float],
) -> ThresholdScenario:
    before, after = _by_group(p, groups, now) == 1, _by_group(p, groups, chosen) == 1
    cells = _cells(y, after, groups)
    parity, odds = _differences(cells)
    return ThresholdScenario(
        name=name,
        thresholds=dict(chosen),
        changed_predictions=int((before != after).sum()),
        additional_false_negatives=int((~after & (y == 1)).sum() - (~before & (y == 1)).sum()),
        additional_false_positives=int((after & (y == 0)).sum() - (before & (y == 0)).sum()),
        accuracy=float((after == (y == 1)).mean()),
        rates={
            group: {m.name: cell.value(m) for m in (SELECTION, RECALL, FPR)}
            for group, cell in cells.items()
        },
        demographic_parity_difference=parity,
        equalized_odds_difference=odds,
    )


def _differences(cells: Mapping[str, ConfusionMatrix]) -> tuple[float, float]:
    def apart(metric: Metric) -> float:
        rates = [cell.value(metric) or 0.0 for cell in cells.values()]
        return max(rates) - min(rates)

    return apart(SELECTION), max(apart(RECALL), apart(FPR))


def _fairest(y: Array, p: Array, groups: NDArray[np.object_], threshold: float) -> float:
    """Return the affordable threshold with the smallest difference, nearest to the present one."""
    floor = ((p >= threshold) == (y == 1)).mean() - 0.02
    affordable = [t for t in THRESHOLDS if ((p >= t) == (y == 1)).mean() >= floor]

    def cost(t: float) -> tuple[float, float]:
        return round(_differences(_cells(y, p >= t, groups))[1], 9), abs(t - threshold)

    return min([*affordable, threshold], key=cost)


def _matching(
    metric: Metric,
    y: Array,
    p: Array,
    groups: NDArray[np.object_],
    overall: ConfusionMatrix,
    threshold: float,
) -> dict[str, float]:
    """Return per group the threshold whose rate is nearest to that of all patients."""
    target = overall.value(metric) or 0.0
    tables = {t: _cells(y, p >= t, groups) for t in THRESHOLDS}

    def distance(group: str) -> Callable[[float], tuple[float, float]]:
        return lambda t: (
            round(abs((tables[t][group].value(metric) or 0.0) - target), 9),
            abs(t - threshold),
        )

    return {group: min(THRESHOLDS, key=distance(group)) for group in sorted(set(groups))}
