"""Read a CSV file of patients, cell by cell, and write the results beside the findings."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pandas as pd

from dashboard.pages.batch import texts
from dashboard.shared.api_client import MAX_BATCH
from dashboard.shared.prediction import entries
from db.export import escape_formula
from pipeline.schema import FEATURES, NAMES

REFERENCE = "patient_reference"
COLUMNS = (*NAMES, REFERENCE)
"""The template; a file may also name the unit of a finding that has two (`chol_unit`)."""

_UNITS = tuple(entries.unit_of(f) for f in FEATURES if f.second_unit is not None)
_TITLES = {text.casefold(): f.name for f in FEATURES for text in (f.name, f.label, f.title)} | {
    name: name for name in (REFERENCE, *_UNITS)
}
_MAX_REFERENCE = 64


@dataclass(frozen=True)
class CellError:
    """What is wrong in one cell; line 0 = in the whole file, column "" = in the whole line."""

    line: int
    column: str
    message: str


@dataclass
class Batch:
    """A file's patients, and what is wrong with it; with an error nothing is sent."""

    rows: list[dict[str, str]] = field(default_factory=list)
    """The cells as written, by column."""
    patients: list[dict[str, Any]] = field(default_factory=list)
    """As the API takes them."""
    errors: list[CellError] = field(default_factory=list)
    unusual: int = 0
    unknown: int = 0


def template() -> bytes:
    """Return the first line of a file."""
    return (",".join(COLUMNS) + "\r\n").encode()


def read(content: bytes) -> Batch:
    """Read a file; every wrong cell is listed with its line as an editor counts it."""
    batch = Batch()
    try:
        lines = content.decode("utf-8-sig").splitlines(keepends=True)
    except UnicodeDecodeError:
        batch.errors.append(CellError(0, "", texts.NOT_TEXT))
        return batch
    first = lines[0] if lines else ""
    reader = csv.reader(lines, delimiter=max(",;\t", key=first.count), skipinitialspace=True)
    columns = [_TITLES.get(name.strip().casefold(), name.strip()) for name in next(reader, [])]
    batch.errors += _wrong_columns(columns)
    for cells in [] if batch.errors else reader:
        if any(cell.strip() for cell in cells):
            _read_line(batch, reader.line_num, columns, cells)
    if not batch.errors and not batch.rows:
        batch.errors.append(CellError(0, "", texts.EMPTY))
    if len(batch.rows) > MAX_BATCH:
        batch.errors.insert(0, CellError(0, "", texts.TOO_MANY))
    return batch


def _wrong_columns(columns: Sequence[str]) -> list[CellError]:
    if not {f.name for f in FEATURES if f.required} <= set(columns):
        return [CellError(1, "", texts.NO_HEADER)]
    known = {*COLUMNS, *_UNITS}
    unknown = [CellError(1, name, texts.UNKNOWN_COLUMN) for name in columns if name not in known]
    twice = {name for name in columns if name in known and columns.count(name) > 1}
    return unknown + [CellError(1, name, texts.REPEATED_COLUMN) for name in sorted(twice)]


def _read_line(batch: Batch, line: int, columns: Sequence[str], cells: Sequence[str]) -> None:
    if any(cell.strip() for cell in cells[len(columns) :]):
        batch.errors.append(CellError(line, "", texts.EXTRA_CELLS))
        return
    row = {name: cell.strip() for name, cell in zip(columns, cells, strict=False)}
    reading, reference = entries.read(row), row.get(REFERENCE, "")
    wrong = reading.refused | reading.missing
    if len(reference) > _MAX_REFERENCE or not (reference.isascii() and reference.isprintable()):
        wrong[REFERENCE] = texts.REFERENCE
    batch.errors += [CellError(line, name, message) for name, message in wrong.items()]
    batch.rows.append(row)
    batch.patients.append(reading.findings | ({REFERENCE: reference} if reference else {}))
    batch.unusual += len(reading.unusual)
    batch.unknown += len(FEATURES) - len(reading.findings)


def results(batch: Batch, answers: Sequence[Mapping[str, Any]]) -> pd.DataFrame:
    """Return the file's cells with the prediction of each patient beside them."""
    columns = list(dict.fromkeys(name for row in batch.rows for name in row))
    return pd.DataFrame(
        {name: escape_formula(row.get(name, "")) for name in columns}
        | {
            "probability": round(answer["probability"], 4),
            "prediction": answer["prediction"],
            "unknown_findings": len(answer["missing"]),
            "warnings": len(answer["warnings"]),
            "model_version": answer["model_version"],
            "id": answer["id"],
        }
        for row, answer in zip(batch.rows, answers, strict=True)
    )
