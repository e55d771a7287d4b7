"""Poisoning: what wrong labels would do to the model; a sentence, the curves, the tables."""

from dashboard.pages.poisoning import data, gate, panels

found = data.found()
if found is None:
    panels.nothing()
else:
    panels.verdict(found)
    panels.curves(found)
    panels.study(found)
    panels.limits()
    gate.gate()
    panels.again()
