"""Texts of the Patient page; nothing here claims a cause."""

from __future__ import annotations

from collections.abc import Sequence

from dashboard.shared.numbers import join_words, per_hundred, probability

WHAT_IF = (
    "Change any finding and compare. The form starts with this patient; the comparison is logged "
    "with the source “What-if” and never counts as a live prediction."
)
WHAT_IF_NOTE = (
    "Contributions in log-odds: above 0 increases the estimated risk, below 0 decreases it. This "
    "compares two patients; it does not show what happens to one patient when a finding is treated."
)


def estimate_summary(value: float, interval: tuple[float, float]) -> str:
    """Return the result in short, for the place beside the button."""
    low, high = map(probability, interval)
    return (
        f"**Estimated risk: {probability(value)}** (95 % interval {low} to {high}). Not a "
        "diagnosis; the explanation is below."
    )


def missing_required(labels: Sequence[str]) -> str:
    """Return which required findings are missing."""
    return f"{join_words(labels)} {'is' if len(labels) == 1 else 'are'} required."


def comparison(before: float, after: float) -> str:
    """Return the difference between two estimated risks."""
    points = abs(per_hundred(after) - per_hundred(before))
    if points == 0:
        return "The estimated risk is unchanged (to the nearest percentage point)."
    side = "higher" if after > before else "lower"
    unit = "percentage point" if points == 1 else "percentage points"
    return f"With these changes, the estimated risk is **{points} {unit} {side}**."


LEAD = (
    "Enter the findings you know. Only age and sex are required; leave the others empty or at "
    "“unknown”."
)
NO_ESTIMATE_TITLE = "The estimated risk will appear here"
NO_ESTIMATE = (
    "You will see the estimated risk with its 95 % interval, what it means for 100 such patients, "
    "which findings were unknown, and the explanation. Every prediction is logged before it is "
    "shown."
)
