"""Model card: can the model be trusted? A sentence, then the sections, then the limits."""

from dashboard.pages.model_card import panels

found = panels.found()
if found is not None:
    panels.verdict(found)
    panels.sections(found)
