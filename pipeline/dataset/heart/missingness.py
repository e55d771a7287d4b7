"""Blank cells of complete patients the way other hospitals lack them.

The shares follow the counts of `?` (and of 0 for chol and trestbps) in UCI's processed files of the
three other hospitals. The Hungarian ones were checked against the file; the other two hospitals'
are approximate, as remembered, and were not checked. They describe which examinations were done,
not who was ill, and no label of another hospital is read anywhere before the model is final.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from pipeline.model.design_matrix import Array
from pipeline.schema import FEATURES, NAMES


@dataclass(frozen=True)
class MissingnessProfile:
    """How often a hospital lacks each value."""

    name: str
    missing_rates: Mapping[str, float]
    """Share of patients without the value, independently of the others."""
    jointly_missing: tuple[tuple[str, ...], float] = ((), 0.0)
    """Values that are lacking together (an examination that was not done), and how often."""
    slope_requires_st_depression: bool = False
    """The slope of an ST segment that was not depressed (oldpeak 0) was not recorded."""


_OPTIONAL = tuple(feature.name for feature in FEATURES if not feature.required)

PROFILES: tuple[MissingnessProfile, ...] = (
    MissingnessProfile(
        "Hungarian",
        {"ca": 0.99, "thal": 0.90, "chol": 0.08, "fbs": 0.03},
        slope_requires_st_depression=True,
    ),
    MissingnessProfile(
        "Switzerland",
        {"chol": 1.0, "ca": 0.96, "fbs": 0.61, "thal": 0.42, "slope": 0.14, "oldpeak": 0.05},
    ),
    MissingnessProfile(
        "Long Beach",
        {"ca": 0.99, "thal": 0.83, "chol": 0.28, "fbs": 0.04},
        jointly_missing=(("trestbps", "thalach", "exang", "oldpeak", "slope"), 0.28),
        slope_requires_st_depression=True,
    ),
    # Nobody knows which examinations the next hospital leaves out.
    MissingnessProfile("random", dict.fromkeys(_OPTIONAL, 0.3)),
)


def apply_missingness(rows: Array, site: MissingnessProfile, rng: np.random.Generator) -> Array:
    """Return a copy of the patients with cells blanked at random as the site lacks them.

    Parameters
    ----------
    rows
        UCI codes, shape (n, 13), NaN = missing.
    site
        The hospital to imitate.
    rng
        Draws one number per cell and one per patient, whatever the site.
    """
    masked = rows.copy()
    shares = np.array([site.missing_rates.get(name, 0.0) for name in NAMES])
    masked[rng.random(rows.shape) < shares] = np.nan
    names, share = site.jointly_missing
    absent = rng.random(len(rows)) < share
    for name in names:
        masked[absent, NAMES.index(name)] = np.nan
    if site.slope_requires_st_depression:
        flat = rows[:, NAMES.index("oldpeak")] == 0
        masked[flat, NAMES.index("slope")] = np.nan
    return masked


PATTERNS: Mapping[str, tuple[str, ...]] = {
    "no thallium scan": ("thal",),
    "no fluoroscopy": ("ca",),
    "no imaging": ("ca", "thal"),
    "no exercise test": ("thalach", "exang", "oldpeak", "slope"),
    "no exercise ECG": ("oldpeak", "slope"),
    "no resting ECG": ("restecg",),
    "no laboratory": ("chol", "fbs"),
    "no blood pressure": ("trestbps",),
    "no history of chest pain": ("cp",),
    "no exercise test, no imaging": ("thalach", "exang", "oldpeak", "slope", "ca", "thal"),
    "history and blood pressure only": tuple(n for n in _OPTIONAL if n not in ("cp", "trestbps")),
    "age and sex only": _OPTIONAL,
}
"""The unknown findings of patients whose work-up is not, or not yet, complete."""
