"""The command of the gate for newly labelled patients."""

from __future__ import annotations

import json
from pathlib import Path

import click
from threadpoolctl import threadpool_limits

from errors import NO, UNDECIDABLE
from pipeline.dataset.heart.codings import Coding
from pipeline.dataset.heart.csv_reader import HEART_CSV, read_patients
from pipeline.dataset.heart.mapping import ColumnMapping
from pipeline.dataset.heart.options import (
    coding_option,
    duplicates_option,
    file_argument,
    json_option,
    mapping_option,
)
from pipeline.gate.check import check_batch, load_trusted
from pipeline.gate.result import report
from pipeline.model import load
from settings import load_settings


@click.command("gate")
@file_argument
@json_option
@coding_option
@mapping_option
@duplicates_option
@click.option(
    "--trusted",
    type=click.Path(path_type=Path),
    default=HEART_CSV,
    show_default="data/heart.csv",
    help="The training data of the model.",
)
def command(
    file: Path,
    as_json: bool,
    coding: Coding | None,
    mapping: ColumnMapping | None,
    allow_duplicates: bool,
    trusted: Path,
) -> int:
    """Accept or refuse a batch of new labels.

    A batch is refused when its label is inverted, or when the log-loss of its labels under the
    model exceeds that of 95 % of clean batches. Patients that the model was trained on are left
    out, and so are duplicates.

    Exit code 1: refused; 3: the batch cannot be checked (no label, or the audit found an error).
    """
    patients = read_patients(file, coding, mapping)
    with threadpool_limits(1):
        model = load(load_settings().model_dir)
        reference = load_trusted(model, trusted)
        found = check_batch(patients, file.name, model, reference, allow_duplicates)
    print(json.dumps(found.to_dict(), indent=2) if as_json else report(file.name, found))
    return {True: 0, False: NO, None: UNDECIDABLE}[found.accept]
