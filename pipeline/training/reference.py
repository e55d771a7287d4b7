"""Make and load the reference of a model: what monitoring, pages and poisoning compare with."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from pipeline.dataset.heart import HEART_CSV, HOSPITAL, YEARS, read_patients
from pipeline.fairness import assess
from pipeline.fairness.groups import sensitive_groups
from pipeline.model import Model, ModelError
from pipeline.model.design_matrix import Array
from pipeline.model.reference import Population, Reference, read_reference, step_counts
from pipeline.schema import FEATURES


def build_reference(
    rows: Array,
    y: Array,
    model: Model,
    *,
    file: str,
    sha256: str,
    hospital: str | None,
    years: str | None,
    keep_rows: bool,
) -> Reference:
    """Describe the patients that a model was fitted to.

    Parameters
    ----------
    rows, y
        Shapes (n, 13) and (n,).
    file, sha256, hospital, years
        As in `Population`.
    keep_rows
        Keep the patients too.
    """
    probability = model.score(rows).probability
    predicted = (probability >= model.threshold).astype(float)
    shares = {
        group: float((rows[:, i] == code).sum() / max(np.isfinite(rows[:, i]).sum(), 1))
        for i, feature in enumerate(FEATURES)
        if feature.sensitive and feature.codes
        for code, group in feature.told_groups
    }
    return Reference(
        model.version,
        Population(file, sha256, len(y), int(y.sum()), shares, hospital, years),
        {name: counts for name, counts in step_counts(rows).items() if name in model.features},
        np.sort(probability),
        assess(y, predicted, sensitive_groups(rows)).to_dict(),
        rows if keep_rows else None,
        y if keep_rows else None,
    )


def bundled_reference(model: Model) -> Reference | None:
    """Return the reference of a model that was fitted to the data that come with the code."""
    if not HEART_CSV.exists():
        return None
    patients = read_patients(HEART_CSV)
    if patients.sha256 != model.provenance["data_sha256"] or patients.features is None:
        return None
    assert patients.disease is not None  # noqa: S101 - it was trained on
    return build_reference(
        patients.features.to_numpy(dtype=float),
        patients.disease.to_numpy(dtype=float),
        model,
        file=HEART_CSV.name,
        sha256=patients.sha256,
        hospital=HOSPITAL,
        years=YEARS,
        keep_rows=True,
    )


def load_reference(folder: Path, model: Model) -> Reference:
    """Return the reference of the model of a folder.

    Raises
    ------
    ModelError
        When the folder has none, or that of another model; one sentence says what to do.
    """
    found = read_reference(folder, model.version)
    if found is None or found.rows is None:  # what comes with the code is public
        found = bundled_reference(model) or found
    if found is None:
        raise ModelError(
            f"the model in {folder} was trained by an older version, which kept no reference: "
            "train it again on its data"
        )
    return found
