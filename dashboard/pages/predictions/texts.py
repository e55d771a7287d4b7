"""What the Predictions page says."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from dashboard.shared.escaping import markdown
from dashboard.shared.texts import SOURCES

NO_MATCH_TITLE = "No prediction matches these filters"
NO_MATCH = "Choose a longer period or another source."
NOT_FOUND_TITLE = "This prediction is not in the log"
NOT_FOUND = "The address names a prediction that does not exist, or no longer does."
LEAD = "Every answer that the service gave, newest first. “Open” shows why."
DOWNLOAD = (
    "The newest 100,000 rows of this selection; `python -m db.export` writes any number of them."
)
OUTCOMES: Mapping[int, str] = {1: "Disease found", 0: "No disease"}
NO_OUTCOME = "Choose what was found."
NO_DAY = "The day is not readable; write it as 2026-01-31, or leave it empty."
DAY_NEVER = "The examination cannot be in the future, nor before 1900; write the day as 2026-01-31."
RECORDED = "Recorded. An earlier entry stays in the log; the newest counts."


def stretch(since: str, until: str) -> str:
    """Say which stretch of time is shown."""
    return f"Only predictions from {since} to {until}."


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


def logged(row: Mapping[str, Any], when: str) -> str:
    """Say when and by which model a prediction was made, and which API key asked, if one did."""
    asked = f" · asked with API key {markdown(row['key_id'])}" if row["key_id"] else ""
    return (
        f"{SOURCES[row['source']]} · {when} · model {markdown(row['model_version'])}  \n"
        f"Prediction {row['id']}{asked}"
    )
