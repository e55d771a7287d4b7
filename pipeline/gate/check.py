"""Check one file of labelled patients: the audit first, then the log-loss of its labels."""

from __future__ import annotations

import base64
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from threadpoolctl import threadpool_limits

from pipeline.audit import audit_patients
from pipeline.dataset.duplicates import first_of_each, occur_in, without_duplicates
from pipeline.dataset.heart import (
    MIN_PATIENTS,
    Coding,
    DataError,
    MappingError,
    Patients,
    mapping_of,
    parse_patients,
    read_patients,
)
from pipeline.gate.label_loss import TrustedLosses, decide, loss_limit
from pipeline.gate.result import GateResult, UnexpectedLabel
from pipeline.model import Model, ModelError, from_json
from pipeline.model.design_matrix import Array
from pipeline.model.reference import no_rows
from pipeline.training.reference import load_reference


def check_batch(
    patients: Patients,
    name: str,
    model: Model,
    reference: TrustedLosses,
    allow_duplicates: bool = False,
) -> GateResult:
    """Audit a file's patients, then check the labels of those the model was not trained on."""
    audit = audit_patients(patients, name, allow_duplicates)
    n = 0 if patients.disease is None else int(patients.disease.notna().sum())
    if audit.label_inverted:
        score = audit.label_check.score
        positive = patients.label_positive
        text = f"label inverted: {positive} marks healthy patients ({score:+.2f})"
        return GateResult(False, text, n)
    if audit.errors:
        where = f"{audit.errors[0].column}: " if audit.errors[0].column else ""
        return GateResult(None, f"the file failed the audit: {where}{audit.errors[0].message}", n)
    if patients.features is None or patients.disease is None or n < MIN_PATIENTS:
        return GateResult(None, f"{n} labelled patients; at least {MIN_PATIENTS} needed", n)
    everyone = patients.features.to_numpy(dtype=float)
    labels = patients.disease.to_numpy(dtype=float)
    trained = occur_in(everyone, reference.rows)
    first = first_of_each(np.column_stack([everyone, labels])) == np.arange(len(everyone))
    judged = np.flatnonzero(~np.isnan(labels) & ~trained & first)
    left_out = f"{trained.sum()} of {len(everyone)} rows are training patients of the model"
    if len(judged) < MIN_PATIENTS:
        few = f"{len(judged)} new labelled patients; at least {MIN_PATIENTS} needed"
        return GateResult(False if trained.any() else None, f"{few}: {left_out}", n)
    rows, y = everyone[judged], labels[judged]
    found = decide(y, model.score(rows).probability, loss_limit(rows, reference))
    named = tuple(
        UnexpectedLabel(int(judged[row.patient - 1]) + 1, row.label, row.probability)
        for row in found.rows
    )
    note = f"; {left_out} and were left out" if trained.any() else ""
    return GateResult(**{**vars(found), "rows": named, "reason": found.reason + note})


def load_trusted(model: Model, folder: Path, path: Path | None = None) -> TrustedLosses:
    """Return the patients that a model was fitted to.

    Parameters
    ----------
    model, folder
        The model and where it is.
    path
        The file that it was trained on; None = the patients kept beside the model.

    Raises
    ------
    ModelError
        When it was fitted to another file.
    DataError
        When the file cannot be read, or no patients were kept.
    """
    c = float(model.provenance["c"])
    if path is None:
        kept = load_reference(folder, model)
        if kept.rows is None or kept.disease is None:
            sentence = no_rows("the losses of clean patients").removesuffix(".")
            raise DataError(f"{sentence}: name the training data with --trusted")
        return TrustedLosses(kept.rows, kept.disease, c)
    patients = read_patients(path)
    if patients.sha256 != model.provenance["data_sha256"]:
        raise ModelError(f"the model was not trained on {path.name}: name its file with --trusted")
    rows, y = labelled_rows(patients, bool(model.provenance["label_corrected"]))
    return TrustedLosses(rows, y, c)


def labelled_rows(patients: Patients, correct_label: bool) -> tuple[Array, Array]:
    """Return the patients with a label, shape (n, 13), and their labels; one of each duplicate.

    Parameters
    ----------
    patients
        With features and labels.
    correct_label
        Turn the label round.
    """
    assert patients.features is not None and patients.disease is not None  # noqa: S101, PT018 - audited
    known = patients.disease.notna()
    y = patients.disease[known].to_numpy(dtype=float)
    rows = patients.features[known].to_numpy(dtype=float)
    return without_duplicates(rows, 1.0 - y if correct_label else y)


def run_job(
    progress: Callable[[float], object],
    *,
    content: str,
    name: str,
    coding: str,
    mapping: str,
    scorecard: str,
    rows: Any,
    disease: Any,
) -> dict[str, Any]:
    """Check an uploaded file in a worker process; nothing of it is stored.

    Parameters
    ----------
    content
        Its bytes in base64.
    name
        Of the file.
    coding
        `uci`, `kaggle`, or empty = detect it.
    mapping
        The text of a mapping file in JSON; empty = none.
    scorecard, rows, disease
        The trusted model, and the patients that it was trained on (None = missing).

    Returns
    -------
    dict
        `verdict`, or `problem`: one sentence on why there is none.
    """
    try:
        model = from_json(scorecard)
        with threadpool_limits(1):
            c = float(model.provenance["c"])
            reference = TrustedLosses(np.array(rows, float), np.array(disease, float), c)
            progress(0.6)
            patients = parse_patients(
                base64.b64decode(content),
                Coding(coding) if coding else None,
                mapping_of(mapping, "the mapping") if mapping.strip() else None,
                reference.frame(),
            )
            return {"verdict": check_batch(patients, name, model, reference).to_dict()}
    except (DataError, MappingError, ModelError) as error:
        return {"problem": str(error)}
