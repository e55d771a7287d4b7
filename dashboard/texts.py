"""Every sentence that a page says, and the few functions that put numbers into them.

Plain words for clinicians, stakeholders and operators. Nothing here says that one thing brings
about another: the model describes patients, it does not explain illness.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from pipeline.schema import BY_NAME, FEATURES, Feature, Kind

NBSP = "\u00a0"

APP = "Cardiowatch"
ABOUT = (
    "**Cardiowatch** estimates how likely a narrowed coronary artery is and keeps every answer in "
    "a log.\n\nThe model was fitted to 303 patients who were referred for angiography in Cleveland "
    "in the 1980s. It is not a medical device."
)
UNEXPECTED_TITLE = "This page could not be drawn"
UNEXPECTED = (
    "Nothing was sent or lost. Load the page again; if it stays, tell who runs the service."
)

NOT_FOR_DIAGNOSIS = (
    "**Not for diagnosis.** This is what a statistical model of 303 patients says. It is not a "
    "medical device and does not replace an examination or a clinician's judgement."
)
INTERVAL_LABEL = "95 % range of the model's estimate, not of this patient's outcome"
DISEASE = "Disease means at least one coronary artery narrowed by more than 50 %."

API_DOWN_TITLE = "The service is not answering"
API_DOWN = (
    "No estimate can be made at the moment. What you entered is kept on this page; try again in a "
    "moment."
)
LOG_BUSY_TITLE = "The answer could not be put on record"
LOG_BUSY = (
    "Every estimate is written to the log before it is shown, and the log does not take it at the "
    "moment. What you entered is kept on this page; try again in a moment."
)
LOG_DOWN_TITLE = "The log cannot be read"
LOG_DOWN = (
    "The database does not answer, so there is nothing to show here for now. Nothing that was "
    "logged is lost. The page looks again by itself."
)
EMPTY_TITLE = "No predictions yet"
EMPTY = (
    "Every estimate that the service makes will appear here. Enter a patient to make the first "
    "one, or send 100 synthetic patients with `make run`."
)
NO_MATCH_TITLE = "No prediction matches these filters"
NO_MATCH = "Choose a longer period or another source."
NOT_FOUND_TITLE = "This prediction is not in the log"
NOT_FOUND = "The address names a prediction that does not exist, or no longer does."
NO_REASONS = "The reasons cannot be computed at the moment because the service is not answering."

SOURCES: Mapping[str, str] = {
    "live": "Live",
    "what-if": "What-if",
    "synthetic": "Synthetic",
    "replay": "Replay",
    "load-test": "Load test",
}
_SOURCE_PATIENTS: Mapping[str, tuple[str, str, str]] = {
    "live": ("live prediction", "live predictions", ""),
    "what-if": ("what-if comparison", "what-if comparisons", ", not real patients,"),
    "synthetic": ("synthetic patient", "synthetic patients", ", not real ones,"),
    "replay": ("replayed patient", "replayed patients", ", not live ones,"),
    "load-test": ("load-test request", "load-test requests", ", not patients,"),
}
ROUTES: Mapping[str, str] = {"/predict": "Prediction", "/predict/batch": "Batch of predictions"}
_REASONS: Mapping[str, str] = {
    "missing": "needed, but not sent",
    "wrong_type": "not of the expected kind",
    "range": "outside the plausible limits",
    "unit": "looks like another unit",
    "zero": "0 stands for missing in some files; send null",
    "fraction": "a fraction where a whole number belongs",
    "no_coding": "a code without its coding",
    "unknown_value": "not one of the allowed words",
    "unknown_key": "a field that does not exist",
    "unknown_parameter": "an address parameter that does not exist",
    "query": "an address parameter that is not allowed",
    "duplicate": "given more than once",
    "malformed": "not readable as JSON",
    "not_finite": "not a finite number",
    "batch_size": "too many or no patients in a batch",
    "log-unavailable": "the log could not be written",
    "log-fate-unknown": "the log did not confirm in time",
}
_FIELDS: Mapping[str, str] = {"body": "The request", "query": "The address", "": "The service"}


def percent(share: float, digits: int = 0) -> str:
    """Write a share from 0 to 1 as a percentage."""
    return f"{share * 100:.{digits}f}{NBSP}%"


def share(part: int, whole: int) -> str:
    """Write a share of a whole as a percentage, "under 1 %" rather than a 0 that is not one."""
    return f"under 1{NBSP}%" if 0 < part < 0.005 * whole else percent(part / whole)


def probability(value: float) -> str:
    """Write a probability without ever claiming 0 % or 100 %."""
    if value < 0.005:
        return f"under 1{NBSP}%"
    if value > 0.995:
        return f"over 99{NBSP}%"
    return percent(value)


def of_hundred(value: float) -> int:
    """Return how many of 100 such patients, 0 to 100."""
    return round(value * 100)


def natural_frequency(value: float) -> str:
    """Say a probability as people among 100."""
    count = of_hundred(value)
    about = "fewer than 1" if count == 0 else "more than 99" if count == 100 else f"about {count}"
    return (
        f"Of 100 patients *referred for angiography in Cleveland in the 1980s* with these "
        f"findings, **{about} had disease**; where disease is rarer this is too high."
    )


def value_words(feature: Feature, value: Any) -> str:
    """Say a value as it travels on the wire (words, true/false, numbers, None)."""
    if value is None:
        return "not known"
    if feature.kind is Kind.BOOLEAN:
        return "yes" if value else "no"
    return str(value) if feature.codes else feature.describe(value)


def finding(name: str, value: Any) -> str:
    """Name a finding with its value, as "Thallium scan: reversible defect"."""
    feature = BY_NAME[name]
    return f"{feature.label}: {value_words(feature, value)}"


def listed(words: Sequence[str]) -> str:
    """Join words as "a, b and c"."""
    return " and ".join(filter(None, (", ".join(words[:-1]), *words[-1:])))


def unknown(missing: Sequence[str]) -> str:
    """Say which findings were not known."""
    if not missing:
        return "All thirteen findings were known."
    labels = [_lower(BY_NAME[name].label) for name in missing]
    sentence = f"Not known ({len(missing)} of {len(FEATURES)}): {listed(labels)}."
    few = len(FEATURES) - len(missing) < 5
    return sentence + (" The estimate rests on very little." if few else "")


def _lower(label: str) -> str:
    return label if label[:2].isupper() else label[0].lower() + label[1:]


def strength(contribution: float) -> str:
    """Grade a contribution in log-odds.

    Strongly: the odds differ by a factor of e = 2.7 or more; clearly: of 1.5 or more.
    """
    size = abs(contribution)
    return "strongly" if size >= 1 else "clearly" if size >= math.log(1.5) else "slightly"


def reason(name: str, value: Any, contribution: float) -> str:
    """Say in one sentence where one finding points."""
    side = "toward" if contribution > 0 else "away from"
    points = f"points **{strength(contribution)} {side} disease**."
    if value is None:
        return f"That “{_lower(BY_NAME[name].label)}” is not known {points}"
    return f"“{finding(name, value)}” {points}"


def reasons(contributions: Sequence[Mapping[str, Any]], n: int = 3) -> list[str]:
    """Return one sentence for each of the `n` findings that weigh most."""
    ranked = sorted(contributions, key=lambda found: -abs(found["contribution"]))
    return [reason(f["feature"], f["value"], f["contribution"]) for f in ranked[:n]]


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


def lacking(labels: Sequence[str]) -> str:
    """Say that a patient lacks what is needed."""
    return f"{listed(labels)} {'is' if len(labels) == 1 else 'are'} needed for an estimate."


def refused(errors: Sequence[tuple[str, str]]) -> str:
    """Say what is wrong with each entry."""
    return "\n".join(f"- {warning(field, message)}" for field, message in errors)


def warning(field: str, message: str) -> str:
    """Name the finding that a message is about."""
    return f"**{BY_NAME[field].label}**: {message}" if field in BY_NAME else message


def log_odds(value: float) -> str:
    """Write a contribution with its sign, a true minus, and no "-0.00"."""
    written = f"{value:+.2f}".replace("-", "−")
    return "0.00" if written[1:] == "0.00" else written


def value_of(name: str, patient: Mapping[str, Any]) -> str:
    """Say one finding's value of a patient as sent."""
    return value_words(BY_NAME[name], patient.get(name))


