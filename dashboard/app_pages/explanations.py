"""Explanations: what the model goes by, in training and now; then one prediction."""

from dashboard import patients, widgets
from dashboard.explanations import panels

with widgets.reading_the_log("Explanations"):
    model = patients.model_in_use()
    fitted, logged = patients.going_by(model) if model else (None, None)
    shown = fitted or logged
    if shown is None:
        panels.nothing()
    else:
        panels.verdict(fitted, logged)
        panels.picture(fitted, logged)
        panels.readings(fitted, logged)
        panels.other_models(shown)
        panels.predictions()
