"""What the Overview says."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime

from dashboard.shared.escaping import escape_markdown
from dashboard.shared.numbers import count_noun, format_share
from dashboard.shared.texts import count_of_source, source_phrase
from pipeline.schema import BY_NAME

_ROUTES: Mapping[str, str] = {
    "/predict": "Prediction",
    "/predict/batch": "Batch of predictions",
    "/predictions/{id}/outcome": "What was found later",
    "gate": "Turned away unread",
    "other": "No known address",
}
_REASONS: Mapping[str, str] = {
    "missing": "needed, but not sent",
    "wrong_type": "not of the expected kind",
    "range": "outside the plausible limits",
    "unit": "looks like another unit",
    "zero": "0 stands for missing in some files",
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
    "not-ready": "the service was not ready",
    "no-key": "the API key was missing or not known",
    "no-keys": "the service could not read its API keys",
    "role": "the API key does not allow this",
    "not-local": "without API keys only programs of the service's own machine may ask",
    "too-often": "the API key asked too often",
    "too-large": "the request was too large",
    "not-json": "the request was not sent as JSON",
    "encoded": "the request was sent compressed",
    "header-twice": "a header was sent twice",
    "http": "no such address, or not in this way",
    "http-1.0": "asked in HTTP 1.0, which cannot take this answer",
    "no-such-prediction": "there is no such prediction",
    "no-such-model": "there is no such model",
    "outcomes-full": "the prediction takes no more outcomes",
    "idempotency-key-reused": "one Idempotency-Key was used for two requests",
}
_FIELDS: Mapping[str, str] = {"body": "The request", "query": "The address"}


def rejection_reason(field: str, code: str) -> str:
    """Say why a request was refused, from the field and the reason code that were counted."""
    reason = _REASONS.get(code) or escape_markdown(code.replace("-", " ").replace("_", " "))
    if not field:  # not about what was sent
        return f"{reason[:1].upper()}{reason[1:]}"
    label = (
        BY_NAME[field].label if field in BY_NAME else _FIELDS.get(field) or escape_markdown(field)
    )
    return f"{label}: {reason}"


def route(path: str) -> str:
    """Say what was asked for."""
    return _ROUTES.get(path) or escape_markdown(path)


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
        Reasons for which requests were refused in the period; a request may have several.
    newest : str
        When the newest prediction was made, in words.
    """
    state = "The service is answering" if ready else "The service is not answering"
    if n == 0:
        return f"{state}, but nothing is new {period}: the newest prediction is from {newest}."
    refusals = f"; {rejection_count(refused)}" if refused else ""
    part = (
        format_share(positive, n) if n >= 20 else str(positive)
    )  # of few, a percentage says too much
    above = f"{part} of them at or above the threshold"
    return f"{state}: {count_of_source(n, source)} {period}, {above}{refusals}."


def last_updated(now: datetime) -> str:
    """Say when a page looked."""
    return f"seen at {now:%H:%M}, looks again by itself"


def stale_title(period: str) -> str:
    """Head the screen of a period without predictions."""
    return f"No prediction {period}"


def last_prediction(newest: str) -> str:
    """Say where the newest prediction is."""
    return f"The newest one is from {newest}. Choose a longer period above to see it."


def no_rejections(period: str) -> str:
    """Say that nothing was refused."""
    return f"No request was refused {period}."


def rejection_count(reasons: int) -> str:
    """Say how much was refused; reasons are counted, and a request may have had several."""
    if reasons == 1:
        return "1 request was refused"
    return f"requests were refused for {reasons:,} reasons in all"


def rejections_note(n: int, period: str, shown: int) -> str:
    """Introduce the table of refusals."""
    said = rejection_count(n)
    newest = "newest kind is" if shown == 1 else f"newest {shown} kinds are"
    return (
        f"{said[:1].upper()}{said[1:]} {period}; the {newest} shown. A request with three wrong "
        "fields counts three times; values are not kept."
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


MONITORING_TITLE = "Has anything changed?"
_STATUS: Mapping[str, tuple[str, str]] = {
    "green": ("●", "Green"),
    "amber": ("▲", "Amber"),
    "red": ("■", "Red"),
}
"""Each with a shape of its own: the colour is never the only sign."""


def no_monitoring_run(source: str) -> str:
    """Say that no pass looked at the predictions of a source, and how one is made."""
    return (
        f"No monitoring run yet for {source_phrase(source)}. Run `make monitor` daily; it checks "
        "drift, data quality, fairness and accuracy."
    )


def status(found: str) -> str:
    """Write a status with its shape, coloured."""
    shape, word = _STATUS[found]
    color = {"green": "green", "amber": "orange", "red": "red"}[found]
    return f":{color}[**{shape} {word}**]"


def monitoring_caption(window: str, recorded: str, *, late: bool) -> str:
    """Say which window a pass looked at, and when it was made."""
    due = " It is more than two days old: is `make monitor` still run every day?" if late else ""
    return f"Predictions {window}, looked at {recorded}.{due}"


def status_strip_alt(statuses: Sequence[str]) -> str:
    """Say in words what the strip of passes shows."""
    counts = [(statuses.count(name), word.lower()) for name, (_, word) in _STATUS.items()]
    told = ", ".join(f"{count} {word}" for count, word in counts if count)
    return f"The last {count_noun(len(statuses), 'pass', 'passes')}: {told}"


VIEW_DRIFT = "Look closer: what has changed, and since when"


def source_note(source: str) -> str:
    """Say whose predictions were looked at when they are not those of live patients."""
    return "" if source == "live" else f"They are {source_phrase(source)}."
