"""Read a CSV of patients, however it was coded, into UCI codes.

Understands UCI `.data` files without a header (`?` or -9 = missing), files with the thirteen UCI
names, Kaggle recodings, the study project's file (`sno`, `gender`, `yes`/`no`) and words. Whatever
the bytes are, the outcome is a `Patients` or one clear `DataError`.
"""

from __future__ import annotations

import csv
import hashlib
import io
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from errors import FAILED, UNDECIDABLE, CardiowatchError
from pipeline.dataset.heart.codings import Coding, decoder
from pipeline.dataset.heart.detect_coding import detect_coding
from pipeline.schema import BY_NAME, FEATURES, NAMES, TARGET, Feature, Kind

HEART_CSV = Path(__file__).resolve().parents[3] / "data" / "heart.csv"
"""The training data that comes with the code."""

LABEL_COLUMNS = (TARGET, "num", "target", "condition")
"""Names under which files carry the label; anything above 0 claims disease."""

MAX_BYTES = 256 * 2**20  # about 5 million patients; a larger file is not a study's table

_SYNONYMS = {"gender": "sex", "thalch": "thalach"}
_MISSING = frozenset({"", "?", "na", "n/a", "nan", "null", "none", "-9", "-9.0"})
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?", re.ASCII)
_YES_NO = {"yes": 1.0, "no": 0.0, "true": 1.0, "false": 0.0}
_OTHER_WORDS = {
    "sex": {"f": 0.0, "m": 1.0},
    "cp": {"non-anginal": 3.0},
    "restecg": {"st-t abnormality": 1.0, "lv hypertrophy": 2.0},
    "thal": {"reversable defect": 7.0},
}
_LABEL_WORDS = {**_YES_NO, "presence": 1.0, "absence": 0.0}
_CODED = ("cp", "restecg", "slope", "ca", "thal")  # where UCI and Kaggle codes differ


class DataError(CardiowatchError):
    """The file cannot be read as patients; one sentence says why."""

    exit_code = UNDECIDABLE


class UnreadableFile(DataError):
    """The file cannot be opened."""

    exit_code = FAILED


@dataclass(frozen=True)
class Patients:
    """The patients of one file."""

    raw: pd.DataFrame
    """The thirteen columns with the codes as written, NaN = missing."""
    features: pd.DataFrame | None
    """The thirteen columns in UCI codes, NaN = missing; None when the coding cannot be told."""
    disease: pd.Series | None
    """The label as the file claims it, 1.0 = disease; None when there is no label column."""
    coding: Coding | None
    coding_evidence: str
    label_name: str | None
    missing_columns: tuple[str, ...]
    """Features for which the file has no column."""
    text_columns: frozenset[str]
    """Columns that were written in words, whatever the coding of the others."""
    sha256: str

    def __len__(self) -> int:
        return len(self.raw)


def read_patients(path: str | Path, coding: Coding | None = None) -> Patients:
    """Read a CSV of patients.

    Parameters
    ----------
    path
        The file: UTF-8 text, separated by comma, semicolon, tab or blanks.
    coding
        The coding of its integer codes when it is known; None = detect it.

    Raises
    ------
    DataError
        Whatever is wrong with the file.
    """
    return parse_patients(_bytes(Path(path)), coding)


def parse_patients(content: bytes, coding: Coding | None = None) -> Patients:
    """Read the bytes of such a file; as `read_patients`."""
    header, rows, first_line = _split(_text(content))
    columns = _columns(header)
    cells = {name: [row[i].strip().lower() for row in rows] for name, i in columns.items()}
    label_name = next((name for name in LABEL_COLUMNS if name in columns), None)

    raw, worded = {}, set()
    for feature in FEATURES:
        values = cells.get(feature.name, [""] * len(rows))
        raw[feature.name], in_words = _values(feature, values, first_line)
        if in_words:
            worded.add(feature.name)
    frame = pd.DataFrame(raw)

    numeric_codes = [name for name in _CODED if name in columns and name not in worded]
    evidence = "named by the caller"
    if coding is None:
        coding, evidence = detect_coding(frame[numeric_codes])
        if coding is None and {"cp", "restecg", "slope", "thal"} & set(columns) <= worded:
            coding, evidence = Coding.LABELS, "categories are written in words"
    return Patients(
        raw=frame,
        features=None if coding is None else _to_uci(frame, coding, worded),
        disease=None if label_name is None else _label(label_name, cells[label_name], first_line),
        coding=coding,
        coding_evidence=evidence,
        label_name=label_name,
        missing_columns=tuple(name for name in NAMES if name not in columns),
        text_columns=frozenset(worded),
        sha256=hashlib.sha256(content).hexdigest(),
    )


