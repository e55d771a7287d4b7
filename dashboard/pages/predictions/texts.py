"""Texts of the Predictions page."""

from __future__ import annotations

from dashboard.shared.prediction.texts import OUTCOMES

NO_MATCH_TITLE = "No matching predictions"
NO_MATCH = "Choose a longer window or another source."
LEAD = "Every logged prediction, newest first. “Details” shows its explanation."
DOWNLOAD = "The 100,000 most recent rows of this selection; `cardiowatch export` has no limit."


def time_filter(since: str, until: str) -> str:
    """Return the time filter in words."""
    return f"Window: {since} to {until}."


def prediction_label(prediction: int) -> str:
    """Return a prediction's class."""
    return "positive" if prediction else "negative"


def outcome(found: int | None) -> str:
    """Return the outcome; empty = unknown."""
    return "" if found is None else OUTCOMES[found].lower()
