"""The reference of a model: what is kept of its training patients, to compare others with.

Value counts by default, which say nothing of a single patient; rows only where training was told to
keep them. It belongs to one model version, and is read from the folder of that model. numpy only.
"""

from __future__ import annotations

import csv
import hashlib
import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from pipeline.model.design_matrix import Array
from pipeline.model.inputs import InputError, patients
from pipeline.model.scorecard import REFERENCE_FILE, ModelError
from pipeline.schema import FEATURES, NAMES, TARGET

ROWS_FILE = "reference_rows.csv"
FORMAT = 1

ValueCounts = Mapping[str, Mapping[float | None, int]]
"""Feature -> value (None = missing) -> how many patients."""


@dataclass(frozen=True)
class Population:
    """Whom the model was trained on."""

    file: str
    sha256: str
    """Of the file, hexadecimal."""
    n: int
    n_disease: int
    group_shares: Mapping[str, float]
    """Share of patients in each group of the sensitive attributes that have codes: "female"."""
    hospital: str | None = None
    years: str | None = None

    @classmethod
    def of_evidence(cls, evidence: Mapping[str, Any]) -> Population:
        """Return what the evidence of a model says of them: no hospital, no years."""
        data, found = evidence["data"], evidence["fairness"]
        assessed = [found[key]["groups"][:-1] for key in found if key.startswith("by_")]
        shares = {group["name"]: group["n"] / data["n"] for some in assessed for group in some}
        return cls(data["file"], data["sha256"], data["n"], data["n_disease"], shares)

    @property
    def prevalence(self) -> float:
        """Share of patients with disease, 0 to 1."""
        return self.n_disease / self.n

    def statement(self) -> str:
        """Return whom the model was trained on, as a part of a sentence."""
        place = f" of {self.hospital}" if self.hospital else f" of the file {self.file}"
        years = f" ({self.years})" if self.years else ""
        shares = {"with disease": self.prevalence, **self.group_shares}
        said = ", ".join(f"{100 * share:.0f} % {group}" for group, share in shares.items())
        return f"{self.n:,} patients{place}{years}: {said}"


@dataclass(frozen=True)
class Reference:
    """The training patients of one model version."""

    version: str
    population: Population
    counts: ValueCounts
    """By step of each feature, as the log counts; features that the model does not use are absent.
    """
    probability: Array
    """What the model gives to them, ascending, shape (n,)."""
    fairness: Mapping[str, Any]
    """The assessment of its predictions by group, as `Assessment.to_dict` writes it."""
    rows: Array | None = None
    """UCI codes, shape (n, 13), NaN = missing; None = not kept."""
    disease: Array | None = None
    """Labels 0.0 or 1.0, shape (n,); None = not kept."""

    def files(self) -> dict[str, bytes]:
        """Return what is written into the folder of the model, by name; rows only when kept."""
        rows = None
        if self.rows is not None and self.disease is not None:
            rows = _rows_text(self.rows, self.disease).encode("ascii")
        kept = {
            "format": FORMAT,
            "version": self.version,
            "population": asdict(self.population),
            "counts": {name: list(values.items()) for name, values in self.counts.items()},
            "probability": self.probability.tolist(),
            "fairness": self.fairness,
            "rows_sha256": None if rows is None else hashlib.sha256(rows).hexdigest(),
        }
        found = {REFERENCE_FILE: (json.dumps(kept, allow_nan=False) + "\n").encode("ascii")}
        return found if rows is None else {**found, ROWS_FILE: rows}


def read_reference(folder: str | Path, version: str) -> Reference | None:
    """Read the reference of a model.

    Parameters
    ----------
    folder
        Of the model.
    version
        Of the model that the reference must belong to.

    Returns
    -------
    Reference or None
        None for a folder of the first edition, which has none.

    Raises
    ------
    ModelError
        When it belongs to another model, or cannot be read.
    """
    path = Path(folder) / REFERENCE_FILE
    try:
        kept = json.loads(path.read_text("ascii"))
        if kept["format"] != FORMAT:
            raise ValueError
        rows, disease = _kept_rows(Path(folder) / ROWS_FILE, kept["rows_sha256"])
        found = Reference(
            kept["version"],
            Population(**kept["population"]),
            {
                name: {None if value is None else float(value): n for value, n in counts}
                for name, counts in kept["counts"].items()
            },
            np.array(kept["probability"], dtype=float),
            kept["fairness"],
            rows,
            disease,
        )
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ModelError(f"the reference in {folder} cannot be read: train the model again") from (
            error
        )
    if found.version != version:
        raise ModelError(
            f"the reference in {folder} belongs to model {found.version}, the predictions to model "
            f"{version}: they are not compared"
        )
    return found


def read_population(folder: Path, version: str, evidence: Mapping[str, Any]) -> Population:
    """Return whom a model was trained on: from its reference, else from its evidence."""
    try:
        found = read_reference(folder, version)
    except ModelError:  # of another model, as after a rollback: no reason not to serve this one
        found = None
    return Population.of_evidence(evidence) if found is None else found.population


def no_rows(what: str) -> str:
    """Return the sentence for what needs patients, e.g. "correlations between findings"."""
    return (
        f"The model in service was trained without --keep-rows: its reference holds no patients, "
        f"and {what} cannot be computed."
    )


def step_counts(rows: ArrayLike) -> dict[str, dict[float | None, int]]:
    """Count the values of patients as the log does: by step of each feature, None = missing.

    Parameters
    ----------
    rows
        UCI codes, shape (n, 13), NaN = missing.
    """
    matrix = patients(rows)
    if np.isinf(matrix).any():
        raise InputError("a value is infinite; NaN = missing")
    counted: dict[str, dict[float | None, int]] = {}
    for feature, column in zip(FEATURES, matrix.T, strict=True):
        values: dict[float | None, int] = {}
        for value in column.tolist():
            key = None if value != value else feature.from_steps(feature.to_steps(value))
            values[key] = values.get(key, 0) + 1
        counted[feature.name] = values
    return counted


def _rows_text(rows: Array, disease: Array) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([*NAMES, TARGET])
    for row in np.column_stack([rows, disease]).tolist():
        writer.writerow(["" if value != value else f"{value:.17g}" for value in row])
    return text.getvalue()


def _kept_rows(path: Path, sha256: str | None) -> tuple[Array | None, Array | None]:
    """Read the patients; a copy without them has none, nor has a program that may not read them."""
    if sha256 is None:
        return None, None
    try:
        content = path.read_bytes()
    except (FileNotFoundError, PermissionError):
        return None, None
    if hashlib.sha256(content).hexdigest() != sha256:
        raise ValueError("changed rows")
    header, *lines = csv.reader(io.StringIO(content.decode("ascii")))
    table = np.array([[_number(cell) for cell in line] for line in lines])
    return _columns(table, header, NAMES), table[:, header.index(TARGET)]


def _columns(table: Array, header: Sequence[str], names: Sequence[str]) -> Array:
    """Return the columns of the schema's features; one that was added since is missing."""
    absent = np.full(len(table), np.nan)
    return np.column_stack([table[:, header.index(n)] if n in header else absent for n in names])


def _number(cell: str) -> float:
    return float(cell) if cell else float("nan")
