"""What every page may say: the program, where rows come from, and what is down."""

from __future__ import annotations

from collections.abc import Mapping

from dashboard.shared.numbers import count_noun

ABOUT = (
    "**Cardiowatch** estimates how likely a narrowed coronary artery is and keeps every answer in "
    "a log.\n\nThe model was fitted to 303 patients who were referred for angiography in Cleveland "
    "in the 1980s. It is not a medical device."
)
UNEXPECTED_TITLE = "This page could not be drawn"
UNEXPECTED = (
    "Nothing was sent or lost. Load the page again; if it stays, tell who runs the service."
)
API_DOWN_TITLE = "The service is not answering"
API_DOWN = (
    "No estimate can be made at the moment. What you entered is kept on this page; try again in a "
    "moment."
)
KEY_REJECTED_TITLE = "The service does not let this dashboard in"
KEY_REJECTED = (
    "The service does not know this dashboard's key, or the key does not allow this. Trying again "
    "will not help: tell who runs the service."
)
POOL_BUSY = "Other calculations, yours or of others, come first; try again in a minute."
LOG_UNAVAILABLE_TITLE = "The answer could not be put on record"
LOG_UNAVAILABLE = (
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


def count_of_source(n: int, source: str) -> str:
    """Say how many rows of which source, as "100 synthetic patients, not real ones,"."""
    singular, plural, but = _SOURCE_PATIENTS[source]
    return count_noun(n, singular, plural) + but


def source_phrase(source: str) -> str:
    """Say what the rows of a source are, as "synthetic patients, not real ones"."""
    _, plural, but = _SOURCE_PATIENTS[source]
    return plural + but.rstrip(",")
