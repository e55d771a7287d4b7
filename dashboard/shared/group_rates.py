"""Rates of groups and the gaps between them in words: the Fairness page and the model card."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from dashboard.shared.numbers import join_words, signed
from pipeline.fairness.confusion_matrix import METRICS
from pipeline.fairness.result import Gap, Grouping, Rate, Verdict

LABELS: Mapping[str, str] = {
    "base_rate": "Prevalence (base rate)",
    **{metric.name: metric.label for metric in METRICS},
    "recall": "Sensitivity (recall)",
    "precision": "PPV (precision)",
    "auc": "AUC",
}
_IN_A_SENTENCE: Mapping[str, str] = {
    "selection_rate": "the selection rate",
    "recall": "sensitivity (recall)",
    "fpr": "the false positive rate",
    "precision": "PPV (precision)",
    "accuracy": "accuracy",
    "auc": "AUC",
}


def fairness_verdict(grouping: Grouping) -> str:
    """Return in one sentence which rates differ between groups."""
    if not grouping.gaps:
        return f"No groups to compare by {grouping.name} yet."
    gaps = _metrics(grouping.gaps, Verdict.GAP)
    unknown = [m for m in _metrics(grouping.gaps, Verdict.INCONCLUSIVE) if m not in gaps]
    if len(unknown) == len(_IN_A_SENTENCE):
        return f"By {grouping.name}: inconclusive, too few patients."
    first = f"gap in {_join(gaps)}" if gaps else "no gap detected"
    rest = f"; inconclusive for {_join(unknown)}" if unknown else ""
    return f"By {grouping.name}: {first}{rest}."


def _metrics(gaps: Sequence[Gap], wanted: Verdict) -> list[str]:
    return [m for m in _IN_A_SENTENCE if any(g.metric == m and g.verdict is wanted for g in gaps)]


def _join(metrics: Sequence[str]) -> str:
    return join_words([_IN_A_SENTENCE[metric] for metric in metrics])


def perfect_classifier_note(grouping: Grouping) -> str:
    """Return how far apart a perfect classifier would be; empty without outcomes."""
    found, parity = grouping.perfect_parity, grouping.demographic_parity
    if found is None or parity is None:
        return ""
    return (
        f"The selection rates differ by {parity.value:.3f}. A perfect classifier's would differ by "
        f"{found:.3f}, because disease prevalence differs that much between these groups, so equal "
        "selection rates are not the goal."
    )


def format_verdict(verdict: Verdict, n_needed: int | None = None) -> str:
    """Return a verdict, with how many patients each group would need for another one."""
    if verdict is not Verdict.INCONCLUSIVE:
        return "no gap detected" if verdict is Verdict.NO_GAP else "gap"
    return f"inconclusive{f', needs about {n_needed:,} per group' if n_needed else ''}"


def format_rate(rate: Rate) -> str:
    """Return a rate with its interval and denominator."""
    if rate.value is None:
        return "– (n = 0)"
    few = "" if rate.enough_data else ", inconclusive"
    low, high = rate.interval
    return f"{rate.value:.3f} [{low:.3f}, {high:.3f}], n = {rate.n:,}{few}"


def gap_cells(gap: Gap) -> dict[str, str]:
    """Return the cells of a gap that every table shows."""
    interval = " to ".join(signed(end, 3) for end in gap.interval) if gap.interval else "–"
    return {
        "Difference": signed(gap.difference, 3, "–"),
        "95 % interval": interval,
        "Verdict": format_verdict(gap.verdict, gap.n_needed),
    }


def rate_cells(grouping: Grouping, metric: str) -> dict[str, str]:
    """Return one rate of each group."""
    return {g.name.capitalize(): format_rate(g.rates[metric]) for g in grouping.groups}
