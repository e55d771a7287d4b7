"""Read a file of patients, however it was coded, into UCI codes.

Understands UCI `.data` files without a header, published files under their columns' names and
words (`columns`), Kaggle recodings, and any other file through a mapping file (`mapping`). Whatever
the bytes are, the outcome is a `Patients` or one clear `DataError`.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from pipeline.dataset.heart.codings import Coding
from pipeline.dataset.heart.columns import MISSING, MISSING_NUMBERS, word
from pipeline.dataset.heart.detect_coding import detect_coding, to_uci
from pipeline.dataset.heart.header import LEAST_NAMES, find_columns, from_one_hot, name_finder
from pipeline.dataset.heart.label_check import check_label, is_inverted
from pipeline.dataset.heart.mapping import (
    OPEN,
    ColumnMapping,
    propose,
    start_of,
    vocabulary,
    words_of,
)
from pipeline.dataset.heart.plausibility import reversed_codes
from pipeline.dataset.table import DataError, RawTable, number, parse_table, read_bytes
from pipeline.schema import BY_NAME, FEATURES, NAMES, TARGET, Feature, Kind

if TYPE_CHECKING:
    import pandas as pd

_MAX_WORDS = 8  # a column with more different words is no list of categories


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
    """Title of the label's column."""
    missing_columns: tuple[str, ...]
    """Features for which the file has no column."""
    text_columns: frozenset[str]
    """Columns that were written in words, whatever the coding of the others."""
    sha256: str
    lines: tuple[int, ...]
    """Line of the file on which each patient stands, from 1."""
    notes: tuple[str, ...]
    """What was understood in a way that the file does not state."""
    warnings: tuple[tuple[str | None, str], ...]
    """Column and sentence of what speaks against what was understood or named."""
    label_positive: str = "1"
    """How the file writes the label that is read as disease."""

    def __len__(self) -> int:
        return len(self.raw)


def read_patients(
    path: str | Path,
    coding: Coding | None = None,
    mapping: ColumnMapping | None = None,
    reference: pd.DataFrame | None = None,
) -> Patients:
    """Read a file of patients.

    Parameters
    ----------
    path
        The file: UTF-8 text, separated by comma, semicolon, tab, bar or blanks.
    coding
        The coding of its integer codes when it is known; None = detect it.
    mapping
        Columns to rename and values to recode.
    reference
        Patients of a known coding with `disease`, such as a model's training patients, by which a
        coding is judged; None = those that come with the code.

    Raises
    ------
    DataError
        Whatever is wrong with the file.
    """
    return parse_patients(read_bytes(Path(path)), coding, mapping, reference)


def parse_patients(
    content: bytes,
    coding: Coding | None = None,
    mapping: ColumnMapping | None = None,
    reference: pd.DataFrame | None = None,
) -> Patients:
    """Read the bytes of such a file; as `read_patients`."""
    import pandas as pd  # only when a file is read

    mapping = mapping or ColumnMapping()
    name_of = name_finder(mapping)
    one_hot = {title.lower() for table in mapping.one_hot.values() for title in table if title}

    def known(cells: Sequence[str]) -> int:
        names = {name_of(cell) for cell in cells} - {None}
        return len(names) + sum(cell.lower() in one_hot for cell in cells)

    table = parse_table(content, known, LEAST_NAMES, _is_row)
    header = table.header or [*NAMES, "num"][: len(table.rows[0])]
    columns, labels, notes = find_columns(header, name_of, mapping)
    if table.skipped:
        lines = f"{table.skipped} line{'s' * (table.skipped > 1)}"
        notes.append(f"not read: {lines} above the header")
    cells = {name: [row[i].lower() for row in table.rows] for name, i in columns.items()}
    for name, table_of in mapping.one_hot.items():
        cells[name] = from_one_hot(name, table_of, header, table)

    raw, worded = {}, set()
    for feature in FEATURES:
        values = _recoded(cells.get(feature.name, [""] * len(table.rows)), feature.name, mapping)
        title = header[columns[feature.name]] if feature.name in columns else feature.name
        raw[feature.name], in_words = _values(feature, title, values, table.lines)
        if in_words:
            worded.add(feature.name)
    frame = pd.DataFrame(raw)
    notes += _drop_missing_numbers(frame)
    label = _one_label(header, labels, table, mapping) if labels else None
    disease = None if label is None else label[0]
    oriented = _oriented(frame, disease)
    found = detect_coding(frame, oriented, worded, coding, reference)
    features = None if found.coding is None else to_uci(frame, found.coding, worded)
    warnings: list[tuple[str | None, str]] = []
    if found.contradiction:
        warnings.append((None, f"the codes contradict --coding {coding}: {found.contradiction}"))
    for name in [] if features is None else reversed_codes(features, oriented):
        text = f"0 and 1 fit the other findings better the other way round; expected {_codes(name)}"
        warnings += [] if name in worded else [(name, text)]
    return Patients(
        raw=frame,
        features=features,
        disease=disease,
        coding=found.coding,
        coding_evidence=found.reason,
        label_name=header[labels[0]] if labels else None,
        missing_columns=tuple(name for name in NAMES if name not in cells),
        text_columns=frozenset(worded),
        sha256=hashlib.sha256(content).hexdigest(),
        lines=tuple(table.lines),
        notes=(*notes, *(label[2] if label else ())),
        warnings=tuple(warnings),
        label_positive=label[1] if label else "1",
    )


def _oriented(raw: pd.DataFrame, disease: pd.Series | None) -> pd.Series | None:
    """Return the label with 1 = disease whatever the file claims; None when that is not known."""
    inverted = is_inverted(check_label(raw, disease), disease)
    return None if disease is None or inverted is None else abs(disease - float(inverted))


