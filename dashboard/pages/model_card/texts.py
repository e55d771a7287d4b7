"""Texts of the model card, on its page and in its file: plain text, no markup."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from dashboard.shared.findings import in_a_sentence
from dashboard.shared.numbers import count_noun, join_words, percent, signed
from pipeline.dataset.heart import CONDITION, DISEASE
from pipeline.fairness.result import MIN_GROUP_SIZE
from pipeline.schema import BY_NAME, FEATURES

TITLE = "Model card"
LEAD = "Performance, calibration, fairness, training data and limitations of the model in service."
NOTHING_TITLE = "Model card unavailable"
NOTHING = (
    "The service that provides it is not responding. Start the service, or create the card from "
    "the model directory with `cardiowatch card`."
)
INCOMPLETE = (
    "The current model lacks these measurements. Retrain with `make train` (about 30 s; the same "
    "data give the same model)."
)
DOWNLOAD = "Download as HTML"
DOWNLOAD_NOTE = "A self-contained file for printing, sharing or archiving."
NOT_A_DEVICE = "Not a medical device, not for diagnosis."
ESTIMATES = (
    f"The model estimates the probability of {CONDITION} ({DISEASE}) from {len(FEATURES)} "
    f"findings. {NOT_A_DEVICE}"
)


def subtitle(version: str) -> str:
    """Return what this is and of which model."""
    return f"{TITLE} · Cardiowatch · model {version} · all figures measured at training"


def verdict(own: Mapping[str, Any], external: Sequence[Mapping[str, Any]]) -> str:
    """Return in one sentence how good the model is, in training and in external validation."""
    auc = own["auc"]["mean"]
    home = (
        f"AUC {auc:.2f} ({100 * auc:.0f} of 100 sick/healthy pairs ranked correctly), expected "
        f"calibration error {_points(own['ece']['mean'])}"
    )
    if not external:
        return f"{home}; no external validation."
    worst = "" if len(external) == 1 else "at worst "
    return (
        f"{home}; external validation: {worst}AUC {min(o['auc'] for o in external):.2f}, expected "
        f"calibration error {_points(max(o['ece'] for o in external))}."
    )


def _points(ece: float) -> str:
    return count_noun(max(1, round(100 * ece)), "percentage point")


TRAINING_OUT_OF_FOLD = "Training data, out of fold"
PREDICTED, OBSERVED = "Mean predicted probability", "Observed share with disease"
CALIBRATION_NOTE = (
    "Out-of-fold predictions. With few patients per row, part of the deviation is chance: an "
    "interval that contains the predicted probability is consistent with good calibration."
)


def calibration(own: Mapping[str, Any]) -> str:
    """Return how predicted and observed probabilities agree."""
    intercept, slope = own["calibration_intercept"], own["calibration_slope"]
    return (
        f"Dotted line = perfect calibration. Expected calibration error "
        f"{100 * own['ece']['mean']:.1f} percentage points; calibration intercept "
        f"{signed(intercept)} (0 = correct on average); calibration slope {_known(slope)} "
        "(below 1 = overconfident)."
    )


CHALLENGERS_NOTE = (
    "AUC: probability that a patient with disease is ranked above one without. Brier score: mean "
    "squared error of the probability, smaller is better. Loss: mean Brier score over complete "
    "patients and four missingness scenarios. Intervals are corrected for overlapping training "
    "folds (Nadeau and Bengio 2003)."
)


def challengers(found: Mapping[str, Any]) -> str:
    """Return which model the selection rule prefers, and by what measurement."""
    first = found["table"][0]["model"]
    kept = found["champion"] == first
    choice = (
        f"{first.capitalize()} is kept as champion"
        if kept
        else f"The selection rule prefers {found['champion']}"
    )
    return (
        f"{choice}. All were fitted to the same {found['folds']} folds in {found['repeats']} "
        f"repeats{'' if found['full'] else ' (ten with --full, as in docs/model.md)'}; selection "
        f"rule: {found['rule']}."
    )


def model_row(found: Mapping[str, Any]) -> dict[str, str]:
    """Return one model of the comparison."""
    apart = found["brier_minus_champion"]
    return {
        "Model": found["model"].capitalize(),
        "AUC": _ranged(found["auc"]["complete"], found["auc_interval"]),
        "Brier score": _ranged(found["brier"]["complete"], found["brier_interval"]),
        "Loss": f"{found['loss']:.4f} ± {found['loss_se']:.4f}",
        "Loss difference from this model": (
            "–"
            if not any(apart)
            else "{} ({} to {})".format(*(signed(value, 3) for value in apart))
        ),
    }


def external_validation(external: Sequence[Mapping[str, Any]]) -> str:
    """Return how the model is calibrated at other hospitals."""
    if not external:
        return (
            "None yet. Run cardiowatch train --external FILE.csv with data from "
            "another hospital. Until then, the probabilities apply only to patients like the "
            "training patients."
        )
    return " ".join(_direction(other) for other in external)


def _direction(other: Mapping[str, Any]) -> str:
    shift = other["calibration_intercept"]
    if shift is None:
        side = "calibration-in-the-large could not be estimated"
    elif abs(shift) < 0.1:
        side = "calibrated on average"
    else:
        side = f"the model {'overestimates' if shift < 0 else 'underestimates'} the risk there"
    missing = [(in_a_sentence(BY_NAME[n].label), k) for n, k in other["missing"].items() if k]
    most = sorted(missing, key=lambda item: -item[1])[:3]
    lacks = join_words([f"{name} in {k}" for name, k in most])
    of = f"{other['n_disease']} of {other['n']} with disease"
    return f"{other['file']}: {side} ({of}; missing: {lacks or 'nothing'})."


def external_row(found: Mapping[str, Any]) -> dict[str, str]:
    """Return the measures of one external validation."""
    return {
        "Patients": f"{found['file']} ({found['n']})",
        "AUC": _ranged(found["auc"], found["auc_interval"]),
        "Brier score": _ranged(found["brier"], found["brier_interval"]),
        "Accuracy": percent(found["accuracy"]),
        "Expected calibration error": f"{100 * found['ece']:.1f} percentage points",
        "Calibration intercept": signed(found["calibration_intercept"]),
        "Calibration slope": _known(found["calibration_slope"]),
    }


def groups_note(evidence: Mapping[str, Any]) -> str:
    """Return how the rates were measured, and that no threshold depends on a group."""
    return (
        f"Out-of-fold predictions at a threshold of "
        f"{percent(evidence['fairness']['threshold'])}; a verdict requires {MIN_GROUP_SIZE} "
        "patients per denominator. Other groups are on the Fairness page. The service applies one "
        "threshold to everyone."
    )


def _ranged(value: float, interval: Sequence[float]) -> str:
    return f"{value:.3f} ({interval[0]:.3f} to {interval[1]:.3f})"


def _known(value: float | None) -> str:
    return "unknown" if value is None else f"{value:.2f}"
