"""Texts of the Predictions page."""

from __future__ import annotations

from dashboard.shared.numbers import count_noun

NO_MATCH_TITLE = "No matching predictions"
NO_MATCH = "Choose a longer window, another source or cohort."
LEAD = "Every logged prediction, newest first. “Details” shows its explanation."
DOWNLOAD = "The 100,000 most recent rows of this selection; `cardiowatch export` has no limit."
SEARCH = "Prediction ID or patient reference"
SEARCH_HELP = "An ID opens the prediction. A reference finds the patient's newest predictions."
NO_PATIENT = "No prediction has this patient reference."
NOT_SEARCHED = "The service is not responding, so it could not search. Try again."
KEY_CANNOT_READ = "The dashboard's API key lacks the role read, which the search needs."


def found(n: int) -> str:
    """Return how many predictions a search has found."""
    return f"**{count_noun(n, 'prediction')}** with this patient reference, newest first."
