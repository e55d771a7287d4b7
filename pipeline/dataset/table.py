"""Read a table out of any text file: its header, its rows, and the line on which each stands."""

from __future__ import annotations

import codecs
import csv
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from errors import FAILED, UNDECIDABLE, CardiowatchError

MAX_BYTES = 256 * 2**20  # about 5 million patients; a larger file is not a study's table

_DELIMITERS = (",", ";", "\t", "|", " ")
_COMMENT = re.compile(r"\s*(#(?!n/?a\b)|%|//)", re.IGNORECASE)  # a row may begin with #N/A
_LOOK_AT = 50  # rows among which the header is looked for
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?", re.ASCII)
_COMMA_NUMBER = re.compile(r"[+-]?\d*,\d+(e[+-]?\d+)?", re.ASCII)


class DataError(CardiowatchError):
    """The file cannot be read as patients; one sentence says why and what to do."""

    exit_code = UNDECIDABLE


class UnreadableFile(DataError):
    """The file cannot be opened."""

    exit_code = FAILED


@dataclass(frozen=True)
class RawTable:
    """The cells of a file, without blanks around them."""

    header: list[str] | None
    """As written; None when the file has numbers alone."""
    rows: list[list[str]]
    lines: list[int]
    """The line of the file on which each row begins, from 1."""
    skipped: int
    """Lines above the header that belong to no table, such as a title."""


def read_bytes(path: Path) -> bytes:
    """Read a file of at most `MAX_BYTES`.

    Raises
    ------
    UnreadableFile
        When it cannot be opened, or is larger.
    """
    try:
        with path.open("rb") as file:
            content = file.read(MAX_BYTES + 1)  # the size of a pipe is unknown in advance
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "not a usable path"
        raise UnreadableFile(f"{path.name} cannot be read: {reason}") from error
    if len(content) > MAX_BYTES:
        raise UnreadableFile(f"{path.name} is larger than {MAX_BYTES // 2**20} MiB")
    return content


def number(cell: str) -> float | None:
    """Return the number in a cell, with a decimal point or comma; None when it is none.

    `1,234` may be either of two numbers and is none.
    """
    if _COMMA_NUMBER.fullmatch(cell) and not re.fullmatch(r"[+-]?[1-9]\d{0,2},\d{3}", cell):
        cell = cell.replace(",", ".")
    if not _NUMBER.fullmatch(cell):
        return None
    value = float(cell)
    return None if abs(value) == float("inf") else value  # 1e400


def parse_table(
    content: bytes, known: Callable[[Sequence[str]], int], least: int, is_row: Callable[..., bool]
) -> RawTable:
    """Find the table in the bytes of a file.

    Understood are commas, semicolons, tabs, bars or blanks between the cells, a line `sep=;`, lines
    above the header, comment lines, ARFF files, decimal commas and blank lines.

    Parameters
    ----------
    content
        UTF-8 text, or UTF-16 with its mark.
    known
        Counts the cells of a row that are names of columns.
    least
        How many of them make a header.
    is_row
        Whether the cells of a row are those of a file without a header.

    Raises
    ------
    DataError
        When there is no such table.
    """
    lines = _lines(_text(content))
    stated = re.fullmatch(r'"?sep=(.)"?', lines[0].strip(), re.IGNORECASE) if lines else None
    if stated:
        lines[0] = "\n"
    _arff_header(lines)
    for i, line in enumerate(lines):
        if _COMMENT.match(line):
            names = line.lstrip(" #%/").rstrip()
            is_header = any(known(_cells(names, d)) >= least for d in _DELIMITERS)
            lines[i] = names + "\n" if is_header else "\n"
    delimiters = (stated[1],) if stated else _DELIMITERS
    best = (0, 0, 0, 0)  # of equals the earlier delimiter: tabs, too, are blanks
    for which, delimiter in enumerate(delimiters):
        try:
            first = list(islice(_records(lines, delimiter), _LOOK_AT))
        except csv.Error:
            continue
        for place, (_, cells) in enumerate(first):
            score = known(cells) if known(cells) >= least else int(is_row(cells))
            best = max(best, (score, -place, -which, len(cells)))
    score, place, which, _ = best
    delimiter = delimiters[-which]
    try:
        records = list(_records(lines, delimiter))
    except csv.Error as error:
        raise DataError(f"not a CSV file: {error}") from error
    if not records:
        raise DataError("the file has no cells")
    header = records[-place][1] if score >= least or score == 0 else None
    body = records[-place + (header is not None) :]
    if score and not body:
        raise DataError("the file has a header and no patients")
    width = len(header or records[-place][1])
    rows = [_fitted(cells, width, line) for line, cells in body] if score else []
    return RawTable(header, rows, [line for line, _ in body], -place)


def _text(content: bytes) -> str:
    utf_16 = content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))  # Excel's "Unicode"
    if b"\0" in content and not utf_16:
        raise DataError("this is a binary file; save it as CSV in UTF-8")
    try:
        text = content.decode("utf-16" if utf_16 else "utf-8-sig")
    except UnicodeDecodeError as error:
        raise DataError("the text is not UTF-8; save it as CSV in UTF-8") from error
    if not text.strip():
        raise DataError("the file is empty")
    return text


def _lines(text: str) -> list[str]:
    return [f"{line}\n" for line in text.replace("\r\n", "\n").replace("\r", "\n").split("\n")]


def _arff_header(lines: list[str]) -> None:
    """Write the names of an ARFF file's attributes where its data begin."""
    names: list[str] = []
    for i, line in enumerate(lines):
        word = line.strip().split(maxsplit=1)
        if not word or not word[0].startswith("@"):
            if names or (word and not _COMMENT.match(line)):
                return  # no ARFF file, or its data
            continue
        kind = word[0].lower()
        if kind == "@attribute":
            found = re.match(r"'([^']*)'|\"([^\"]*)\"|(\S+)", word[1]) if len(word) > 1 else None
            names += [next(filter(None, found.groups()), "")] if found else []
        lines[i] = ",".join(names) + "\n" if kind == "@data" else "\n"


def _cells(line: str, delimiter: str) -> list[str]:
    try:
        return next(_records([line], delimiter), (0, [""]))[1]
    except csv.Error:
        return []


def _records(lines: Sequence[str], delimiter: str) -> Iterator[tuple[int, list[str]]]:
    """Yield the line and the cells of each row that is not blank."""
    text = (" ".join(line.split()) + "\n" for line in lines) if delimiter == " " else iter(lines)
    reader = csv.reader(text, delimiter=delimiter, skipinitialspace=True)
    line = 1
    for row in reader:
        cells = [cell.strip().strip("'").strip() for cell in row]
        if any(cells):
            yield line, cells
        line = reader.line_num + 1


def _fitted(cells: list[str], width: int, line: int) -> list[str]:
    if len(cells) > width and not any(cells[width:]):
        return cells[:width]
    if len(cells) != width:
        raise DataError(f"line {line} has {len(cells)} cells where {width} are expected")
    return cells
