"""Load a scorecard and score patients: probability, its interval, exact contributions.

The model is logistic regression written as points:

    log-odds = intercept + sum over the features of points(value)

A number's points are `slope * (value - center) / scale`; a category has points per level; a missing
value has points of its own. A contribution is `points(value) - mean points of the
training patients`, which for an additive model is the exact interventional SHAP value (Lundberg &
Lee 2017; Strumbelj & Kononenko 2014), in log-odds. Loading runs no code: the scorecard is JSON.

numpy and the standard library only; `Model.probability` is pure Python because one row is scored
faster without an array (about 2 us against 20).
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from errors import CardiowatchError
from pipeline.model.design_matrix import Array, Column, Design, build_design_matrix, feature_points
from pipeline.model.inputs import patients
from pipeline.model.scores import Explanation, Scores, percentile_interval, sigmoid, sigmoid_scalar
from pipeline.model.unknown_findings import JointPoints
from pipeline.schema import FEATURES, NAMES, Feature, Row, range_warnings

if TYPE_CHECKING:
    import pandas as pd

FORMAT = "cardiowatch scorecard 1"
SCORECARD_FILE = "scorecard.json"
EVIDENCE_FILE = "evidence.json"
REFERENCE_FILE = "reference.json"
CHECKSUMS_FILE = "SHA256SUMS"
VERSION_LENGTH = 12  # hex digits: 48 bits tell apart every model that a hospital will ever train


class ModelError(CardiowatchError):
    """The model cannot be used; one sentence says why and what to do."""


class Model:
    """A scorecard that scores patients; made by `load` or `from_json`."""

    def __init__(self, text: str) -> None:
        card = json.loads(text, parse_constant=_no_constant)
        if card["format"] != FORMAT or not set(card["features"]) <= set(NAMES):
            raise ValueError("another format or features that do not exist")
        self.scorecard = text
        self.version = hashlib.sha256(text.encode("ascii")).hexdigest()[:VERSION_LENGTH]
        self.threshold = float(card["threshold"])
        self.provenance: Mapping[str, Any] = card["provenance"]
        self._intercept = float(card["intercept"])
        self._design = Design(tuple(_own(f, card) for f in FEATURES if f.name in card["features"]))
        self.features: tuple[str, ...] = tuple(f.name for f in self._design.features)
        self._coefficients, self._center, self._scale = _parameters(
            card["features"], self._design.columns
        )
        self._used = np.isin(np.array(NAMES), self.features)
        self._terms = tuple(self._term(i, feature) for i, feature in enumerate(FEATURES))
        self._means = self._mean_points(card["background"])
        self.base_value = self._intercept + float(self._means.sum())
        self.training_range: dict[str, tuple[float, float]] = {
            name: (float(low), float(high)) for name, (low, high) in card["training_range"].items()
        }
        self._seen = tuple(
            (NAMES.index(name), *self.training_range[name])
            for name in NAMES
            if name in self.training_range
        )
        joint = card.get("joint_points")  # scorecards of the first edition have none
        self._joint = None if joint is None else JointPoints.from_dict(joint, NAMES)
        self._sets = np.array(card["interval"]["sets"], dtype=float)
        self._sets_by_column = np.ascontiguousarray(self._sets.T)
        expected = ["intercept", *(column.name for column in self._design.columns)]
        numbers = (self._coefficients, self._scale, self._means, self._sets)
        if card["interval"]["columns"] != expected or self._sets.shape[1:] != (len(expected),):
            raise ValueError("interval sets for other columns")
        if not all(np.isfinite(array).all() for array in numbers) or not 0 < self.threshold < 1:
            raise ValueError("a number is out of range")

    def probability(self, row: Row) -> float:
        """Score one patient, quickly.

        Parameters
        ----------
        row
            Thirteen UCI codes in the order of `FEATURES`; None or NaN = missing.

        Returns
        -------
        float
            Probability of disease; equals `score` to 1e-12.

        Raises
        ------
        ValueError
            When a category holds a code that the schema does not have.
        """
        z = self._intercept
        try:
            for value, (slope, offset, levels, unknown) in zip(row, self._terms, strict=True):
                if value is None or value != value:
                    z += unknown
                elif levels is None:
                    z += slope * value + offset
                else:
                    z += levels[value]
        except KeyError:
            raise ValueError("a category holds a code that the model has no points for") from None
        if z - z != 0.0:  # NaN: age or sex is missing; or a number is infinite
            raise ValueError("age or sex is missing, or a number is infinite")
        return sigmoid_scalar(z)

    def score(self, rows: pd.DataFrame | Array | Sequence[Row]) -> Scores:
        """Score many patients.

        Parameters
        ----------
        rows
            Shape (n, 13), UCI codes, NaN or None = missing: an array, tuples in the order of
            `FEATURES`, or a frame with (at least) the thirteen columns in any order.

        Raises
        ------
        ValueError
            When a column is absent, or a value is none that the model has points for.
        """
        matrix = build_design_matrix(patients(rows), self._center, self._scale, self._design)
        by_feature = feature_points(matrix, self._coefficients, self._design)
        z = self._intercept + by_feature.sum(axis=1)
        return Scores(
            probability=sigmoid(z),
            contributions=by_feature - self._means,
            base_value=self.base_value,
            _matrix=matrix,
            _sets=self._sets,
        )

    def explain(self, row: Row) -> Explanation:
        """Explain one patient's probability: exact contributions and its interval."""
        p = self.probability(row)
        points, active, weights = [], [0], [1.0]
        for i, value in enumerate(row):
            slope, offset, levels, unknown = self._terms[i]
            part = self._design.slices[i]
            column = 1 + part.start  # of the value, or of the first level
            weight = 1.0
            if value is None or value != value:
                points.append(unknown)
                column = part.stop  # "not known" comes last
            elif levels is None:
                points.append(slope * value + offset)
                weight = (value - float(self._center[i])) / float(self._scale[i])
            else:
                points.append(levels[value])
                column += list(levels).index(value)
            if NAMES[i] not in self.features:
                continue
            active.append(column)
            weights.append(weight)
        low, high = percentile_interval(np.array(weights) @ self._sets_by_column[active])
        unknown_range, most_informative = self._unknown_range(row, points, p)
        return Explanation(
            base_value=self.base_value,
            contributions=tuple(g - m for g, m in zip(points, self._means.tolist(), strict=True)),
            interval=(min(low, p), max(high, p)),
            unknown_range=unknown_range,
            most_informative=most_informative,
        )

    def _unknown_range(
        self, row: Row, points: Sequence[float], p: float
    ) -> tuple[tuple[float, float] | None, str | None]:
        """Return the range of the full estimate, and the finding that would narrow it most."""
        unknown = np.array([value is None or value != value for value in row]) & self._used
        if self._joint is None or not unknown.any():
            return None, None
        found = self._joint.unknown_sum(np.array(points), unknown)
        if found is None:
            return None, None
        left_out = unknown & np.isnan(self._joint.mean)
        z = self._intercept + float(np.array(points)[~unknown | left_out].sum()) + found.mean
        low, high = (sigmoid_scalar(z + sign * found.half_width) for sign in (-1, 1))
        return (min(low, p), max(high, p)), NAMES[found.most_informative]

    def score_row(self, row: Row) -> tuple[float, list[tuple[str, str]]]:
        """Return a patient's probability and its warnings as (feature name, sentence)."""
        return self.probability(row), range_warnings(row) + self.outside_training_range(row)

    def outside_training_range(self, row: Row) -> list[tuple[str, str]]:
        """List the values outside the training data's range as (feature name, sentence)."""
        found = []
        for i, low, high in self._seen:
            value = row[i]
            if value is None:
                continue
            if value < low or value > high:
                feature = FEATURES[i]
                unit = f" {feature.unit}" if feature.unit else ""
                trained = f"trained on {low:g}-{high:g}{unit}"
                found.append((feature.name, f"the model has not seen such a value ({trained})"))
        return found

    def _term(
        self, i: int, feature: Feature
    ) -> tuple[float, float, dict[float, float] | None, float]:
        """Return slope, offset, points per level and points if missing, of one feature."""
        columns, part = self._design.columns, self._design.slices[i]
        levels: dict[float, float] = {}
        # NaN: a missing required feature has no score
        slope, unknown = 0.0, 0.0 if part.start == part.stop else math.nan
        for j in range(part.start, part.stop):
            points = float(self._coefficients[j])
            code = columns[j].code
            if columns[j].missing:
                unknown = points
            elif code is None:
                slope = points / float(self._scale[i])
            else:
                levels[code] = points
        return slope, -slope * float(self._center[i]), levels or None, unknown

    def _mean_points(self, background: Mapping[str, Mapping[str, float]]) -> Array:
        """Average each feature's points over the training patients, from their counts and sums."""
        means = np.zeros(len(FEATURES))
        for feature in self._design.features:
            i, counts = NAMES.index(feature.name), background[feature.name]
            slope, offset, levels, unknown = self._terms[i]
            n_unknown = counts["not known"]
            total = unknown * n_unknown if n_unknown else 0.0
            if levels is None:
                n = counts["known"] + n_unknown
                total += slope * counts["sum"] + offset * counts["known"]
            else:
                n = sum(counts.values())
                total += sum(
                    levels[code] * counts[word] for code, word in feature.code_labels.items()
                )
            means[i] = total / n
        return means


