"""Predictions: the log, one page at a time; a row opens the details."""

from dashboard.pages.predictions import panels, texts
from dashboard.shared import widgets
from dashboard.shared.prediction import drawer

widgets.heading("Predictions", texts.LEAD)
with widgets.log_errors_shown():
    chosen = panels.filters()
    panels.search()
    panels.table(chosen)
prediction_id = panels.selected_id()
if prediction_id is not None:
    drawer.prediction_drawer(prediction_id)
