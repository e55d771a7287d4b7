"""What the Poisoning page says."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from dashboard.shared.numbers import percent
from pipeline.poisoning.metrics import Band

TITLE = "Poisoning"
LEAD = "What wrong labels in the training data would do to the model, and what helps."
NOTHING_TITLE = "No poisoning figures yet"
NOTHING = (
    "The model in use was trained without them, or the service is not answering. `make train` "
    "computes them."
)

MEASURES: Mapping[str, str] = {
    "accuracy": "Accuracy",
    "precision": "Precision",
    "recall": "Recall",
    "group recall": "Recall in one sex",
    "auc": "AUC",
    "ece": "Calibration error",
    "attack success": "Success of the attack",
    "found": "Wrong labels found",
    "removed": "Right labels removed",
}
MEASURE_NOTES: Mapping[str, str] = {
    "accuracy": "Share of patients called right at 50 %.",
    "precision": "Of the patients called ill, the share who are.",
    "recall": "Of the sick patients, the share called ill.",
    "group recall": "Of the sick patients of one sex, the share called ill.",
    "auc": "Chance that a sick patient gets a higher estimate than a healthy one; 0.5 is a coin.",
    "ece": "Mean distance between predicted and observed shares; 0 is perfect.",
    "attack success": "Of the attack's targets that the clean model calls right, the share turned "
    "wrong.",
    "found": "Of the poisoned training patients, the share that the defence left out.",
    "removed": "Of the other training patients, the share that the defence left out as well.",
}
ATTACK_TITLES: Mapping[str, str] = {
    "random flips": "Random flips",
    "disease hidden": "Disease hidden",
    "one group": "One group",
    "most confident flips": "Most confident flips",
    "backdoor": "Backdoor",
}
ATTACKS: Mapping[str, str] = {
    "random flips": "Labels of patients drawn at random are turned round: carelessness, or a "
    "mix-up.",
    "disease hidden": "Sick patients drawn at random are labelled healthy.",
    "one group": "Sick patients of one sex are labelled healthy; a few are enough.",
    "most confident flips": "The labels of which a clean model is most certain are turned round: "
    "the strongest attack here.",
    "backdoor": "Patients drawn at random get a rare pair of findings (ST-T wave abnormality with "
    "high blood sugar) and are labelled healthy. Later, that pair makes a sick patient look "
    "healthy; nothing else changes much.",
}
DEFENCES: Mapping[str, str] = {
    "no defence": "No defence",
    "strong L2 penalty": "Strong L2 penalty",
    "confident learning": "Confident learning",
    "nearest neighbours": "Nearest neighbours",
}
DOSE = "Share of the training patients that is poisoned"
BANDS = (
    "The line is the mean, the band holds the middle 95 % of the draws: one poisoned training may "
    "land anywhere in it. A single bar would be luck."
)
STUDY_TITLE = "Clean against poisoned"
STUDY_NOTE = "No defence; in brackets the middle 95 % of the draws."
STUDY_ROWS = ("Clean labels", "20 % random flips", "20 % disease hidden")
LIMITS_TITLE = "What this cannot tell"
LIMITS = """
- **No defence helps against the most confident flips of 30 % or more**: the wrong labels then look
  like the rule and the right ones like the exception.
- **AUC is nearly blind to hidden disease**: order is kept while the estimates sink. Watch recall,
  calibration and the share of sick patients as well.
- **A defence has a price without an attack, too**: dose zero of each curve is not the same. The
  strong penalty makes estimates timid; the other two leave out patients who are unusual and right.
- These are 303 patients of one hospital and one kind of model. Other attacks exist; who knows the
  defence can plan for it.
"""
AGAIN_TITLE = "Run it again"
AGAIN = (
    "All attacks and defences with other settings, in a process of its own. It takes about half a "
    "minute for 30 draws."
)


def other_data(trained_on: str, here: str) -> str:
    """Say that a run of one's own is not about the patients of the model in use."""
    return (
        f"The model in use was trained on {trained_on}, whose patients are not on this machine: a "
        f"run of your own is made with {here}, the patients that come with the program."
    )


FAILED = (
    "The calculation ended without a result. Run it again; if it stays, tell who runs the service."
)
CANCELLED = "Cancelled. The figures above are as they were."


def source(settings: Mapping[str, Any], *, own: bool) -> str:
    """Say what the figures rest on."""
    made = "your own run" if own else "computed at training"
    of = f" of {settings['data']}" if "data" in settings else ""
    return (
        f"{made}: {settings['n']} patients{of}, {settings['seeds']} draws of five folds and "
        f"poison, penalty C = {settings['c']:g}, group: {settings['group']}"
    )


def verdict(clean: Mapping[str, Band], flips: Band, auc: Band, recall: Band) -> str:
    """Say in one sentence what one wrong label in five does.

    Parameters
    ----------
    clean
        AUC and recall without poison.
    flips
        AUC with 20 % random flips.
    auc, recall
        With the disease of 20 % of the patients hidden.
    """
    return (
        f"One label in five turned at random lowers the AUC from {clean['auc'].mean:.2f} to "
        f"{flips.mean:.2f}; labelling as many sick patients healthy lowers the recall from "
        f"{percent(clean['recall'].mean)} to {percent(recall.mean)}, and the AUC of {auc.mean:.2f} "
        "hardly shows it."
    )


def written(measure: str, band: Band | None) -> str:
    """Write a mean with its band, in the measure's own way."""
    if band is None:
        return "–"
    if measure in ("auc", "ece"):
        return f"{band.mean:.2f} ({band.low:.2f}–{band.high:.2f})"
    return f"{percent(band.mean)} ({100 * band.low:.0f}–{100 * band.high:.0f})"


def running(progress: float) -> str:
    """Say how far a run is."""
    return f"Running: {percent(progress)}" if progress else "Waiting for a free worker"