def from_json(text: str) -> Model:
    """Make a model from a scorecard's JSON text, as the log's `models` table keeps it.

    Raises
    ------
    ModelError
        When the text is not a scorecard of this version of the program.
    """
    try:
        return Model(text)
    except (ValueError, KeyError, TypeError, AttributeError, ArithmeticError) as error:
        raise ModelError("the scorecard is not one that this version reads") from error


def load(path: str | Path) -> Model:
    """Load the model of a folder, after checking every byte of it.

    Raises
    ------
    ModelError
        When the folder holds no model, or one that was changed after training.
    """
    folder = Path(path)
    try:
        names = [SCORECARD_FILE, EVIDENCE_FILE]
        if (folder / REFERENCE_FILE).exists():  # models of the first edition have none
            names.append(REFERENCE_FILE)
        content = {name: (folder / name).read_bytes() for name in names}
        sums = (folder / CHECKSUMS_FILE).read_bytes()
    except FileNotFoundError:
        raise ModelError(f"there is no model in {folder}: run make train") from None
    except OSError as error:
        raise ModelError(f"the model in {folder} cannot be read: {error.strerror}") from error
    if sums != checksums(content):
        raise ModelError(f"the model in {folder} was changed after training: run make train")
    try:
        return from_json(content[SCORECARD_FILE].decode("ascii"))
    except (ModelError, UnicodeDecodeError):
        raise ModelError(
            f"the model in {folder} was made by another version: run make train"
        ) from None


