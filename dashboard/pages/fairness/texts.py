"""Texts of the Fairness page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from dashboard.shared.escaping import escape_markdown
from dashboard.shared.group_rates import LABELS, format_verdict, gap_cells
from dashboard.shared.numbers import NBSP, count_noun, join_words, p_value, percent, signed
from dashboard.shared.texts import count_of_source
from pipeline.fairness.result import MIN_GROUP_SIZE, Difference, Gap, Verdict
from pipeline.fairness.threshold_tradeoff import ThresholdScenario

PATIENTS: Mapping[str, str] = {"training": "Training data", "logged": "Logged predictions"}
DENOMINATORS: Mapping[str, str] = {
    "base_rate": "with disease, among all patients",
    "selection_rate": "predicted positive (at or above the threshold), among all patients",
    "recall": "predicted positive, among patients with disease",
    "fpr": "predicted positive, among patients without disease (1 − specificity)",
    "precision": "with disease, among predicted positives",
    "accuracy": "correctly classified, among all patients",
    "auc": "ranked correctly, among sick/healthy pairs",
}


def subtitle(n: int, n_known: int, source: str | None, versions: Sequence[str]) -> str:
    """Return whose predictions are compared, and of which models."""
    if source is None:
        return f"Fairness · {n:,} training patients, out-of-fold predictions (mean of the repeats)"
    known = f"{n_known:,} with an outcome" if n_known else "no recorded outcomes"
    models = join_words([escape_markdown(version) for version in versions])
    made = f"model {models}" if len(versions) == 1 else f"made by the models {models}"
    return f"Fairness · the newest {count_of_source(n, source)}; {known}; {made}"


NO_OUTCOMES = (
    "Without outcomes only selection rates can be compared. A difference need not be unfair: "
    "prevalence may differ between the groups."
)
GAPS_NOTE = (
    f"Difference between two rates with its 95{NBSP}% interval; zero = no difference. Orange: "
    "higher in the group named first; blue: lower; grey: inconclusive, or fewer than "
    f"{MIN_GROUP_SIZE} patients in a cell."
)


def interval_note(gaps: Sequence[Gap]) -> str:
    """Return why a gap is inconclusive whose interval excludes zero; empty = there is none."""
    found = [
        f"{LABELS[gap.metric]} ({p_value(gap.p_adjusted)})"
        for gap in gaps
        if gap.verdict is Verdict.INCONCLUSIVE and gap.interval and _excludes_zero(gap.interval)
    ]
    if not found:
        return ""
    tested = sum(gap.p_adjusted is not None for gap in gaps)
    return (
        f"{join_words(found)}: the interval excludes zero, but it is of this rate alone. Because "
        f"{tested} gaps are tested together, the verdict follows the p-value corrected for that "
        "(Holm), which is not below 0.05."
    )


def _excludes_zero(interval: tuple[float, float]) -> bool:
    return interval[0] > 0 or interval[1] < 0


RATES_NOTE = (
    f"Rates with 95{NBSP}% intervals; the table below gives their denominators. Hollow markers: "
    f"fewer than {MIN_GROUP_SIZE} patients."
)
DIFFERENCES_NOTE = (
    "Largest rate minus smallest (fairlearn's definition). These differences are never negative, "
    "so chance alone makes them positive: “By chance” shows how much in groups of these "
    "sizes."
)
THRESHOLD_NOTE = (
    "**What if the threshold changed?** A simulation on the training patients. The service uses "
    "one threshold for everyone, never one by group. All rules are deterministic: the same "
    "patient always gets the same prediction."
)
RULES_NOTE = (
    "Effect of each rule on the same patients. The best single threshold has the smallest "
    "equalized odds difference of those that cost at most two percentage points of accuracy. Equal "
    "rates need a threshold per group; such rules are shown for comparison only and are not "
    "available in the service. Demographic parity and equalized odds are the differences defined "
    "above."
)
NO_TRAINING_TITLE = "Training data unavailable"
NO_TRAINING = (
    "They are part of the model card, which is unavailable or too old to include fairness "
    "statistics (run `make train`). Choose “Logged predictions” above."
)
NO_LOGGED = "No predictions yet. Choose “Training data” above."


def gap_row(gap: Gap) -> dict[str, str]:
    """Return a gap as a row of a table."""
    return {
        "Rate": LABELS[gap.metric],
        "Groups": f"{gap.group} − {gap.against}",
        **gap_cells(gap),
        "p-value (Holm)": p_value(gap.p_adjusted),
        "n": f"{gap.n[0]:,} and {gap.n[1]:,}",
    }


def difference_row(name: str, found: Difference, perfect: float | None) -> dict[str, str]:
    """Return one of fairlearn's differences as a row of a table."""
    low, high = found.interval
    return {
        "Difference": name,
        "Value": f"{found.value:.3f}",
        "95 % interval": f"{low:.3f} to {high:.3f}",
        "By chance": f"{found.by_chance:.3f}",
        "p-value": p_value(found.p_value),
        "Perfect classifier": "–" if perfect is None else f"{perfect:.3f}",
        "Verdict": format_verdict(found.verdict),
    }


def simulation(found: ThresholdScenario, threshold: float) -> str:
    """Return what another threshold for everyone would change."""
    at = f"At a threshold of {percent(threshold)},"
    if not found.changed_predictions:
        return f"{at} no prediction would change."
    return (
        f"{at} {count_noun(found.changed_predictions, 'prediction')} would change: "
        f"{_change(found.additional_false_negatives, 'false negative')}, "
        f"{_change(found.additional_false_positives, 'false positive')}; "
        f"accuracy {percent(found.accuracy, 1)}, "
        f"equalized odds difference {found.equalized_odds_difference:.3f}."
    )


def _change(n: int, noun: str) -> str:
    if n == 0:
        return f"the same number of {noun}s"
    return f"{abs(n)} {'more' if n > 0 else 'fewer'} {noun}{'s' if abs(n) > 1 else ''}"


def rules_table(rules: Sequence[ThresholdScenario]) -> list[dict[str, str]]:
    """Return rules with their effects, a column each: a narrow window has no room for rows."""
    columns = {rule.name: _rule(rule) for rule in rules}
    return [
        {"Measure": what} | {name: column[what] for name, column in columns.items()}
        for what in next(iter(columns.values()))
    ]


def _rule(found: ThresholdScenario) -> dict[str, str]:
    chosen = found.thresholds
    one = set(chosen.values())
    written = (
        f"{percent(one.pop())} for everyone"
        if len(one) == 1
        else ", ".join(f"{group} {percent(t)}" for group, t in chosen.items())
    )
    return {
        "Threshold": written,
        "Predictions changed": str(found.changed_predictions),
        "False negatives, change": signed(found.additional_false_negatives, 0),
        "False positives, change": signed(found.additional_false_positives, 0),
        "Accuracy": f"{found.accuracy:.3f}",
        "Demographic parity difference": f"{found.demographic_parity_difference:.3f}",
        "Equalized odds difference": f"{found.equalized_odds_difference:.3f}",
    }
