"""The pages of the bar on top, in its order: titles and addresses."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

APP = "Cardiowatch"


class Page(NamedTuple):
    """A page of the bar on top."""

    title: str
    address: str
    """Its path; empty = the first page."""


PAGES: Mapping[str, Page] = {
    "overview": Page("Overview", ""),
    "patient": Page("Patient", "patient"),
    "batch": Page("Batch", "batch"),
    "predictions": Page("Predictions", "predictions"),
    "explanations": Page("Explanations", "explanations"),
    "model_card": Page("Model card", "model"),
    "fairness": Page("Fairness", "fairness"),
    "drift": Page("Drift", "drift"),
    "poisoning": Page("Poisoning", "poisoning"),
    "load_tests": Page("Load tests", "load-tests"),
}
"""By the names of the folders in `pages`."""
