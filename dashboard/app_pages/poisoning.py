"""Poisoning: what wrong labels would do to the model; a sentence, the curves, the tables."""

from dashboard import dose_panels

found = dose_panels.found()
if found is None:
    dose_panels.nothing()
else:
    dose_panels.verdict(found)
    dose_panels.curves(found)
    dose_panels.study(found)
    dose_panels.reading()
    dose_panels.again()