def weight(name: str, answer: Mapping[str, Any]) -> str:
    """Write one finding's contribution in log-odds."""
    found = answer["explanation"]["contributions"]
    return log_odds(next(c["contribution"] for c in found if c["feature"] == name))


def refusal(field: str, code: str) -> str:
    """Say why a request was refused, from the field and the reason code that were counted."""
    label = BY_NAME[field].label if field in BY_NAME else _FIELDS.get(field, field)
    return f"{label}: {_REASONS.get(code, code.replace('-', ' ').replace('_', ' '))}"


def times(n: int, singular: str, plural: str | None = None) -> str:
    """Write a count with its noun."""
    return f"{n:,} {singular if n == 1 else plural or singular + 's'}"


def milliseconds(value: float | None) -> str:
    """Write a duration in milliseconds with two significant digits."""
    if value is None:
        return "–"
    return f"{value:,.0f}{NBSP}ms" if value >= 10 else f"{value:.2g}{NBSP}ms"


def whose(n: int, source: str) -> str:
    """Say how many rows of which source, as "100 synthetic patients, not real ones,"."""
    singular, plural, but = _SOURCE_PATIENTS[source]
    return times(n, singular, plural) + but


def verdict(
    *, n: int, positive: int, source: str, period: str, ready: bool, refused: int, newest: str
) -> str:
    """Say in one sentence how the service is doing.

    Parameters
    ----------
    n, positive : int
        Predictions in the period, and those at or above the threshold.
    source : str
        Where they come from.
    period : str
        As "in the last 24 hours".
    ready : bool
        Whether the service would answer now.
    refused : int
        Requests refused in the period.
    newest : str
        When the newest prediction was made, in words.
    """
    state = "The service is answering" if ready else "The service is not answering"
    if n == 0:
        return f"{state}, but nothing is new {period}: the newest prediction is from {newest}."
    refusals = f"; {times(refused, 'request was', 'requests were')} refused" if refused else ""
    part = share(positive, n) if n >= 20 else str(positive)  # of few, a percentage says too much
    above = f"{part} of them at or above the threshold"
    return f"{state}: {whose(n, source)} {period}, {above}{refusals}."


