"""Texts of the Poisoning page."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from dashboard.shared.numbers import NBSP, percent
from pipeline.poisoning.metrics import SeedInterval

TITLE = "Poisoning"
LEAD = "Data poisoning: how wrong training labels degrade the model, and which defences help."
NOTHING_TITLE = "No poisoning results yet"
NOTHING = "The current model has none, or the service is not responding. Run `make train`."

MEASURES: Mapping[str, str] = {
    "accuracy": "Accuracy",
    "precision": "PPV (precision)",
    "recall": "Sensitivity (recall)",
    "group recall": "Sensitivity in the attacked group",
    "auc": "AUC",
    "ece": "Expected calibration error",
    "attack success": "Attack success rate",
    "found": "Poisoned labels removed",
    "removed": "Clean labels removed",
}
MEASURE_NOTES: Mapping[str, str] = {
    "accuracy": "Share of patients correctly classified at a threshold of 50 %.",
    "precision": "Of predicted positives, the share with disease.",
    "recall": "Of patients with disease, the share predicted positive.",
    "group recall": "Of patients with disease in the attacked group, the share predicted positive.",
    "auc": "Probability that a patient with disease is ranked above one without; 0.5 = chance.",
    "ece": "Mean absolute difference between predicted and observed probabilities; 0 = perfect.",
    "attack success": "Of the targets that the clean model classifies correctly, the share "
    "misclassified.",
    "found": "Of poisoned training patients, the share the defence removed (recall).",
    "removed": "Of clean training patients, the share the defence removed (false positives).",
}
ATTACK_TITLES: Mapping[str, str] = {
    "random flips": "Random label flips",
    "disease hidden": "Disease labelled healthy",
    "one group": "One group only",
    "most confident flips": "High-confidence label flips",
    "backdoor": "Backdoor",
}
ATTACKS: Mapping[str, str] = {
    "random flips": "Labels of randomly chosen patients are flipped, as by carelessness.",
    "disease hidden": "Randomly chosen patients with disease are labelled healthy.",
    "one group": "Patients with disease of one sex are labelled healthy; a few are enough "
    "(subpopulation attack).",
    "most confident flips": "The labels the clean model is most confident about are flipped: the "
    "strongest attack here.",
    "backdoor": "Randomly chosen patients get a trigger (ST-T wave abnormality with high blood "
    "sugar) and are labelled healthy. At prediction time the trigger makes patients with disease "
    "look healthy; other predictions barely change.",
}
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
LIMITS = """
- **No defence helps against 30 % or more high-confidence flips**: the wrong labels then look like
  the rule and the correct ones like the exception.
- **AUC barely reacts to disease labelled healthy**: the ranking is preserved while the
  probabilities fall. Monitor sensitivity, calibration and the positive rate as well.
- **Defences have a cost even without an attack**: the curves differ at a dose of 0. The strong L2
  penalty makes the model underconfident; the other two remove unusual but correctly labelled
  patients.
- These are 303 patients of one hospital and one kind of model. Other attacks exist, and an attacker
  who knows the defence can adapt to it.
"""
RUN_TITLE = "Run with other settings"
RUN = "Runs all attacks and defences in the background; about 30 s for 30 seeds."


def other_training_data(trained_on: str, here: str) -> str:
    """Return that a run does not use the training data of the current model."""
    return (
        f"The current model was trained on {trained_on}, which is not available here: your run "
        f"will use {here}, the data set shipped with the program."
    )


FAILED = "The calculation failed. Run it again; if it keeps failing, contact your administrator."
CANCELLED = "Cancelled. The results above are unchanged."


def source(settings: Mapping[str, Any], *, own: bool) -> str:
    """Return the source of the results."""
    made = "your run" if own else "computed at training"
    of = f" of {settings['data']}" if "data" in settings else ""
    return (
        f"{made}: {settings['n']} patients{of}, {settings['seeds']} seeds of 5-fold "
        f"cross-validation, C = {settings['c']:g}, attacked group: {settings['group']}"
    )


def verdict(
    clean: Mapping[str, SeedInterval], flips: SeedInterval, auc: SeedInterval, recall: SeedInterval
) -> str:
    """Return in one sentence the effect of 20 % wrong labels.

    Parameters
    ----------
    clean
        AUC and recall with clean labels.
    flips
        AUC with 20 % random flips.
    auc, recall
        With 20 % of the patients with disease labelled healthy.
    """
    return (
        f"20{NBSP}% random label flips lower the AUC from {clean['auc'].mean:.2f} to "
        f"{flips.mean:.2f}; labelling 20{NBSP}% of patients with disease as healthy lowers "
        f"sensitivity from {percent(clean['recall'].mean)} to {percent(recall.mean)}, while AUC "
        f"({auc.mean:.2f}) barely changes."
    )


def format_band(measure: str, band: SeedInterval | None) -> str:
    """Return a mean with its band, as a percentage or a number."""
    if band is None:
        return "–"
    if measure in ("auc", "ece"):
        return f"{band.mean:.2f} ({band.low:.2f}–{band.high:.2f})"
    return f"{percent(band.mean)} ({100 * band.low:.0f}–{100 * band.high:.0f})"


def running(progress: float) -> str:
    """Return the progress of a run."""
    return f"Running: {percent(progress)}" if progress else "Queued"
