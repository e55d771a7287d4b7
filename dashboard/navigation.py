"""The pages of the bar on top, in its order: titles and addresses."""

from __future__ import annotations

from collections.abc import Mapping

APP = "Cardiowatch"

TITLES: Mapping[str, str] = {
    "overview": "Overview",
    "patient": "Patient",
    "predictions": "Predictions",
    "explanations": "Explanations",
    "model_card": "Model card",
    "fairness": "Fairness",
    "drift": "Drift",
    "poisoning": "Poisoning",
    "load_tests": "Load tests",
}
"""By the names of the folders in `pages`."""

PAGES = tuple(TITLES)

ADDRESSES: Mapping[str, str] = {name: name for name in TITLES} | {
    "overview": "",
    "load_tests": "load-tests",
    "model_card": "model",
}
