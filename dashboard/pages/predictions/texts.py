"""Texts of the Predictions page."""

from __future__ import annotations

NO_MATCH_TITLE = "No matching predictions"
NO_MATCH = "Choose a longer window or another source."
LEAD = "Every logged prediction, newest first. “Details” shows its explanation."
DOWNLOAD = "The 100,000 most recent rows of this selection; `cardiowatch export` has no limit."
