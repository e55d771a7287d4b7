"""Poisoning: how wrong training labels degrade the model; curves, tables, the gate."""

from dashboard.pages.poisoning import data, gate, panels

found = data.current_results()
if found is None:
    panels.no_results()
else:
    panels.verdict(found)
    panels.dose_response(found)
    panels.clean_vs_poisoned(found)
    panels.limits(found)
    gate.gate()
    panels.run_form()
