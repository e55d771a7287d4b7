"""What the model card says, on its page and in its file: plain text, no markup."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from dashboard.shared.findings import in_a_sentence
from dashboard.shared.numbers import NBSP, listed, percent, signed, times
from pipeline.fairness.result import Grouping
from pipeline.schema import BY_NAME

TITLE = "Model card"
LEAD = "Can the model be trusted: how good it is, for whom, and what would speak against it."
NOTHING_TITLE = "The model card is not at hand"
NOTHING = (
    "The service gives it and is not answering. Start it, or write the card from the model's "
    "folder with `python -m dashboard.card`."
)
INCOMPLETE = (
    "The model in use was trained before this was measured. Train it again with `make train`; it "
    "takes about half a minute and gives the same model from the same data."
)
DOWNLOAD = "Download as HTML"
DOWNLOAD_NOTE = "One file that needs no network: to print, to send, to keep with a study."
NOT_A_DEVICE = "Not a medical device, not for diagnosis."
ESTIMATES = (
    "It estimates, from thirteen findings, the probability that a coronary artery is narrowed by "
    f"more than 50{NBSP}%, for patients referred for angiography. {NOT_A_DEVICE}"
)


def about(version: str) -> str:
    """Say what this is and of which model."""
    return (
        f"{TITLE} · Cardiowatch · model {version} · everything below was measured at its training"
    )


def verdict(own: Mapping[str, Any], external: Sequence[Mapping[str, Any]]) -> str:
    """Say in one sentence how good the model is, at home and elsewhere."""
    home = (
        f"Of 100 pairs of a patient with disease and one without, the model ranks "
        f"{_hundred(own['auc']['mean'])} rightly, and its percentages are off by "
        f"{_off(own['ece']['mean'])} on average"
    )
    if not external:
        return f"{home}; at another hospital it was not measured at this training."
    pairs = _hundred(min(other["auc"] for other in external))
    off = _off(max(other["ece"] for other in external))
    where = "at another hospital" if len(external) == 1 else "at other hospitals, at worst,"
    return f"{home}; {where} it ranks {pairs} rightly and is off by {off}."


def _hundred(share: float) -> str:
    return f"{100 * share:.0f}"


def _off(ece: float) -> str:
    return times(max(1, round(100 * ece)), "point")


OWN = "Training patients, out of fold"
CALIBRATION_TITLE = "Do its percentages mean what they say?"
PREDICTED, OBSERVED = "The model said", "Had the disease"
CALIBRATION_ALT = (
    "Observed against predicted share of disease, with 95 % ranges; numbers in the table"
)
CALIBRATION_NOTE = (
    "Each patient was estimated by models that had not seen the patient. With so few in a row, a "
    "part of the distance is chance: a range that reaches the estimate says that they agree."
)


def calibration(own: Mapping[str, Any]) -> str:
    """Say how predicted and observed shares go together."""
    intercept, slope = own["calibration_intercept"], own["calibration_slope"]
    return (
        "On the dotted line as many patients have the disease as the model said. Mean distance "
        f"{100 * own['ece']['mean']:.1f} points; calibration intercept {signed(intercept)} (0 = "
        f"right on average), slope {_known(slope)} (1 = neither too bold nor too timid)."
    )


MODELS_TITLE = "Would another model be better?"
AUC_AXIS = "AUC: 0.5 is a coin, 1 is perfect"
AUC_ALT = "AUC of each model with its 95 % range; numbers in the table"
MODELS_NOTE = (
    "AUC: how often of two patients the one with disease gets the higher estimate. Brier score: "
    "mean squared error of the probability, smaller is better. Loss: the Brier score averaged over "
    "complete patients and four ways of lacking findings. Ranges allow for the folds sharing their "
    "training patients (Nadeau and Bengio 2003)."
)


def models(found: Mapping[str, Any]) -> str:
    """Say which model the rule prefers, and by what measurement."""
    names = [row["model"] for row in found["table"]]
    kept = found["champion"] == names[0]
    first = (
        f"No: the {names[0]} is kept" if kept else f"Perhaps: the rule prefers {found['champion']}"
    )
    return (
        f"{first}. All were fitted to the same {found['folds']} folds in {found['repeats']} repeats"
        f"{'' if found['full'] else ' (ten with --full, as in docs/model.md)'}; chosen is "
        f"{found['rule']}."
    )


def model_row(found: Mapping[str, Any]) -> dict[str, str]:
    """Write one model of the comparison."""
    apart = found["brier_minus_champion"]
    return {
        "Model": found["model"].capitalize(),
        "AUC": _ranged(found["auc"]["complete"], found["auc_interval"]),
        "Brier score": _ranged(found["brier"]["complete"], found["brier_interval"]),
        "Loss": f"{found['loss']:.4f} ± {found['loss_se']:.4f}",
        "Loss minus this model's": (
            "–"
            if not any(apart)
            else f"{signed(apart[0], 3)} ({signed(apart[1], 3)} to {signed(apart[2], 3)})"
        ),
    }


ELSEWHERE_TITLE = "Does it hold at another hospital?"


def elsewhere(external: Sequence[Mapping[str, Any]]) -> str:
    """Say what is known of other hospitals."""
    if not external:
        return (
            "Not known from this training: no other hospital's file was given. Measure it with "
            "python -m pipeline.train --external FILE.csv. Until then, read every percentage as "
            "one for patients who were referred as those of training were."
        )
    return " ".join(_direction(other) for other in external)


def _direction(other: Mapping[str, Any]) -> str:
    shift = other["calibration_intercept"]
    if shift is None:
        side = "whether its percentages are too high or too low cannot be told"
    elif abs(shift) < 0.1:
        side = "its percentages are right on average"
    else:
        side = f"its percentages are too {'high' if shift < 0 else 'low'} there"
    missing = [(in_a_sentence(BY_NAME[n].label), k) for n, k in other["missing"].items() if k]
    most = sorted(missing, key=lambda item: -item[1])[:3]
    lacks = listed([f"{name} in {k}" for name, k in most])
    of = f"{other['n_disease']} of {other['n']} had the disease"
    return f"{other['file']}: {side} ({of}; not known: {lacks or 'nothing'})."


def external_row(found: Mapping[str, Any]) -> dict[str, str]:
    """Write the measures of another hospital."""
    return {
        "Patients": f"{found['file']} ({found['n']})",
        "AUC": _ranged(found["auc"], found["auc_interval"]),
        "Brier score": _ranged(found["brier"], found["brier_interval"]),
        "Accuracy": percent(found["accuracy"]),
        "Off by": f"{100 * found['ece']:.1f} points",
        "Calibration intercept": signed(found["calibration_intercept"]),
        "Slope": _known(found["calibration_slope"]),
    }


GROUPS_TITLE = "Does it treat women and men alike?"
GAPS_ALT = "Signed gaps with their 95 % ranges; numbers in the table"


def gap_axis(group: str, against: str) -> str:
    """Name what is subtracted from what."""
    return f"{group} minus {against}"


def perfect(grouping: Grouping) -> str:
    """Say what a perfect classifier would show."""
    found, parity = grouping.perfect_parity, grouping.demographic_parity
    if found is None or parity is None:
        return ""
    return (
        f"The selection rates differ by {parity.value:.3f}; a perfect classifier's would by "
        f"{found:.3f}, since so much does the disease differ between these groups."
    )


def groups_note(evidence: Mapping[str, Any]) -> str:
    """Say how the figures were made and what is not done with them."""
    return (
        f"Out of fold, at a threshold of {percent(evidence['fairness']['threshold'])}; a verdict "
        "needs 20 patients in each denominator. Age bands, and both crossed, are on the Fairness "
        "page. The service never applies a threshold by sex or age."
    )


def _ranged(value: float, interval: Sequence[float]) -> str:
    return f"{value:.3f} ({interval[0]:.3f} to {interval[1]:.3f})"


def _known(value: float | None) -> str:
    return "not known" if value is None else f"{value:.2f}"
