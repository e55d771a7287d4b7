"""Predictions: the log, one page at a time; a row opens what was said, why, and what was found."""

from dashboard import logbook, widgets
from dashboard.texts import predictions as texts

widgets.heading("Predictions", texts.LEAD)
chosen = logbook.filters()
with widgets.reading_the_log():
    logbook.table(chosen)
prediction_id = logbook.opened()
if prediction_id is not None:
    logbook.drawer(prediction_id)
