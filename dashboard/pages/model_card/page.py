"""Model card: performance, calibration, fairness, training data and limitations."""

from dashboard.pages.model_card import panels

found = panels.found()
if found is not None:
    panels.verdict(found)
    panels.sections(found)
