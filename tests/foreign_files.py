"""Files and requests as other hospitals and projects have them, made from the project's data."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from perf.load.request_bodies import synthetic_rows
from pipeline.dataset.heart import HEART_CSV, Coding, encode
from pipeline.schema import FEATURES, NAMES
from tests.programs import ROOT

HUNGARIAN_CSV = ROOT / "data" / "hungarian.csv"
TWICE = 164
"""The patient who is in the inverted file twice, counted from 1."""
BLANK = {"trestbps": range(4), "chol": range(4, 5), "thalach": range(5, 10)}
"""Rows of the inverted file without a value."""
_KAGGLE_MISSING = {"ca": "4", "thal": "0"}


def hungarian_file(folder: Path) -> Path:
    """Write the Hungarian patients as UCI distributes them: no header, ? for missing."""
    lines = HUNGARIAN_CSV.read_text().splitlines()[1:]
    rows = [",".join(cell or "?" for cell in line.split(",")) for line in lines]
    path = folder / "processed.hungarian.data"
    path.write_text("\n".join(rows) + "\n")
    return path


def inverted_file(folder: Path) -> Path:
    """Write Cleveland as popular copies have it: in Kaggle's codes, the healthy labelled "yes"."""
    rows = []
    for number, line in enumerate(HEART_CSV.read_text().split()[1:]):
        *values, disease = line.split(",")
        cells = _kaggle_codes([float(value) if value else None for value in values])
        for name, blank in BLANK.items():
            if number in blank:
                cells[name] = ""
        cells["sex"] = {"0": "female", "1": "male"}[cells["sex"]]
        rows.append(",".join([*cells.values(), {"0": "yes", "1": "no"}[disease]]))
    rows.insert(TWICE, rows[TWICE - 1])
    header = ",".join([*NAMES, "target"]).replace("sex", "gender")
    path = folder / "inverted.csv"
    path.write_text("\n".join(["sno," + header, *(f"{i},{row}" for i, row in enumerate(rows))]))
    return path


def _kaggle_codes(values: list[float | None]) -> dict[str, str]:
    cells = {}
    for feature, value in zip(FEATURES, values, strict=True):
        code = encode(feature, value, Coding.KAGGLE)
        missing = _KAGGLE_MISSING.get(feature.name, "")
        cells[feature.name] = missing if code is None else f"{float(code):g}"
    return cells


def kaggle_bodies(number: int) -> list[dict[str, Any]]:
    """Return request bodies in Kaggle's codes, all of them floats, as a data frame gives them."""
    return [
        {
            feature.name: None if value is None else float(encode(feature, value, Coding.KAGGLE))  # type: ignore[arg-type]
            for feature, value in zip(FEATURES, row, strict=True)
        }
        for row in synthetic_rows(number, 0)
    ]
