"""What the Patient page says; nothing here says that one thing brings about another."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType

from dashboard.shared.escaping import markdown
from dashboard.shared.findings import warning
from dashboard.shared.numbers import listed, of_hundred, probability
from pipeline.schema import BY_NAME

NOT_FOR_DIAGNOSIS = (
    "**Not for diagnosis.** This is what a statistical model of 303 patients says. It is not a "
    "medical device and does not replace an examination or a clinician's judgement."
)
INTERVAL_LABEL = "95 % range of the model's estimate, not of this patient's outcome"
DISEASE = "Disease means at least one coronary artery narrowed by more than 50 %."
NO_REASON = "The service refused this without a reason: tell who runs it."
NO_REASONS = "The reasons cannot be computed at the moment: the service does not give them."


def natural_frequency(value: float) -> str:
    """Say a probability as people among 100."""
    count = of_hundred(value)
    about = "fewer than 1" if count == 0 else "more than 99" if count == 100 else f"about {count}"
    return (
        f"Of 100 patients *referred for angiography in Cleveland in the 1980s* with these "
        f"findings, **{about} had disease**; where disease is rarer this is too high."
    )


REASONS_NOTE = (
    "Compared with the average of the patients the model was fitted to. These are "
    "associations in old data; they do not say what a treatment would change."
)
WATERFALL_NOTE = (
    "Read from top to bottom: start at the average patient; each bar adds one finding, to the "
    "right toward disease, to the left away from it; the last mark is this patient. The scale is "
    "log-odds, on which findings simply add up: **zero means even odds (50 %)**, a bar of length "
    "zero means that the finding makes no difference. Probabilities stand along the top."
)
WHAT_IF = (
    "Change what you like and compare. The form starts with the original patient; the comparison "
    "is logged as what-if and never counts as a live prediction."
)
WHAT_IF_NOTE = (
    "Weights in log-odds: above zero toward disease, below zero away from it. Two patients who "
    "differ in this way are estimated differently; that does not say what happens to one patient "
    "when a finding is treated."
)


def estimated(value: float, interval: tuple[float, float]) -> str:
    """Say beside the button what came out, and where its meaning stands."""
    low, high = map(probability, interval)
    return (
        f"**Estimated: {probability(value)}**, range {low} to {high}, and no diagnosis: what it "
        "means stands under “Estimated probability of disease”, why stands below."
    )


def lacking(labels: Sequence[str]) -> str:
    """Say that a patient lacks what is needed."""
    return f"{listed(labels)} {'is' if len(labels) == 1 else 'are'} needed for an estimate."


def refused(
    errors: Sequence[tuple[str, str]],
    detail: str,
    sent: Mapping[str, object] = MappingProxyType({}),
) -> str:
    """Say what is wrong with each entry, or why the service refuses where it is not an entry."""
    said = [(field, _wrong_number(field, sent.get(field)) or told) for field, told in errors]
    entries = "\n".join(f"- {warning(field, message)}" for field, message in said)
    return entries or markdown(detail) or NO_REASON


def _wrong_number(field: str, value: object) -> str | None:
    """Say what is wrong with a number; the service tells programmers, and speaks of null."""
    feature = BY_NAME.get(field)
    if feature is None or not feature.is_numeric or not isinstance(value, float):
        return None
    limits = f"enter {feature.low:g} to {feature.high:g} {feature.unit}"
    empty = "" if feature.required else ", or leave it empty if it is not known"
    other = feature.other_unit
    if value == 0 and feature.zero_is_missing:
        why = "0 is not a measurement"
    elif other is not None and other.low <= value <= other.high:
        why = other.message
    else:
        why = "outside the plausible limits"
    return f"{why}; {limits}{empty}"


def comparison(before: float, after: float) -> str:
    """Say how two estimates differ."""
    points = abs(of_hundred(after) - of_hundred(before))
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
