"""Texts of the Poisoning page."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from dashboard.shared.escaping import escape_markdown
from dashboard.shared.numbers import NBSP, join_words, percent
from pipeline.dataset.heart import TRIGGER
from pipeline.poisoning.metrics import SeedInterval
from pipeline.schema import BY_NAME

TITLE = "Poisoning"
LEAD = "Data poisoning: how wrong training labels degrade the model, and which defences help."
NOTHING_TITLE = "No poisoning results yet"
NOTHING = "The current model has none, or the service is not responding. Run `make train`."

Titled = Mapping[str, Sequence[str]]
"""Name -> its title and what it is."""
_TRIGGER = join_words(
    [f"{BY_NAME[name].label}: {BY_NAME[name].format_value(code)}" for name, code in TRIGGER.items()]
)
MEASURES: Titled
ATTACKS: Titled
MEASURES, ATTACKS = tomllib.loads(
    Path(__file__).with_name("experiment.toml").read_text("utf-8").replace("TRIGGER", _TRIGGER)
).values()
DEFENCES: Mapping[str, str] = {
    "no defence": "No defence",
    "strong L2 penalty": "Strong L2 penalty",
    "confident learning": "Confident learning",
    "nearest neighbours": "Nearest neighbours",
}
DOSE_AXIS = "Poisoned share of the training data"
BAND_NOTE = (
    "Line: mean; band: middle 95 % of seeds. One run alone is unreliable: it may land anywhere in "
    "the band."
)
STUDY_TITLE = "Clean versus poisoned"
STUDY_NOTE = "No defence; in brackets the middle 95 % of seeds."
STUDY_ROWS = ("Clean labels", "20 % random label flips", "20 % disease labelled healthy")
LIMITS_TITLE = "Limitations"
RUN_TITLE = "Run with other settings"
RUN = "Runs all attacks and defences in the background; about 30 s for 30 seeds."


def limits(settings: Mapping[str, Any]) -> str:
    """Return the limitations, as a list."""
    of = f" of {escape_markdown(settings['data'])}" if "data" in settings else ""
    return f"""
- **Defences fail where high-confidence flips are many**: the wrong labels then look like the rule
  and the correct ones like the exception.
- **AUC alone is not enough**: when disease is labelled healthy, the ranking may be preserved while
  the probabilities fall. Monitor sensitivity, calibration and the positive rate as well.
- **Defences may have a cost even without an attack**: compare the curves at a dose of 0. The strong
  L2 penalty makes the model underconfident; the other two remove unusual but correctly labelled
  patients.
- These are {settings["n"]:,} patients{of} and one kind of model. Other attacks exist, and an
  attacker who knows the defence can adapt to it.
"""


def source(settings: Mapping[str, Any], *, own: bool) -> str:
    """Return the source of the results."""
    made = "your run" if own else "computed at training"
    of = f" of {settings['data']}" if "data" in settings else ""
    return (
        f"{made}: {settings['n']} patients{of}, {settings['seeds']} seeds of 5-fold "
        f"cross-validation, C = {settings['c']:g}, attacked group: {settings['group']}"
    )


def verdict(
    clean: Mapping[str, SeedInterval | None],
    flips: Mapping[str, SeedInterval | None],
    hidden: Mapping[str, SeedInterval | None],
) -> str:
    """Return in one sentence the effect of 20 % wrong labels.

    Parameters
    ----------
    clean, flips, hidden
        The measures with clean labels, with 20 % random flips, and with 20 % of the patients with
        disease labelled healthy.
    """

    def mean(bands: Mapping[str, SeedInterval | None], measure: str) -> float:
        band = bands[measure]
        return float("nan") if band is None else band.mean

    return (
        f"20{NBSP}% random label flips take the AUC from {mean(clean, 'auc'):.2f} to "
        f"{mean(flips, 'auc'):.2f}; labelling 20{NBSP}% of patients with disease as healthy takes "
        f"sensitivity from {percent(mean(clean, 'recall'))} to {percent(mean(hidden, 'recall'))} "
        f"(AUC {mean(hidden, 'auc'):.2f})."
    )


def format_band(measure: str, band: SeedInterval | None) -> str:
    """Return a mean with its band, as a percentage or a number."""
    if band is None:
        return "–"
    if measure in ("auc", "ece"):
        return f"{band.mean:.2f} ({band.low:.2f}–{band.high:.2f})"
    return f"{percent(band.mean)} ({100 * band.low:.0f}–{100 * band.high:.0f})"
