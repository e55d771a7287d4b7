"""What pages say of one prediction; nothing here says that one thing brings about another."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

from dashboard.shared.escaping import escape_markdown
from dashboard.shared.findings import warning
from dashboard.shared.numbers import per_hundred
from dashboard.shared.texts import SOURCES
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
    count = per_hundred(value)
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


def rejection_message(
    errors: Sequence[tuple[str, str]],
    detail: str,
    sent: Mapping[str, object] = MappingProxyType({}),
) -> str:
    """Say what is wrong with each entry, or why the service refuses where it is not an entry."""
    said = [(field, _wrong_number(field, sent.get(field)) or told) for field, told in errors]
    entries = "\n".join(f"- {warning(field, message)}" for field, message in said)
    return entries or escape_markdown(detail) or NO_REASON


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


NOT_FOUND_TITLE = "This prediction is not in the log"
NOT_FOUND = "The address names a prediction that does not exist, or no longer does."
OUTCOMES: Mapping[int, str] = {1: "Disease found", 0: "No disease"}
NO_OUTCOME = "Choose what was found."
INVALID_DATE = "The day is not readable; write it as 2026-01-31, or leave it empty."
DATE_OUT_OF_RANGE = (
    "The examination cannot be in the future, nor before 1900; write the day as 2026-01-31."
)
RECORDED = "Recorded. An earlier entry stays in the log; the newest counts."


def recorded_outcome(found: int | None) -> str:
    """Say what is on record of the later-known truth."""
    if found is None:
        return "Nothing is on record yet."
    return f"On record: **{OUTCOMES[found].lower()}**."


def prediction_header(row: Mapping[str, Any], when: str) -> str:
    """Say when and by which model a prediction was made, and which API key asked, if one did."""
    asked = f" · asked with API key {escape_markdown(row['key_id'])}" if row["key_id"] else ""
    return (
        f"{SOURCES[row['source']]} · {when} · model {escape_markdown(row['model_version'])}  \n"
        f"Prediction {row['id']}{asked}"
    )