def seen_now(now: datetime) -> str:
    """Say when a page looked."""
    return f"seen at {now:%H:%M}, looks again by itself"


def stale_title(period: str) -> str:
    """Head the screen of a period without predictions."""
    return f"No prediction {period}"


def stale(newest: str) -> str:
    """Say where the newest prediction is."""
    return f"The newest one is from {newest}. Choose a longer period above to see it."


def no_refusals(period: str) -> str:
    """Say that nothing was refused."""
    return f"No request was refused {period}."


def refusals_note(n: int, period: str, shown: int) -> str:
    """Introduce the table of refusals."""
    return (
        f"{times(n, 'request was', 'requests were')} refused {period}; the last {shown} kinds are "
        "shown. They are counted by reason, their values are not kept."
    )


def at(moment: datetime, now: datetime) -> str:
    """Write a time for people: the hour today, otherwise the day too."""
    if moment.date() == now.date():
        return f"{moment:%H:%M} today"
    return f"{moment.day} {moment:%b %Y, %H:%M}"


def comparison(before: float, after: float) -> str:
    """Say how two estimates differ."""
    points = abs(of_hundred(after) - of_hundred(before))
    if points == 0:
        return "The estimate stays the same to the nearest percentage point."
    side = "higher" if after > before else "lower"
    unit = "percentage point" if points == 1 else "percentage points"
    return f"The changed patient's estimate is **{points} {unit} {side}**."


PATIENT_LEAD = (
    "Enter what is known; only age and sex are needed. Leave the rest empty or at “not known”."
)
NO_ESTIMATE_TITLE = "The estimate will appear here"
NO_ESTIMATE = (
    "You will see a probability with its range, what it means for 100 such patients, which "
    "findings were not known, and why the model comes to it. Each estimate is written to the log "
    "before it is shown."
)

SHARE_NOTE = "Where a step holds few predictions, its share says little."
LATENCY_NOTE = "From the request to the estimate; writing the row comes after it."
OVERVIEW_LEAD = "This page shows how the service is doing and what it has answered."
API_DOWN_OVERVIEW = (
    "No estimate can be made at the moment. The log can be read; what it holds is complete."
)
PREDICTIONS_LEAD = "Every answer that the service gave, newest first. “Open” shows why."
DOWNLOAD = (
    "The newest 100,000 rows of this selection; `python -m db.export` writes any number of them."
)
OUTCOMES: Mapping[int, str] = {1: "Disease found", 0: "No disease"}
NO_OUTCOME = "Choose what was found."
NO_DAY = "The day is not readable; write it as 2026-01-31, or leave it empty."
RECORDED = "Recorded. An earlier entry stays in the log; the newest counts."


def no_rows(*, ready: bool) -> str:
    """Say in one sentence that the log is empty."""
    return (
        "The service is answering and has no predictions yet."
        if ready
        else "The service is not answering and has no predictions yet."
    )


def side(prediction: int) -> str:
    """Say on which side of the threshold a prediction lies."""
    return "at or above" if prediction else "below"


def outcome(found: int | None) -> str:
    """Say what was found later; empty when nothing is known."""
    return "" if found is None else OUTCOMES[found].lower()


def outcome_known(found: int | None) -> str:
    """Say what is on record of the later-known truth."""
    if found is None:
        return "Nothing is on record yet."
    return f"On record: **{OUTCOMES[found].lower()}**."


def cell(feature: Feature, value: Any) -> str:
    """Write a value for the table of the log, whose headings carry the units."""
    if value is None:
        return "–"
    return f"{value:.10g}" if feature.is_numeric else value_words(feature, value)


def logged(row: Mapping[str, Any], when: str) -> str:
    """Say when and by which model a prediction was made."""
    return (
        f"{SOURCES[row['source']]} · {when} · model {row['model_version']}  \n"
        f"Prediction {row['id']}"
    )
