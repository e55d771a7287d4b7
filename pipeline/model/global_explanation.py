"""Global explanation over many patients: exact contributions from how often each value occurs.

The model is additive, so a feature's contribution depends on its own value alone. Counts of values
are therefore enough for the bars, the swarm and the dependence of every feature, exactly, without
any patient's row: the same for 303 training patients and for a million logged ones.

A contribution is `points(value) - mean points of the training patients`, in log-odds (see
`pipeline.model`). numpy only.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from pipeline.model import Model
from pipeline.model.design_matrix import Array
from pipeline.model.inputs import check_counts, patients
from pipeline.model.reference import ValueCounts
from pipeline.schema import BY_NAME, FEATURES, NAMES, Row

if TYPE_CHECKING:
    import pandas as pd

TOP_N = 5
"""Findings named for a patient."""


@dataclass(frozen=True)
class FeatureEffect:
    """One feature's contributions in a set of patients; three lists in the same order."""

    feature: str
    values: tuple[float | None, ...]
    """The different values, ascending; None (missing) last."""
    contributions: tuple[float, ...]
    """Log-odds; above 0 toward disease, compared with the average training patient."""
    counts: tuple[int, ...]
    """Patients with this value."""

    @property
    def mean_absolute_contribution(self) -> float:
        """Mean absolute contribution per patient, in log-odds; 0 without patients."""
        return self._mean(abs)

    @property
    def mean_contribution(self) -> float:
        """Mean contribution per patient; 0 for the training patients themselves."""
        return self._mean(float)

    def _mean(self, of: Callable[[float], float]) -> float:
        pairs, n = zip(self.contributions, self.counts, strict=True), sum(self.counts)
        return sum(of(size) * count for size, count in pairs) / n if n else 0.0


@dataclass(frozen=True)
class GlobalExplanation:
    """The contributions of every feature in a set of patients."""

    n: int
    version: str
    base_value: float
    """Mean log-odds of the training patients."""
    effects: Mapping[str, FeatureEffect]
    """One per feature, in the order of `FEATURES`."""

    @property
    def ranking(self) -> tuple[str, ...]:
        """The features, most important first."""
        return tuple(
            sorted(self.effects, key=lambda name: -self.effects[name].mean_absolute_contribution)
        )

    def to_dict(self) -> dict[str, Any]:
        """Return plain values, safe for JSON."""
        return {
            "n": self.n,
            "model_version": self.version,
            "scale": "log-odds",
            "base_value": self.base_value,
            "features": [
                {
                    "feature": name,
                    "mean_absolute_contribution": self.effects[name].mean_absolute_contribution,
                    "mean_contribution": self.effects[name].mean_contribution,
                    "values": list(self.effects[name].values),
                    "contributions": list(self.effects[name].contributions),
                    "counts": list(self.effects[name].counts),
                }
                for name in self.ranking
            ],
        }

    def frame(self) -> pd.DataFrame:
        """Return one row per feature and value: feature, value, contribution, patients."""
        import pandas as pd  # imported only when a frame is wanted

        rows = [
            (name, value, contribution, count_values)
            for name in self.ranking
            for value, contribution, count_values in zip(
                self.effects[name].values,
                self.effects[name].contributions,
                self.effects[name].counts,
                strict=True,
            )
        ]
        return pd.DataFrame(rows, columns=["feature", "value", "contribution", "patients"])


def explain_globally(model: Model, counts: ValueCounts) -> GlobalExplanation:
    """Explain a set of patients by how often each value occurs among them.

    Parameters
    ----------
    model
        The scorecard that explains.
    counts
        As `count_values` or `db.reader.queries.Reader.counts` return them.
    """
    check_counts(counts, "counts", whole=True)
    effects = {name: _effect(model, name, counts[name]) for name in NAMES}
    n = sum(next(iter(counts.values())).values())
    return GlobalExplanation(n, model.version, model.base_value, effects)


def count_values(rows: Array | Sequence[Row]) -> dict[str, dict[float | None, int]]:
    """Count how often each value occurs.

    Parameters
    ----------
    rows
        UCI codes, shape (n, 13), NaN or None = missing.
    """
    matrix = patients(rows)
    found: dict[str, dict[float | None, int]] = {}
    for name, column in zip(NAMES, matrix.T, strict=True):
        values, counts = np.unique(column[~np.isnan(column)], return_counts=True)
        found[name] = dict(zip(values.tolist(), counts.tolist(), strict=True))
        if unknown := int(np.isnan(column).sum()):
            found[name][None] = unknown
    return found


def contributions_of(model: Model, name: str, values: Sequence[float | None]) -> tuple[float, ...]:
    """Return the contribution of each value of a feature, whatever the other findings are."""
    if not values:
        return ()
    patient = np.array([f.low for f in FEATURES], dtype=float)  # any will do: the model is additive
    rows = np.tile(patient, (len(values), 1))
    rows[:, NAMES.index(name)] = [np.nan if value is None else value for value in values]
    return tuple(model.score(rows).contributions[:, NAMES.index(name)].tolist())


def top_contributions(
    contributions: Sequence[Mapping[str, Any]], n: int = TOP_N
) -> list[Mapping[str, Any]]:
    """Return the `n` findings of one patient that weigh most, weightiest first."""
    return sorted(contributions, key=lambda found: -abs(found["contribution"]))[:n]


def _effect(model: Model, name: str, counts: Mapping[float | None, int]) -> FeatureEffect:
    known = sorted(value for value in counts if value is not None)
    values: tuple[float | None, ...] = (*known, *([None] if None in counts else []))
    if None in counts and BY_NAME[name].required:
        raise ValueError(
            f"{name} is missing for some patients, and the model has no points for that"
        )
    return FeatureEffect(
        name, values, contributions_of(model, name, values), tuple(counts[v] for v in values)
    )
