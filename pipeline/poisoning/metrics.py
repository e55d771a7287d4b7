"""What one attack did to the pooled predictions of many seeds. numpy only."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from pipeline.model.design_matrix import Array
from pipeline.poisoning.attacks import Mask
from pipeline.statistics.metrics import RELIABILITY_BINS, auc

_TAILS = (0.025, 0.975)
_DIGITS = 4  # a tenth of what one seed of thirty moves a mean


class SeedInterval(NamedTuple):
    """A measure over the seeds."""

    mean: float
    low: float
    high: float
    """Between low and high lie the middle 95 % of the seeds: of *one* poisoned training, not of
    the mean."""


METRICS: Mapping[str, str] = {
    "accuracy": "share of patients correctly classified",
    "precision": "share with disease of those predicted positive",
    "recall": "share predicted positive of those with disease",
    "group recall": "the same among the patients of the group",
    "auc": "chance that a patient with disease scores above one without",
    "ece": "mean distance of predicted and observed share over ten bins",
    "attack success": "share of the attack's targets that it turned wrong",
    "found": "share of the changed patients that the defence removed",
    "removed": "share of the unchanged patients that the defence removed",
}


@dataclass(frozen=True)
class ExperimentCell:
    """One attack, dose and defence."""

    attack: str
    dose: float
    """Share of the training patients that the attacker wanted to change."""
    changed: float
    """Share that was changed; smaller where the attack reaches fewer."""
    defence: str
    bands: Mapping[str, SeedInterval | None]
    """By name of `METRICS`; None = not defined, as precision without positive predictions."""

    def to_dict(self) -> dict[str, Any]:
        """Return plain values."""
        return {
            "attack": self.attack, "dose": self.dose, "changed": self.changed,
            "defence": self.defence,
            **{name: None if band is None else list(band) for name, band in self.bands.items()},
        }  # fmt: skip

    @classmethod
    def from_dict(cls, found: Mapping[str, Any]) -> ExperimentCell:
        """Read what `to_dict` wrote."""
        bands = {
            name: None if found[name] is None else SeedInterval(*found[name]) for name in METRICS
        }
        return cls(found["attack"], found["dose"], found["changed"], found["defence"], bands)

    def rows(self) -> Iterator[tuple[Any, ...]]:
        """Yield a row per measure that is defined."""
        for name, band in self.bands.items():
            if band is not None:
                yield (self.attack, self.dose, self.changed, self.defence, name, *band)


def compute_metrics(
    attack: str,
    dose: float,
    defence: str,
    y: Array,
    p: Array,
    group: Mask,
    *,
    success: Array,
    changed: Mask,
    used: Mask,
    removed: Mask | None,
    threshold: float = 0.5,
) -> ExperimentCell:
    """Measure the predictions of every seed and keep mean and middle 95 %.

    Parameters
    ----------
    y
        True labels, shape (n,).
    p
        Pooled predictions out of fold, shape (n_seeds, n).
    group
        Members of the group, shape (n,).
    success
        The attack's success, shape (n_seeds,).
    changed, used, removed
        Rows that the attack changed, that are in the set, and that the defence removed, shape
        (n_sets, m).
    """
    ill, sick = p >= threshold, y == 1
    values: dict[str, Array] = {
        "accuracy": (ill == sick).mean(axis=1),
        "precision": share(ill & sick, ill),
        "recall": share(ill & sick, np.broadcast_to(sick, ill.shape)),
        "group recall": share(ill & sick & group, np.broadcast_to(sick & group, ill.shape)),
        "auc": np.array([auc(y, row)[0] for row in p]),
        "ece": ece(y, p),
        "attack success": success,
    }
    if removed is not None:
        values["found"] = share(removed & changed, changed)
        values["removed"] = share(removed & ~changed, used & ~changed)
    bands = {name: _band(values.get(name)) for name in METRICS}
    return ExperimentCell(
        attack, dose, round(float(changed.sum() / used.sum()), _DIGITS), defence, bands
    )


def share(part: Mask, whole: Mask) -> Array:
    """Return part / whole per row; NaN where the whole is empty."""
    counts = whole.sum(axis=1)
    return np.where(counts > 0, part.sum(axis=1) / np.maximum(counts, 1), np.nan)


def ece(y: Array, p: Array) -> Array:
    """Return the expected calibration error of each row of predictions, 0 = perfect."""
    index = np.minimum((p * RELIABILITY_BINS).astype(int), RELIABILITY_BINS - 1)
    apart = (((p - y) * (index == b)).sum(axis=1) for b in range(RELIABILITY_BINS))
    return np.asarray(sum(np.abs(a) for a in apart) / len(y))


def _band(values: Array | None) -> SeedInterval | None:
    if values is None:
        return None
    known = values[~np.isnan(values)]
    if not len(known):
        return None
    low, high = np.quantile(known, _TAILS)
    numbers = (round(float(v), _DIGITS) + 0.0 for v in (known.mean(), low, high))
    return SeedInterval(*numbers)