def _bytes(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            content = file.read(MAX_BYTES + 1)  # the size of a pipe is unknown in advance
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "not a usable path"
        raise UnreadableFile(f"{path.name} cannot be read: {reason}") from error
    if len(content) > MAX_BYTES:
        raise DataError(f"{path.name} is larger than {MAX_BYTES // 2**20} MiB")
    return content


def _text(content: bytes) -> str:
    if b"\0" in content:
        raise DataError("this is a binary or UTF-16 file; save it as CSV in UTF-8")
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise DataError("the text is not UTF-8; save it as CSV in UTF-8") from error
    if not text.strip():
        raise DataError("the file is empty")
    return text


def _split(text: str) -> tuple[list[str], list[list[str]], int]:
    """Split into header, rows and the line number of the first row."""
    lines = text.splitlines()
    start = next(line for line in lines if line.strip())
    delimiter = max(",;\t ", key=start.strip().count)
    if delimiter == ";":  # the way spreadsheets write decimals where ; separates
        text = text.replace(",", ".")
    try:
        reader = csv.reader(
            io.StringIO(text, newline=""), delimiter=delimiter, skipinitialspace=delimiter == " "
        )
        rows = [row for row in reader if any(cell.strip() for cell in row)]
    except csv.Error as error:
        raise DataError(f"not a CSV file: {error}") from error
    if not rows:
        raise DataError("the file has no cells")
    header = [cell.strip().lower() for cell in rows[0]]
    first_line = 2
    if all(cell in _MISSING or _NUMBER.fullmatch(cell) for cell in header):
        header, first_line = _without_header(len(header)), 1
    else:
        rows = rows[1:]
    if not rows:
        raise DataError("the file has a header and no patients")
    for number, row in enumerate(rows, first_line):
        if len(row) != len(header):
            raise DataError(f"row {number} has {len(row)} cells where {len(header)} are expected")
    return header, rows, first_line


def _without_header(width: int) -> list[str]:
    if width not in (len(NAMES), len(NAMES) + 1):
        raise DataError(
            f"no header, and {width} columns where a UCI file has {len(NAMES) + 1} "
            "(thirteen features and num)"
        )
    return [*NAMES, "num"][:width]


def _columns(header: Sequence[str]) -> dict[str, int]:
    """Find the column of each feature and of the label; other columns are left alone."""
    wanted = {*NAMES, *LABEL_COLUMNS}
    columns: dict[str, int] = {}
    for i, title in enumerate(header):
        name = _SYNONYMS.get(title, title)
        if name not in wanted:
            continue
        if name in columns:
            raise DataError(f"two columns hold {name}; keep one")
        columns[name] = i
    missing = [feature.name for feature in FEATURES if feature.required]
    missing = [name for name in missing if name not in columns]
    if missing or len(columns) <= len(NAMES) // 2:
        absent = [name for name in NAMES if name not in columns]
        raise DataError(f"these are not the thirteen UCI columns; absent: {', '.join(absent)}")
    labels = [name for name in LABEL_COLUMNS if name in columns]
    if len(labels) > 1:
        raise DataError(f"two label columns, {labels[0]} and {labels[1]}; keep one")
    return columns


def _values(feature: Feature, cells: Sequence[str], first_line: int) -> tuple[list[float], bool]:
    """Turn cells into numbers; words become UCI codes at once. True = written in words."""
    words = {word.lower(): float(code) for word, code in feature.codes.items()}
    words |= _OTHER_WORDS.get(feature.name, {})
    if feature.kind is Kind.BOOLEAN:
        words |= _YES_NO
    values, n_words, n_numbers = [], 0, 0
    for number, cell in enumerate(cells, first_line):
        if cell in _MISSING:
            values.append(float("nan"))
        elif cell in words:
            values.append(words[cell])
            n_words += 1
        else:
            values.append(_number(cell, feature.name, number))
            n_numbers += 1
    if n_words and n_numbers and feature.kind is Kind.CATEGORY:
        raise DataError(f"column {feature.name} mixes words and codes")
    return values, n_words > 0


def _number(cell: str, column: str, line: int) -> float:
    value = float(cell) if _NUMBER.fullmatch(cell) else float("inf")
    if abs(value) == float("inf"):  # 1e400, too
        raise DataError(f"row {line}, column {column}: neither a number nor a known word")
    return value


def _label(name: str, cells: Sequence[str], first_line: int) -> pd.Series:
    values = []
    for number, cell in enumerate(cells, first_line):
        if cell in _MISSING:
            values.append(float("nan"))
            continue
        value = _LABEL_WORDS.get(cell)
        value = _number(cell, name, number) if value is None else value
        if value not in (0, 1, 2, 3, 4):
            raise DataError(f"row {number}, column {name}: expected 0-4, yes or no")
        values.append(float(value > 0))
    return pd.Series(values, name=TARGET, dtype=float)


def _to_uci(raw: pd.DataFrame, coding: Coding, worded: set[str]) -> pd.DataFrame:
    """Decode every column; a code that does not exist in the coding becomes NaN."""
    decoded = {}
    for name in NAMES:
        feature = BY_NAME[name]
        used = Coding.UCI if name in worded or coding is Coding.LABELS else coding
        table = decoder(feature, used)
        column = raw[name]
        if table is not None:
            column = column.map({float(k): v for k, v in table.items()}).astype(float)
        elif feature.zero_is_missing:
            column = column.mask(column == 0)
        decoded[name] = column
    return pd.DataFrame(decoded)
