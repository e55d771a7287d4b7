"""Texts about one prediction; nothing here claims a cause."""

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
    "**Not for diagnosis.** This is the output of a statistical model trained on 303 patients. It "
    "is not a medical device and does not replace an examination or clinical judgement."
)
INTERVAL_LABEL = "95 % interval of the estimate (bootstrap), not of this patient's outcome"
DISEASE = "Disease: at least one coronary artery narrowed by more than 50 %."
NO_REASON = "The service rejected this without giving a reason. Contact your administrator."
NO_REASONS = "The explanation is unavailable at the moment."


def natural_frequency(value: float) -> str:
    """Return a probability as a natural frequency: a number of 100 patients."""
    count = per_hundred(value)
    about = "Fewer than 1" if count == 0 else "More than 99" if count == 100 else f"About {count}"
    return (
        f"**{about} of 100 such patients would be expected to have disease**, if they were "
        "*referred for angiography in Cleveland in the 1980s*. Where disease is rarer, this "
        "estimate is too high."
    )


REASONS_NOTE = (
    "Compared with the average training patient. These are associations in historical data; they "
    "do not show what a treatment would change."
)
WATERFALL_NOTE = (
    "Waterfall chart, read from top to bottom: it starts at the average training patient; each bar "
    "adds one finding, to the right if it increases the estimated risk, to the left if it "
    "decreases it; the last marker is this patient. The scale is log-odds, on which contributions "
    "add up: **0 = 50 %**; a bar of length 0 means no effect on the estimate. The top axis shows "
    "probabilities."
)


def rejection_message(
    errors: Sequence[tuple[str, str]],
    detail: str,
    sent: Mapping[str, object] = MappingProxyType({}),
) -> str:
    """Return what is wrong with each entry, or why the service rejected the request."""
    messages = [(field, _wrong_number(field, sent.get(field)) or text) for field, text in errors]
    entries = "\n".join(f"- {warning(field, message)}" for field, message in messages)
    return entries or escape_markdown(detail) or NO_REASON


def _wrong_number(field: str, value: object) -> str | None:
    """Return what is wrong with a number; the API's own message is for programmers."""
    feature = BY_NAME.get(field)
    if feature is None or not feature.is_numeric or not isinstance(value, float):
        return None
    limits = f"enter a value from {feature.low:g} to {feature.high:g} {feature.unit}"
    empty = "" if feature.required else ", or leave it empty if unknown"
    other = feature.unit_hint
    if value == 0 and feature.zero_is_missing:
        why = "0 is not a measurement"
    elif other is not None and other.low <= value <= other.high:
        why = other.message
    else:
        why = "outside the plausible range"
    return f"{why}; {limits}{empty}"


NOT_FOUND_TITLE = "Prediction not found"
NOT_FOUND = "There is no prediction with this ID, or it has been deleted."
OUTCOMES: Mapping[int, str] = {1: "Disease found", 0: "No disease"}
NO_OUTCOME = "Choose an outcome."
INVALID_DATE = "Enter the date as 2026-01-31, or leave it empty."
DATE_OUT_OF_RANGE = "The examination date must be between 1900 and today, for example 2026-01-31."
RECORDED = "Outcome recorded. Earlier entries stay in the log; the latest one counts."


def recorded_outcome(found: int | None) -> str:
    """Return the recorded outcome in a sentence."""
    if found is None:
        return "No outcome recorded."
    return f"Recorded outcome: **{OUTCOMES[found].lower()}**."


def prediction_header(row: Mapping[str, Any], when: str) -> str:
    """Return source, time, model, ID and API key of a prediction."""
    key = f" · API key {escape_markdown(row['key_id'])}" if row["key_id"] else ""
    return (
        f"{SOURCES[row['source']]} · {when} · model {escape_markdown(row['model_version'])}  \n"
        f"Prediction {row['id']}{key}"
    )
