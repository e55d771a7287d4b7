"""What the Fairness page says."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from dashboard.shared.numbers import NBSP, percent, times
from dashboard.shared.texts import whose
from pipeline.fairness.result import MIN_CELL, Difference, Grouping
from pipeline.fairness.threshold_tradeoff import WhatIf

PATIENTS: Mapping[str, str] = {"training": "Training", "logged": "Logged"}
ATTRIBUTES: Mapping[str, str] = {"sex": "Sex", "age": "Age", "sex and age": "Sex and age"}
MEANINGS: Mapping[str, str] = {
    "base_rate": "of all patients, had disease",
    "selection_rate": "of all patients, are predicted to have disease",
    "recall": "of those with disease, are found",
    "fpr": "of those without disease, are predicted to have it",
    "precision": "of those predicted to have disease, have it",
    "accuracy": "of all predictions, are right",
    "auc": "of pairs of one patient with disease and one without, are in the right order",
}


def whom(n: int, n_known: int, source: str | None) -> str:
    """Say whose predictions are compared."""
    if source is None:
        return (
            f"Fairness · {n} training patients, each predicted by models that had not seen the "
            "patient (out of fold, mean of 10 repeats)"
        )
    known = f"the outcome of {n_known:,} is known" if n_known else "no outcome is known"
    return f"Fairness · the newest {whose(n, source).rstrip(',')}; {known}"


def perfect(grouping: Grouping) -> str:
    """Say how far apart a perfect classifier would be."""
    found, parity = grouping.perfect_parity, grouping.demographic_parity
    if found is None or parity is None:
        return (
            "Without known outcomes only selection rates can be compared, and whether a difference "
            "is a fault cannot be told: one group may have the disease more often."
        )
    return (
        f"The selection rates differ by **{parity.value:.3f}**. A *perfect* classifier would have "
        f"a difference of **{found:.3f}** here, since so much does the disease itself differ "
        "between these groups. Equal selection rates are therefore not the aim."
    )


GAPS_NOTE = (
    f"Difference of two rates with its 95{NBSP}% range; in the middle, none. Grey: these patients "
    f"cannot tell, or fewer than {MIN_CELL} of them are in a cell."
)
RATES_NOTE = (
    f"Rates with their 95{NBSP}% range and what they are a share of. Hollow marks rest on fewer "
    f"than {MIN_CELL} patients."
)
DIFFERENCES_NOTE = (
    "Largest rate minus smallest, as fairlearn defines them. They are never below zero, so chance "
    "alone makes them positive: what it makes of groups of these sizes stands beside them."
)
TRADEOFF_NOTE = (
    "**What if the threshold were another one?** A what-if on the training patients: the service "
    "keeps one threshold for everybody and never applies one by sex or age. No rule here is left "
    "to chance: the same patient always gets the same answer."
)
RULES_NOTE = (
    "What a rule would change for the same patients. “Same recall” and “Same selection rate” use a "
    "threshold per group; they are shown for their price and are not offered. "
    "Parity and equalized odds are differences, as above."
)
NO_TRAINING_TITLE = "The training patients are not at hand"
NO_TRAINING = (
    "They come with the model card, and the service does not give it at the moment, or its model "
    "was trained before fairness was measured (`make train`). Choose “Logged” above."
)
NO_LOGGED = "Nothing is logged yet. Choose “Training” above to see the patients of the training."


def p_words(p: float | None) -> str:
    """Write a p-value."""
    return "–" if p is None else "< .001" if p < 0.001 else f"{p:.3f}".lstrip("0")


def difference_row(name: str, found: Difference, perfect: float | None) -> dict[str, str]:
    """Write one of fairlearn's differences as a row of a table."""
    low, high = found.interval
    return {
        "Difference": name,
        "Value": f"{found.value:.3f}",
        "95 % range": f"{low:.3f} to {high:.3f}",
        "By chance alone": f"{found.by_chance:.3f}",
        "p": p_words(found.p_value),
        "Perfect classifier": "–" if perfect is None else f"{perfect:.3f}",
        "Verdict": str(found.verdict),
    }


def tradeoff(found: WhatIf, threshold: float) -> str:
    """Say what another threshold for all would change."""
    if not found.changed:
        return f"At {percent(threshold)} nobody's prediction would be another one than now."
    missed = _more(found.more_missed, "patient with disease", "patients with disease", "missed")
    alarms = _more(found.more_alarms, "false alarm", "false alarms", "raised")
    return (
        f"At {percent(threshold)}, {times(found.changed, 'prediction')} would be another one: "
        f"{missed}, {alarms}; accuracy {percent(found.accuracy, 1)}, equalized odds difference "
        f"{found.odds:.3f}."
    )


def _more(n: int, one: str, many: str, done: str) -> str:
    if n == 0:
        return f"as many {many} {done}"
    return f"{abs(n)} {'more' if n > 0 else 'fewer'} {one if abs(n) == 1 else many} {done}"


def rules_table(rules: Sequence[WhatIf]) -> list[dict[str, str]]:
    """Write rules with their prices, a column each: a narrow window has no room for a row each."""
    columns = {rule.name: _rule(rule) for rule in rules}
    return [
        {"What": what} | {name: column[what] for name, column in columns.items()}
        for what in next(iter(columns.values()))
    ]


def _rule(found: WhatIf) -> dict[str, str]:
    chosen = found.thresholds
    one = set(chosen.values())
    written = (
        f"{one.pop():.2f} for all"
        if len(one) == 1
        else ", ".join(f"{group} {t:.2f}" for group, t in chosen.items())
    )
    return {
        "Threshold": written,
        "Changed": str(found.changed),
        "Missed": signed_count(found.more_missed),
        "False alarms": signed_count(found.more_alarms),
        "Accuracy": f"{found.accuracy:.3f}",
        "Parity": f"{found.parity:.3f}",
        "Equalized odds": f"{found.odds:.3f}",
    }


def signed_count(n: int) -> str:
    """Write a change of a count."""
    return f"{n:+d}".replace("-", "−") if n else "0"
