"""Texts that several pages show: the program, sources, and what is unavailable."""

from __future__ import annotations

from collections.abc import Mapping

from dashboard.shared.numbers import count_noun
from pipeline.dataset.heart import CONDITION

ABOUT = (
    f"**Cardiowatch** estimates the probability of {CONDITION} and logs every prediction.\n\n"
    "The page Model card says whom its model was trained on. It is not a medical device."
)
UNEXPECTED_TITLE = "This page could not be displayed"
UNEXPECTED = (
    "Nothing was sent or lost. Reload the page; if the error persists, contact your administrator."
)
API_DOWN_TITLE = "The service is not responding"
API_DOWN = (
    "Predictions are unavailable at the moment. Your entries are still on this page; try again "
    "shortly."
)
KEY_REJECTED_TITLE = "The dashboard's API key was rejected"
KEY_REJECTED = (
    "The API key is unknown or lacks the required role. Retrying will not help; contact your "
    "administrator."
)
POOL_BUSY = "Another calculation is running or queued. Try again in a minute."
JOB_FAILED = (
    "The calculation failed. Run it again; if it keeps failing, contact your administrator."
)
JOB_CANCELLED = "Cancelled. Nothing was stored."
LOG_UNAVAILABLE_TITLE = "The prediction could not be logged"
LOG_UNAVAILABLE = (
    "Every prediction is logged before it is shown, and the log cannot be written at the moment. "
    "Your entries are still on this page; try again shortly."
)
LOG_DOWN_TITLE = "The log cannot be read"
LOG_DOWN = (
    "The database is not responding, so nothing can be shown. No logged prediction is lost. This "
    "page retries automatically."
)
STANDBY = "Read from a standby of the database, whose newest transaction is of {} ({} ago)."
EMPTY_TITLE = "No predictions yet"
EMPTY = (
    "Every prediction the service makes appears here. Enter a patient to make the first one, or "
    "send 100 synthetic patients with `make run`."
)
POSITIVE_HELP = "Positive: at or above the threshold."
SOURCES: Mapping[str, str] = {
    "live": "Live",
    "what-if": "What-if",
    "synthetic": "Synthetic",
    "replay": "Replay",
    "load-test": "Load test",
}
_SOURCE_PATIENTS: Mapping[str, tuple[str, str, str]] = {
    "live": ("live prediction", "live predictions", ""),
    "what-if": ("what-if comparison", "what-if comparisons", " (not real patients)"),
    "synthetic": ("synthetic patient", "synthetic patients", " (not real patients)"),
    "replay": ("replayed patient", "replayed patients", " (not live patients)"),
    "load-test": ("load-test request", "load-test requests", " (not patients)"),
}


def count_of_source(n: int, source: str) -> str:
    """Return the number of rows of a source, as "100 synthetic patients (not real patients)"."""
    singular, plural, note = _SOURCE_PATIENTS[source]
    return count_noun(n, singular, plural) + note


def source_phrase(source: str) -> str:
    """Return what the rows of a source are, as "synthetic patients (not real patients)"."""
    _, plural, note = _SOURCE_PATIENTS[source]
    return plural + note
