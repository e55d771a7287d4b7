"""What the Overview says."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime

from dashboard.texts.escaping import markdown
from dashboard.texts.general import SOURCES, whose
from dashboard.texts.numbers import share, times
from pipeline.schema import BY_NAME

_ROUTES: Mapping[str, str] = {"/predict": "Prediction", "/predict/batch": "Batch of predictions"}
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
    "busy": "too many requests were waiting",
}
_FIELDS: Mapping[str, str] = {"body": "The request", "query": "The address", "": "The service"}


def refusal(field: str, code: str) -> str:
    """Say why a request was refused, from the field and the reason code that were counted."""
    label = BY_NAME[field].label if field in BY_NAME else _FIELDS.get(field) or markdown(field)
    reason = _REASONS.get(code) or markdown(code.replace("-", " ").replace("_", " "))
    return f"{label}: {reason}"


def route(path: str) -> str:
    """Say what was asked for."""
    return _ROUTES.get(path) or markdown(path)


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


SHARE_NOTE = "Where a step holds few predictions, its share says little."
LATENCY_NOTE = "From the request to the estimate; writing the row comes after it."
LEAD = "This page shows how the service is doing and what it has answered."
API_DOWN = "No estimate can be made at the moment. The log can be read; what it holds is complete."


def no_rows(*, ready: bool) -> str:
    """Say in one sentence that the log is empty."""
    return (
        "The service is answering and has no predictions yet."
        if ready
        else "The service is not answering and has no predictions yet."
    )


WATCH_TITLE = "Has anything changed?"
NOT_WATCHED = (
    "No monitoring pass yet: run `make monitor` once a day. It looks for drift, broken values, "
    "unequal treatment and wrong answers."
)
_STATUS: Mapping[str, tuple[str, str]] = {
    "green": ("●", "Green"),
    "amber": ("▲", "Amber"),
    "red": ("■", "Red"),
}
"""Each with a shape of its own: the colour is never the only sign."""


def status(found: str) -> str:
    """Write a status with its shape, coloured."""
    shape, word = _STATUS[found]
    color = {"green": "green", "amber": "orange", "red": "red"}[found]
    return f":{color}[**{shape} {word}**]"


def watched(window: str, recorded: str, *, late: bool) -> str:
    """Say which window a pass looked at, and when it was made."""
    due = " It is more than two days old: is `make monitor` still run every day?" if late else ""
    return f"Predictions {window}, looked at {recorded}.{due}"


def strip(statuses: Sequence[str]) -> str:
    """Say in words what the strip of passes shows."""
    counts = [(statuses.count(name), word.lower()) for name, (_, word) in _STATUS.items()]
    told = ", ".join(f"{count} {word}" for count, word in counts if count)
    return f"The last {times(len(statuses), 'pass', 'passes')}: {told}"


LOOK_CLOSER = "Look closer: what has changed, and since when"


def of_whom(source: str) -> str:
    """Say whose predictions were looked at when they are not those of live patients."""
    return (
        "" if source == "live" else f"They are {SOURCES[source].lower()} patients, not live ones."
    )
