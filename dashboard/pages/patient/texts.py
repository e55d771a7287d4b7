"""What the Patient page says; nothing here says that one thing brings about another."""

from __future__ import annotations

from collections.abc import Sequence

from dashboard.shared.numbers import join_words, per_hundred, probability

WHAT_IF = (
    "Change what you like and compare. The form starts with the original patient; the comparison "
    "is logged as what-if and never counts as a live prediction."
)
WHAT_IF_NOTE = (
    "Weights in log-odds: above zero toward disease, below zero away from it. Two patients who "
    "differ in this way are estimated differently; that does not say what happens to one patient "
    "when a finding is treated."
)


def estimate_summary(value: float, interval: tuple[float, float]) -> str:
    """Say beside the button what came out, and where its meaning stands."""
    low, high = map(probability, interval)
    return (
        f"**Estimated: {probability(value)}**, range {low} to {high}, and no diagnosis: what it "
        "means stands under “Estimated probability of disease”, why stands below."
    )


def missing_required(labels: Sequence[str]) -> str:
    """Say that a patient lacks what is needed."""
    return f"{join_words(labels)} {'is' if len(labels) == 1 else 'are'} needed for an estimate."


def comparison(before: float, after: float) -> str:
    """Say how two estimates differ."""
    points = abs(per_hundred(after) - per_hundred(before))
    if points == 0:
        return "The estimate stays the same to the nearest percentage point."
    side = "higher" if after > before else "lower"
    unit = "percentage point" if points == 1 else "percentage points"
    return f"The changed patient's estimate is **{points} {unit} {side}**."


LEAD = "Enter what is known; only age and sex are needed. Leave the rest empty or at “not known”."
NO_ESTIMATE_TITLE = "The estimate will appear here"
NO_ESTIMATE = (
    "You will see a probability with its range, what it means for 100 such patients, which "
    "findings were not known, and why the model comes to it. Each estimate is written to the log "
    "before it is shown."
)
