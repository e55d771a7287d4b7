"""Rates of groups and the gaps between them, in words: for Fairness and the model card."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from dashboard.shared.numbers import listed
from pipeline.fairness.confusion_matrix import METRICS
from pipeline.fairness.result import Gap, Grouping, Rate, Verdict

_BY: Mapping[str, str] = {"sex": "By sex", "age": "By age", "sex and age": "By sex and age"}


LABELS: Mapping[str, str] = {
    "base_rate": "Had disease",
    **{metric.name: metric.label for metric in METRICS},
}


_IN_A_SENTENCE: Mapping[str, str] = {
    "selection_rate": "the selection rate",
    "recall": "recall",
    "fpr": "the false positive rate",
    "precision": "precision",
    "accuracy": "accuracy",
    "auc": "ROC-AUC",
}


def verdict(grouping: Grouping) -> str:
    """Say in one sentence which rates differ."""
    by = _BY[grouping.name]
    if not grouping.gaps:
        return f"{by} there is nothing to compare yet."
    seen = _metrics(grouping.gaps, Verdict.GAP)
    unknown = [m for m in _metrics(grouping.gaps, Verdict.UNKNOWN) if m not in seen]
    first = f"{by} there is a gap in {_named(seen)}" if seen else f"{by} no gap is seen"
    if not unknown:
        return f"{first}."
    if len(unknown) == len(_IN_A_SENTENCE):
        return f"{by} nothing can be told with so few patients."
    return f"{first}; about {_named(unknown)} these patients cannot tell."


def _metrics(gaps: Sequence[Gap], wanted: Verdict) -> list[str]:
    return [m for m in _IN_A_SENTENCE if any(g.metric == m and g.verdict is wanted for g in gaps)]


def _named(metrics: Sequence[str]) -> str:
    return listed([_IN_A_SENTENCE[metric] for metric in metrics])


def gap_words(gap: Gap) -> str:
    """Say what the data tell about a gap, and what they would need."""
    if gap.verdict is not Verdict.UNKNOWN:
        return str(gap.verdict)
    return f"cannot tell; about {gap.n_needed:,} in each would"


def rate_words(rate: Rate) -> str:
    """Write a rate with its range and denominator."""
    if rate.value is None:
        return "– (of 0)"
    few = "" if rate.enough else ", cannot tell"
    low, high = rate.interval
    return f"{rate.value:.3f} [{low:.3f}, {high:.3f}] of {rate.n:,}{few}"


def signed(value: float | None) -> str:
    """Write a difference with its sign and a true minus."""
    return "–" if value is None else f"{value:+.3f}".replace("-", "−")


def signed_range(interval: tuple[float, float] | None) -> str:
    """Write the range of a difference."""
    return "–" if interval is None else f"{signed(interval[0])} to {signed(interval[1])}"
