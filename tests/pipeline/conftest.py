from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
from sklearn.pipeline import Pipeline
from threadpoolctl import threadpool_limits

from pipeline.dataset.heart import HEART_CSV
from pipeline.model import Model, from_json
from pipeline.model.design_matrix import COLUMNS, Array
from pipeline.schema import NAMES
from pipeline.train import LabelledPatients, fit, load_labelled
from pipeline.training.scorecard_writer import build_scorecard
from pipeline.training.sklearn_pipeline import fit_sklearn_pipeline

HEADER = ",".join((*NAMES, "disease"))
# The first two patients of Cleveland.
WELL = "63,1,1,145,233,1,2,150,0,2.3,3,0,6,0"
SICK = "67,1,4,160,286,0,2,108,1,1.5,2,3,3,1"
C = 0.3


class Fitted(NamedTuple):
    """The model, the scikit-learn pipeline that it equals, and the patients of both."""

    model: Model
    pipeline: Pipeline
    data: LabelledPatients


@pytest.fixture(scope="session")
def cleveland() -> LabelledPatients:
    return load_labelled(HEART_CSV)


@pytest.fixture(scope="session")
def fitted(cleveland: LabelledPatients) -> Fitted:
    with threadpool_limits(1):
        return Fitted(
            fit(cleveland, C), fit_sklearn_pipeline(cleveland.rows, cleveland.y, C), cleveland
        )


def by_hand(**points: float) -> Model:
    """A scorecard whose points are round numbers: 0 everywhere but where they are given.

    Its two training patients are WELL and SICK, numbers are standardised by center 0 and scale 1,
    and its three coefficient sets are the model's own with the intercept moved by -1, 0 and 1.
    """
    beta = np.array([points.get("intercept", 0.0), *(points.get(c.name, 0.0) for c in COLUMNS)])
    sets = beta + np.array([[-1.0], [0.0], [1.0]]) * (np.arange(len(beta)) == 0)
    rows = np.array([[float(cell) for cell in line.split(",")[:13]] for line in (WELL, SICK)])
    return from_json(build_scorecard(beta, sets, rows, np.zeros(13), np.ones(13), {}))


def variants(line: str, n: int) -> list[str]:
    """Patients that differ in their cholesterol."""
    cells = line.split(",")
    return [",".join([*cells[:4], str(int(cells[4]) + i), *cells[5:]]) for i in range(n)]


def row(line: str = WELL) -> tuple[float | None, ...]:
    return tuple(None if cell == "" else float(cell) for cell in line.split(",")[:13])


def csv_file(folder: Path, *lines: str, header: str = HEADER, name: str = "patients.csv") -> Path:
    path = folder / name
    path.write_text("\n".join((header, *lines)) + "\n")
    return path


def masked(rows: Array, n: int, seed: int = 0) -> Array:
    """Draw patients and blank random cells, age and sex excepted."""
    rng = np.random.default_rng(seed)
    drawn = rows[rng.integers(len(rows), size=n)].copy()
    drawn[:, 2:][rng.random((n, 11)) < rng.random((n, 1))] = np.nan
    return drawn
