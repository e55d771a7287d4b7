"""Accuracy: measured where outcomes are recorded, estimated where they are not.

The estimate uses the model's confidence: among patients with a probability of 90 %, about nine in
ten predictions are right, and a window with many of 50 % has many errors. The probabilities are
calibrated by isotonic regression of the outcome on out-of-fold probabilities, fitted at training.
numpy and the standard library only.

Source: confidence-based estimation; Guillory et al. (2021), ICCV, 1134-1144; isotonic calibration:
Zadrozny & Elkan (2002), KDD, 694-699.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from pipeline.statistics.proportions import Z95, Interval, wilson_interval

Array = NDArray[np.float64]

MIN_N = 30
"""With fewer patients the 95 % interval is wider than 25 points."""

ASSUMPTION = (
    "It assumes that patients with the same findings have the disease as often as in training. If "
    "that has changed, this number does not: only outcomes can show it."
)


@dataclass(frozen=True)
class CalibrationCurve:
    """How often patients with a probability had the disease, out of fold; monotone."""

    probability: Array
    share: Array

    def disease(self, probability: ArrayLike) -> Array:
        """Return the share with disease among patients with these probabilities."""
        asked = np.asarray(probability, dtype=float)
        return np.asarray(np.interp(asked, self.probability, self.share))


@dataclass(frozen=True)
class Accuracy:
    """Accuracy, 0 to 1, measured or estimated."""

    n: int
    """Patients that it rests on."""
    enough_data: bool
    accuracy: float | None
    """None without enough patients."""
    interval: Interval | None
    """95 % interval of the accuracy."""
    positive: float | None
    """Share predicted as disease."""
    disease: float | None
    """Share with disease, observed or expected."""
    note: str

    def to_dict(self) -> dict[str, Any]:
        """Return plain values that JSON can carry."""
        plain = asdict(self)
        plain["interval"] = None if self.interval is None else list(self.interval)
        return plain


def calibration_curve(evidence: Mapping[str, Any]) -> CalibrationCurve | None:
    """Return the curve that training stored; None for a model without it."""
    kept = evidence.get("confidence")
    if kept is None:
        return None
    return CalibrationCurve(np.array(kept["probability"]), np.array(kept["disease"]))


def estimate_accuracy(
    probability: ArrayLike, prediction: ArrayLike, confidence: CalibrationCurve
) -> Accuracy:
    """Return the estimated accuracy of a window without outcomes.

    Parameters
    ----------
    probability, prediction
        Shape (n,); predictions 0 or 1.
    confidence
        The model's own, from `calibration_curve`.
    """
    disease = confidence.disease(probability)
    predicted = np.asarray(prediction, dtype=float)
    if len(predicted) < MIN_N:
        return _too_few(len(predicted), f"{ASSUMPTION} Fewer than {MIN_N} patients are not enough.")
    right = np.where(predicted == 1, disease, 1.0 - disease)
    expected = float(right.mean())
    half = Z95 * float(np.sqrt((right * (1.0 - right)).sum())) / len(right)
    return Accuracy(
        n=len(right),
        enough_data=True,
        accuracy=expected,
        interval=(max(0.0, expected - half), min(1.0, expected + half)),
        positive=float(predicted.mean()),
        disease=float(disease.mean()),
        note=ASSUMPTION,
    )


def measure_accuracy(outcome: ArrayLike, prediction: ArrayLike) -> Accuracy:
    """Return the accuracy of predictions with an outcome.

    Parameters
    ----------
    outcome, prediction
        0 or 1, shape (n,).
    """
    found, predicted = np.asarray(outcome, dtype=float), np.asarray(prediction, dtype=float)
    note = "Of the patients whose outcome is known; they may differ from the others."
    if len(found) < MIN_N:
        return _too_few(len(found), f"{note} Fewer than {MIN_N} are not enough.")
    right = int((found == predicted).sum())
    return Accuracy(
        n=len(found),
        enough_data=True,
        accuracy=right / len(found),
        interval=wilson_interval(right, len(found)),
        positive=float(predicted.mean()),
        disease=float(found.mean()),
        note=note,
    )


def _too_few(n: int, note: str) -> Accuracy:
    return Accuracy(n, False, None, None, None, None, note)
