"""Batch: estimate and log the patients of a CSV file, all of them or none."""

from dashboard.pages.batch import panels, texts
from dashboard.shared import widgets

widgets.heading("Batch", texts.LEAD)
panels.template()
panels.upload()
