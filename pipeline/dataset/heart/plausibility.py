"""Judge whether decoded values are plausible together, as they are in a reference.

Codes are compared with what a patient's label, sex, age, exercise test and the shares of the
reference lead one to expect of them (naive Bayes, findings in three or four bins). If exchanging
the meanings of a column's codes explains them much better, the coding is another one.

The limit of 8 + n / 4 in log-likelihood: the 294 Hungarian patients reach 18, samples of 20 of them
7; cp counted from 0 and read as Kaggle codes gains 0.4 to 1.9 a patient in Cleveland, Hungary and
in draws of Cleveland with 7 % to 93 % disease.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from itertools import permutations
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from pipeline.model.design_matrix import Array
from pipeline.schema import BY_NAME, TARGET

if TYPE_CHECKING:
    import pandas as pd

HEART_CSV = Path(__file__).resolve().parents[3] / "data" / "heart.csv"
"""The training data that comes with the code."""

CODED = ("cp", "slope", "thal")
REVERSIBLE = ("sex", "exang")
"""Two codes, which a file may have the other way round."""

_CUTS: Mapping[str, tuple[float, ...]] = {
    "age": (48, 56, 62), "thalach": (130, 150, 168), "oldpeak": (0.05, 1.05, 2.05),
    "sex": (0.5,), "exang": (0.5,), TARGET: (0.5,),
}  # fmt: skip
_WEIGHT = 0.6  # of each finding: they are not independent of each other
_LEAST, _PER_PATIENT = 8.0, 0.25
_PER_PATIENT_REVERSED = 0.15
_MIN_KNOWN = 0.5  # a column that most patients lack is a choice of patients
_MIN_REFERENCE = 100  # patients; with fewer the table of a column is that of the shipped data
_MIN_NORMAL_ECG = 0.1  # 40 % to 80 % in the four hospitals


def implausible(
    features: pd.DataFrame,
    disease: pd.Series | None,
    names: list[str],
    reference: pd.DataFrame | None = None,
) -> list[str]:
    """Say what speaks against the coding by which columns were decoded; empty = nothing does.

    Parameters
    ----------
    features
        Decoded columns, UCI codes, NaN = missing.
    disease
        1.0 = disease, NaN = unknown; None = no label whose direction is known.
    names
        The columns whose codes are in question.
    reference
        Patients whose coding is known, with their label; None = those that come with the code.
    """
    frame = _distinct(features, disease)
    found = []
    for name in CODED:
        known = frame[frame[name].notna()]
        if name not in names or len(known) < _MIN_KNOWN * len(frame):
            continue
        if _gain(name, known, reference, prior=True) > _LEAST + _PER_PATIENT * len(known):
            found.append(_sentence(name, known[name], reference))
    ecg = frame["restecg"].dropna()
    if "restecg" in names and len(ecg) >= 20 and (ecg == 0).mean() < _MIN_NORMAL_ECG:
        found.append(_sentence("restecg", ecg, reference))
    return found


def reversed_codes(features: pd.DataFrame, disease: pd.Series | None) -> list[str]:
    """Return the columns of two codes that the other findings fit better the other way round."""
    frame = _distinct(features, disease)
    known = {name: frame[frame[name].notna()] for name in REVERSIBLE}
    return [
        name
        for name, some in known.items()
        if _gain(name, some, None, prior=False) > _LEAST + _PER_PATIENT_REVERSED * len(some)
    ]


def _distinct(features: pd.DataFrame, disease: pd.Series | None) -> pd.DataFrame:
    """Leave out patients who are alike in all that is looked at: they may be one, repeated."""
    frame = features.assign(**{TARGET: np.nan if disease is None else disease})
    binned = frame[["cp", "restecg", "slope", "thal"]].assign(
        **{name: _bins(name, frame[name]) for name in _CUTS}
    )
    return frame[~binned.duplicated()]


def _gain(name: str, frame: pd.DataFrame, reference: pd.DataFrame | None, *, prior: bool) -> float:
    """Return by how much another meaning of the codes raises the log-likelihood; 0 = none does."""
    levels, log_prior, tables = _tables(name, _known(name, reference))
    scores = np.tile(log_prior if prior else np.zeros(len(levels)), (len(frame), 1))
    for other, table in tables.items():
        binned = _bins(other, frame[other])
        scores[binned >= 0] += _WEIGHT * table[:, binned[binned >= 0]].T
    scores -= np.log(np.exp(scores).sum(axis=1, keepdims=True))
    written = frame[name].to_numpy()
    sums = np.array([scores[written == level].sum(axis=0) for level in levels])
    own = range(len(levels))
    return float(max(sums[own, list(p)].sum() for p in permutations(own)) - np.trace(sums))


@lru_cache
def _shipped() -> pd.DataFrame:
    import pandas as pd  # only when a file is read

    return pd.read_csv(HEART_CSV)


def _known(name: str, reference: pd.DataFrame | None) -> pd.DataFrame:
    """Return the reference's patients whose value of a column is known; few = the shipped ones."""
    frame = _shipped() if reference is None else reference[reference[name].notna()]
    return frame if len(frame) >= _MIN_REFERENCE else _shipped()


def _tables(name: str, frame: pd.DataFrame) -> tuple[list[float], Array, dict[str, Array]]:
    """Return a column's levels, their log-shares, and each finding's log-shares within a level."""
    levels = [float(code) for code in BY_NAME[name].codes.values()] or [0.0, 1.0]
    rows = [(frame[name] == level).to_numpy() for level in levels]
    shares = np.array([row.sum() + 2.0 for row in rows])
    tables = {}
    for other, cuts in _CUTS.items():
        binned = _bins(other, frame[other])
        given, bins = binned >= 0, len(cuts) + 1
        if other == name or not given.any():
            continue
        pooled = np.bincount(binned[given], minlength=bins) / given.sum()
        counts = np.array([np.bincount(binned[row & given], minlength=bins) for row in rows])
        smooth = counts + 4.0 * pooled
        tables[other] = np.log(smooth / smooth.sum(axis=1, keepdims=True))
    return levels, np.log(shares / shares.sum()), tables


def _bins(name: str, values: pd.Series) -> np.ndarray:
    """Return the numbers of the bins, from 0; -1 = missing."""
    column = values.to_numpy(dtype=float)
    return np.where(np.isnan(column), -1, np.digitize(column, _CUTS[name]))


def _sentence(name: str, values: pd.Series, patients: pd.DataFrame | None) -> str:
    reference = _known(name, patients)[name].dropna()
    words = BY_NAME[name].code_labels
    apart = {code: float((values == code).mean() - (reference == code).mean()) for code in words}
    code = max(apart, key=lambda code: abs(apart[code]))
    return (
        f"{name} would be {words[code]} in {(values == code).mean():.0%} of patients "
        f"(reference {(reference == code).mean():.0%}), against their other findings"
    )