def _is_row(cells: Sequence[str]) -> bool:
    return len(cells) in (len(NAMES), len(NAMES) + 1) and all(
        cell.lower() in MISSING or number(cell.lower()) is not None for cell in cells
    )


def _recoded(cells: list[str], name: str, mapping: ColumnMapping) -> list[str]:
    table = mapping.values.get(name, {})
    numbers = {number(cell): value for cell, value in table.items()}
    return [
        (table[c] if c in table else numbers.get(number(c), c) if number(c) is not None else c)
        .strip()
        .lower()
        for c in cells
    ]


def _values(
    feature: Feature, title: str, cells: Sequence[str], lines: Sequence[int]
) -> tuple[list[float], bool]:
    """Turn cells into numbers; words become UCI codes at once. True = written in words."""
    words = words_of(feature.name)
    values, unknown = [], []
    n_words = n_numbers = 0
    for place, cell in enumerate(cells):
        value = float("nan")
        if cell not in MISSING:
            written = number(cell)
            if word(cell) in words and written is None:
                value, n_words = words[word(cell)], n_words + 1
            elif written is None:
                unknown.append(place)
            else:
                value, n_numbers = written, n_numbers + 1
        values.append(value)
    if unknown:
        raise DataError(
            _unknown(feature.name, title, [cells[i] for i in unknown], lines[unknown[0]])
        )
    if n_words and n_numbers and feature.kind is Kind.CATEGORY:
        raise DataError(f"column {title} mixes words and codes; write one of them")
    return values, n_words > 0


def _unknown(name: str, title: str, cells: Sequence[str], line: int) -> str:
    """Say on which line a word is unknown; where the words are few, begin a mapping of them."""
    where = f"line {line}, column {title}: "
    distinct = list(dict.fromkeys(cells))
    known = vocabulary(name)
    if any(number(cell.replace(",", ".")) is not None for cell in distinct):
        return f"{where}a number that can be read in two ways; write it with a decimal point"
    if any(re.match(r"[-+]?\d", cell) for cell in distinct) and not known:
        return f"{where}a number with something beside it; write the number alone, without its unit"
    if not known or len(distinct) > _MAX_WORDS or max(map(len, distinct)) > 20:
        return f"{where}neither a number nor a known word; leave unknown values empty"
    start = start_of(values={name: propose(name, distinct)})
    return (
        f"{where}neither a number nor a known word ({', '.join(known)}); say what it is in a file "
        f"for --mapping, which begins {start}"
    )


def _drop_missing_numbers(frame: pd.DataFrame) -> list[str]:
    """Blank numbers such as 999 where no such value is usual; say how many."""
    notes = []
    for feature in FEATURES:
        column = frame[feature.name]
        usual = (None, None) if feature.required else (feature.usual_low, feature.usual_high)
        low = feature.low if usual[0] is None else usual[0]
        high = feature.high if usual[1] is None else usual[1]
        marked = column.isin(MISSING_NUMBERS) & ((column < low) | (column > high))
        if marked.any():
            value = column[marked].iloc[0]
            notes.append(
                f"{feature.name}: {int(marked.sum())} values of {value:g} are read as missing"
            )
            frame[feature.name] = column.mask(marked)
    return notes


def _codes(name: str) -> str:
    codes = BY_NAME[name].codes or {"no": 0, "yes": 1}
    return ", ".join(f"{code} = {written}" for written, code in codes.items())


def _one_label(
    header: Sequence[str], places: Sequence[int], table: RawTable, mapping: ColumnMapping
) -> tuple[pd.Series, str, list[str]]:
    """Read the label; several columns of it must say the same."""
    read = []
    for i in places:
        cells = _recoded([row[i].lower() for row in table.rows], TARGET, mapping)
        read.append(_label(header[i], cells, table.lines))
    if any(not np.array_equal(read[0][0], other[0], equal_nan=True) for other in read[1:]):
        titles = [header[i] for i in places]
        raise DataError(
            f"the label columns {' and '.join(titles)} differ; leave one out with --mapping: "
            f"{start_of(columns={titles[-1]: ''})}"
        )
    return read[0]


def _label(
    title: str, cells: Sequence[str], lines: Sequence[int]
) -> tuple[pd.Series, str, list[str]]:
    """Return the label, how disease is written, and what was assumed."""
    import pandas as pd  # only when a file is read

    words, values, unknown = words_of(TARGET), [], []
    for place, cell in enumerate(cells):
        value = number(cell)
        if cell in MISSING:
            value = float("nan")
        elif value is None:
            value = words.get(word(cell))
        if value is None or (value == value and value not in (0, 1, 2, 3, 4)):
            unknown.append(place)
        values.append(value)
    if unknown:
        distinct = list(dict.fromkeys(cells[i] for i in unknown))[:_MAX_WORDS]
        start = start_of(values={TARGET: {d: OPEN for d in distinct if len(d) <= 20}})
        raise DataError(
            f"line {lines[unknown[0]]}, column {title}: expected 0-4, yes or no, present or "
            f"absent; say which values are disease in a file for --mapping, which begins {start}"
        )
    series = pd.Series(values, name=TARGET, dtype=float)
    if set(series.dropna()) == {1.0, 2.0} and not any(word(cell) in words for cell in cells):
        note = f"{title} is 1 or 2: read as in UCI's Statlog file, 1 = absence, 2 = presence"
        return series - 1, "2", [note]
    return (series > 0).astype(float).where(series.notna()), "1", []