def checksums(content: Mapping[str, bytes]) -> bytes:
    """Return the lines that `sha256sum --check` reads, in the order of the names."""
    lines = (f"{hashlib.sha256(content[name]).hexdigest()}  {name}\n" for name in sorted(content))
    return "".join(lines).encode("ascii")


def _own(feature: Feature, card: Mapping[str, Any]) -> Feature:
    """Return a feature with the levels that the scorecard has points for."""
    if feature.is_numeric:
        return feature
    points = card["features"][feature.name]["points"]
    return replace(feature, codes={w: code for w, code in feature.codes.items() if w in points})


def _parameters(
    features: Mapping[str, Mapping[str, Any]], columns: Sequence[Column]
) -> tuple[Array, Array, Array]:
    """Read coefficients per design column, centers and scales from the scorecard."""
    center, scale = np.zeros(len(NAMES)), np.ones(len(NAMES))
    coefficients = []
    for column in columns:
        name = column.feature.name
        entry = features[name]
        if column.missing:
            coefficients.append(entry["not known"])
        elif column.code is None:
            coefficients.append(entry["slope"])
            center[NAMES.index(name)] = entry["center"]
            scale[NAMES.index(name)] = entry["scale"]
        else:
            coefficients.append(entry["points"][column.feature.code_labels[int(column.code)]])
    if not (scale > 0).all():
        raise ValueError("a scale is not positive")
    return np.array(coefficients, dtype=float), center, scale


def _no_constant(name: str) -> float:
    raise ValueError(f"{name} is not a number")
