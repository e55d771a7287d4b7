"""What the Predictions page says."""

from __future__ import annotations

from dashboard.shared.prediction.texts import OUTCOMES

NO_MATCH_TITLE = "No prediction matches these filters"
NO_MATCH = "Choose a longer period or another source."
LEAD = "Every answer that the service gave, newest first. “Open” shows why."
DOWNLOAD = (
    "The newest 100,000 rows of this selection; `python -m db.export` writes any number of them."
)


def time_filter(since: str, until: str) -> str:
    """Say which stretch of time is shown."""
    return f"Only predictions from {since} to {until}."


def prediction_label(prediction: int) -> str:
    """Say on which side of the threshold a prediction lies."""
    return "at or above" if prediction else "below"


def outcome(found: int | None) -> str:
    """Say what was found later; empty when nothing is known."""
    return "" if found is None else OUTCOMES[found].lower()
