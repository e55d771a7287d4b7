"""Explanations: what the model goes by, in training and now; then one prediction."""

from dashboard import overall_panels, patients, widgets

with widgets.reading_the_log("Explanations"):
    model = patients.model_in_use()
    fitted, logged = patients.going_by(model) if model else (None, None)
    shown = fitted or logged
    if shown is None:
        overall_panels.nothing()
    else:
        overall_panels.verdict(fitted, logged)
        overall_panels.picture(fitted, logged)
        overall_panels.readings(fitted, logged)
        overall_panels.other_models(shown)
        overall_panels.predictions()
