"""The command of the gate for newly labelled patients."""

from __future__ import annotations

import json
from pathlib import Path

import click
from threadpoolctl import threadpool_limits

from errors import NO, UNDECIDABLE
from pipeline.dataset.heart import (
    Coding,
    ColumnMapping,
    file_argument,
    json_option,
    read_patients,
    reading_options,
)
from pipeline.gate.check import check_batch, load_trusted
from pipeline.gate.result import report
from pipeline.model import load
from settings import load_settings


@click.command("gate")
@file_argument
@json_option
@reading_options
@click.option(
    "--trusted",
    type=click.Path(path_type=Path),
    help="The training data of the model; default: the patients kept beside it.",
)
def command(
    file: Path,
    as_json: bool,
    coding: Coding | None,
    mapping: ColumnMapping | None,
    allow_duplicates: bool,
    trusted: Path | None,
) -> int:
    """Accept or refuse a batch of new labels.

    A batch is refused when its label is inverted, or when the log-loss of its labels under the
    model exceeds that of 95 % of clean batches. Patients that the model was trained on are left
    out, and so are duplicates.

    Exit code 1: refused; 3: the batch cannot be checked (no label, or the audit found an error).
    """
    folder = load_settings().model_dir
    model = load(folder)
    with threadpool_limits(1):
        reference = load_trusted(model, folder, trusted)
        patients = read_patients(file, coding, mapping, reference.frame())
        found = check_batch(patients, file.name, model, reference, allow_duplicates)
    print(json.dumps(found.to_dict(), indent=2) if as_json else report(file.name, found))
    return {True: 0, False: NO, None: UNDECIDABLE}[found.accept]
