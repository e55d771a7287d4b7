"""Texts of the Overview."""

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
    "/predictions/{id}/outcome": "Outcome",
    "gate": "Rejected before reading",
    "other": "Unknown endpoint",
}
_REASONS: Mapping[str, str] = {
    "missing": "required but missing",
    "wrong_type": "wrong type",
    "range": "outside the plausible range",
    "unit": "looks like another unit",
    "zero": "0 is not a measurement; send null for missing",
    "fraction": "not a whole number",
    "no_coding": "integer code sent without `coding`",
    "unknown_value": "not an allowed label",
    "unknown_key": "unknown field",
    "unknown_parameter": "unknown query parameter",
    "query": "invalid query parameter",
    "duplicate": "duplicate field",
    "malformed": "malformed JSON",
    "not_finite": "not a finite number",
    "batch_size": "batch empty or too large",
    "log-unavailable": "the log could not be written",
    "log-fate-unknown": "write not confirmed in time",
    "busy": "service overloaded (too many requests queued)",
    "not-ready": "the service was not ready",
    "no-key": "API key missing or unknown",
    "no-keys": "the service could not read its API keys",
    "role": "API key lacks the required role",
    "not-local": "only local requests are allowed while no API keys are configured",
    "too-often": "rate limit exceeded for this API key",
    "too-large": "request body too large",
    "not-json": "content type is not JSON",
    "encoded": "compressed request bodies are not supported",
    "header-twice": "duplicate header",
    "http": "unknown endpoint or method not allowed",
    "http-1.0": "HTTP/1.0 does not support this response",
    "no-such-prediction": "prediction not found",
    "no-such-model": "model not found",
    "outcomes-full": "too many outcomes recorded for this prediction",
    "idempotency-key-reused": "Idempotency-Key reused with a different request",
}
_FIELDS: Mapping[str, str] = {"body": "Request body", "query": "Query string"}


def rejection_reason(field: str, code: str) -> str:
    """Return why a request was rejected, from the counted field and reason code."""
    reason = _REASONS.get(code) or escape_markdown(code.replace("-", " ").replace("_", " "))
    if not field:  # not about a field
        return f"{reason[:1].upper()}{reason[1:]}"
    label = (
        BY_NAME[field].label if field in BY_NAME else _FIELDS.get(field) or escape_markdown(field)
    )
    return f"{label}: {reason}"


def route(path: str) -> str:
    """Return the name of an endpoint."""
    return _ROUTES.get(path) or escape_markdown(path)


def verdict(
    *, n: int, positive: int, source: str, window: str, ready: bool, rejections: int, newest: str
) -> str:
    """Return the state of the service in one sentence.

    Parameters
    ----------
    n, positive : int
        Predictions in the window, and how many of them are positive.
    source : str
        Where they come from.
    window : str
        As "in the last 24 hours".
    ready : bool
        Whether the service is ready to predict.
    rejections : int
        Rejection reasons in the window; a request may have several.
    newest : str
        When the newest prediction was made, in words.
    """
    state = "The service is up" if ready else "The service is not responding"
    if n == 0:
        return f"{state}. No predictions {window}; last prediction: {newest}."
    rejected = f"; {rejection_count(rejections)}" if rejections else ""
    # Of few, a percentage would claim too much.
    part = format_share(positive, n) if n >= 20 else str(positive)
    return f"{state}: {count_of_source(n, source)} {window}, {part} positive{rejected}."


def last_updated(now: datetime) -> str:
    """Return when the page was updated."""
    return f"Updated {now:%H:%M}, refreshes every 30 s"


def stale_title(window: str) -> str:
    """Return the title of a window without predictions."""
    return f"No predictions {window}"


def last_prediction(newest: str) -> str:
    """Return when the last prediction was made."""
    return f"Last prediction: {newest}. Choose a longer window above."


def no_rejections(window: str) -> str:
    """Return that nothing was rejected."""
    return f"No rejected requests {window}."


def rejection_count(reasons: int) -> str:
    """Return the number of rejections; a request may count several times."""
    return count_noun(reasons, "rejection")


def rejections_note(n: int, window: str, shown: int) -> str:
    """Return the note above the table of rejected requests."""
    return (
        f"{rejection_count(n)} {window}; most recent first, at most {shown}. A request with three "
        "invalid fields counts three times; values are never stored."
    )


SHARE_NOTE = "Points based on few predictions are unreliable."
LATENCY_NOTE = (
    "From receiving the request to the computed probability, before the write to the database."
)
LEAD = "Service health and recent predictions."
API_DOWN = "Predictions are unavailable at the moment. The log is readable and complete."


def no_rows(*, ready: bool) -> str:
    """Return in one sentence that the log is empty."""
    return (
        "The service is up. No predictions yet."
        if ready
        else "The service is not responding. No predictions yet."
    )


MONITORING_TITLE = "Monitoring status"
_STATUS: Mapping[str, tuple[str, str]] = {
    "green": ("●", "Green"),
    "amber": ("▲", "Amber"),
    "red": ("■", "Red"),
}
"""Each with its own shape, so that colour is not the only sign."""


def no_monitoring_run(source: str) -> str:
    """Return that a source has no monitoring run, and how to start one."""
    return (
        f"No monitoring run yet for {source_phrase(source)}. Run `make monitor` daily; it checks "
        "drift, data quality, fairness and accuracy."
    )


def status(found: str) -> str:
    """Return a status with its shape, coloured."""
    shape, word = _STATUS[found]
    color = {"green": "green", "amber": "orange", "red": "red"}[found]
    return f":{color}[**{shape} {word}**]"


def monitoring_caption(window: str, recorded: str, *, late: bool) -> str:
    """Return the window and the time of a monitoring run."""
    due = " More than two days old. Is `make monitor` still scheduled daily?" if late else ""
    return f"Predictions {window}; monitoring run {recorded}.{due}"


def status_strip_alt(statuses: Sequence[str]) -> str:
    """Return the alternative text of the chart of statuses."""
    counts = [(statuses.count(name), word.lower()) for name, (_, word) in _STATUS.items()]
    listed = ", ".join(f"{count} {word}" for count, word in counts if count)
    return f"Last {count_noun(len(statuses), 'monitoring run')}: {listed}"


VIEW_DRIFT = "View drift details →"


def source_note(source: str) -> str:
    """Return a note on the source if it is not live."""
    return "" if source == "live" else f"Based on {source_phrase(source)}."
