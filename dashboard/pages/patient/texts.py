"""Texts of the Patient page; nothing here claims a cause."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from dashboard.shared.escaping import escape_markdown
from dashboard.shared.findings import in_a_sentence
from dashboard.shared.numbers import join_words, per_hundred, probability
from dashboard.shared.prediction.panels import Prediction
from pipeline.schema import BY_NAME

LEAD = (
    "Enter the findings you know. Only age and sex are required; leave the others empty or at "
    "“unknown”. In a choice, arrow keys or a first letter select."
)
NO_ESTIMATE_TITLE = "The estimated risk will appear here"
NO_ESTIMATE = (
    "You will see the estimated risk with its 95 % interval, what it means for 100 such patients, "
    "which findings were unknown, and the explanation. Every prediction is logged before it is "
    "shown."
)
NEW_PATIENT = "New patient"
ESTIMATING = "Estimating …"
CONNECTION_LOST = "The connection was lost. Estimate again."
REFERENCE = "Patient reference (optional)"
REFERENCE_HINT = (
    "Your number for this patient, not a name; kept as a keyed hash, for export and erasure."
)

WHAT_IF = (
    "Change any finding and compare. The form starts with this patient; the comparison is logged "
    "with the source “What-if” and never counts as a live prediction."
)
WHAT_IF_NOTE = (
    "Contributions in log-odds: above 0 increases the estimated risk, below 0 decreases it. This "
    "compares two patients; it does not show what happens to one patient when a finding is treated."
)
CURVE = (
    "The estimated risk if only this finding were different, from low to high. Computed from the "
    "model for reading; **not logged**. It shows associations, not what a treatment would change."
)


RESPONSE_TITLE = "Your response (optional)"
DECISIONS: Mapping[str, str] = {"agree": "Agree", "override": "Override"}
NO_DECISION = "Choose Agree or Override."
RESPONSE_RECORDED = "Response recorded. Earlier ones stay in the log; the latest one counts."


def response_note(user: str | None, named: bool) -> str:
    """Return what is stored of a response."""
    who = "a keyed hash of your name" if user is not None and named else "not your name"
    return (
        "Stored in the log with this prediction: your choices and the time, "
        f"{'and' if user is not None and named else 'but'} {who}. Your choices count in the "
        "override rates on the Overview."
    )


def estimate_summary(found: Prediction) -> str:
    """Return the result in short, for the place beside the button."""
    low, high = map(probability, found.interval)
    said = f"Estimated risk: {probability(found.probability)} (95 % interval {low} to {high})."
    unusual = list(dict.fromkeys(warned["field"] for warned in found.response["warnings"]))
    return f"{said} {unusual_values(unusual)}" if unusual else said


def unusual_values(names: Sequence[str]) -> str:
    """Return which findings have unusual values; what is unusual stands beside each."""
    listed = join_words([in_a_sentence(BY_NAME[name].label) for name in names])
    return f"Check {listed}: {'unusual values' if len(names) > 1 else 'an unusual value'}."


def warnings(found: Prediction) -> dict[str, str]:
    """Return what is unusual about the findings of a prediction, one sentence for each."""
    said: dict[str, list[str]] = {}
    for warned in found.response["warnings"]:
        said.setdefault(warned["field"], []).append(warned["message"])
    sentences = {name: "; ".join(messages) for name, messages in said.items()}
    return {name: f"{text[0].upper()}{text[1:]}." for name, text in sentences.items()}


def refused(names: Sequence[str]) -> str:
    """Return which entries prevent an estimate; why stands beside each."""
    listed = join_words([in_a_sentence(BY_NAME[name].label) for name in names])
    return f"No estimate: check {listed}."


def missing_required(labels: Sequence[str]) -> str:
    """Return which required findings are missing."""
    return f"No estimate: {join_words(labels)} {'is' if len(labels) == 1 else 'are'} required."


def comparison(before: float, after: float) -> str:
    """Return the difference between two estimated risks."""
    points = abs(per_hundred(after) - per_hundred(before))
    if points == 0:
        return "The estimated risk is unchanged (to the nearest percentage point)."
    side = "higher" if after > before else "lower"
    unit = "percentage point" if points == 1 else "percentage points"
    return f"With these changes, the estimated risk is **{points} {unit} {side}**."


def asked_by(user: str | None, named: bool) -> str:
    """Return whether the log says who asked for an estimate."""
    if user is None:
        return "The log names nobody as the one who asked: there is no login."
    if not named:
        return (
            "The log names nobody as the one who asked: the dashboard's API key lacks the role "
            "on-behalf, or the log has no key."
        )
    return f"Logged as asked by {escape_markdown(user)}, kept as a keyed hash."
