"""Export predictions with their outcomes as CSV or JSON lines: `python -m db.export`."""

from __future__ import annotations

import argparse
import csv
import io
import os
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from datetime import datetime
from itertools import islice
from pathlib import Path
from typing import Any

import msgspec

from db.arguments import patient_reference
from db.audit.chain import check_key
from db.audit.patient_rows import LONGEST_S, PatientRows, rows_of
from db.audit.seal_key import SealError, require_patient_key
from db.engine import DatabaseUnavailable, open_engine
from db.reader.queries import Reader
from db.schema import EXPORTED_COLUMNS, SOURCES, outcomes
from pipeline.dataset.heart.codings import Coding, encode_row
from settings import Settings, SettingsError, load_settings

EXPORT_COLUMNS = (
    *(c.name for c in EXPORTED_COLUMNS),
    outcomes.c.outcome.name,
    outcomes.c.observed_at.name,
)

_BLOCK = 500  # rows per write: one by one, a stream spends its time on task switches
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")
"""A spreadsheet runs cells that begin with these; the wide ones in Japanese locales.

Source: OWASP, CSV injection.
"""

Row = dict[str, Any]


def csv_lines(rows: Iterable[Row], coding: Coding) -> Iterator[str]:
    """Yield a header and the rows as CSV, in blocks of lines; unknown values are empty."""
    yield ",".join(EXPORT_COLUMNS) + "\r\n"
    for block in _blocks(rows):
        text = io.StringIO()
        write = csv.writer(text).writerow
        for row in block:
            coded = encode_row(row, coding)
            write([_cell(coded[name]) for name in EXPORT_COLUMNS])
        yield text.getvalue()


def jsonl_lines(rows: Iterable[Row], coding: Coding) -> Iterator[str]:
    """Yield the rows as JSON, one per line, in blocks of lines."""
    encoder = msgspec.json.Encoder()
    for block in _blocks(rows):
        yield encoder.encode_lines([encode_row(row, coding) for row in block]).decode()


FORMATS: dict[str, Callable[[Iterable[Row], Coding], Iterator[str]]] = {
    "csv": csv_lines,
    "jsonl": jsonl_lines,
}


def _blocks(rows: Iterable[Row]) -> Iterator[list[Row]]:
    rows = iter(rows)
    while block := list(islice(rows, _BLOCK)):
        yield block


def escape_formula(text: str) -> str:
    """Return text as a cell that no spreadsheet evaluates."""
    return f"'{text}" if text.startswith(_FORMULA) else text


def _cell(value: object) -> object:
    write = _CELLS.get(type(value))
    return value if write is None else write(value)


_CELLS: dict[type, Callable[[Any], str]] = {
    datetime: lambda time: time.isoformat().replace("+00:00", "Z"),
    bool: lambda yes: "true" if yes else "false",
    str: escape_formula,
}


def _time(text: str) -> datetime:
    with suppress(ValueError):
        time = datetime.fromisoformat(text)
        if time.tzinfo is not None:
            return time
    raise argparse.ArgumentTypeError("expected a time with a time zone, e.g. 2026-01-31T08:00:00Z")


def _arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m db.export", description=__doc__)
    parser.add_argument("--since", type=_time, help="earliest time, e.g. 2026-01-31T08:00:00Z")
    parser.add_argument("--until", type=_time, help="time before which rows are exported")
    parser.add_argument("--source", choices=SOURCES, help="only this source; default: all")
    parser.add_argument(
        "--patient", help="only this Patient-Reference; - = read from standard input"
    )
    parser.add_argument("--format", choices=tuple(FORMATS), default="csv")
    parser.add_argument("--coding", choices=tuple(Coding), type=Coding, default=Coding.LABELS)
    parser.add_argument("--output", type=Path, help="file to write; default: standard output")
    return parser.parse_args(argv)


def _counted(rows: Iterable[Row]) -> Iterator[Row]:
    """Pass rows on and report progress on stderr, on a terminal."""
    number = 0
    for number, row in enumerate(rows, 1):
        yield row
        if number % 100_000 == 0 and sys.stderr.isatty():
            print(f"{number:,} rows", file=sys.stderr)
    print(f"{number:,} rows written", file=sys.stderr)


def _write(blocks: Iterable[str], output: Path | None) -> None:
    if output is None:
        sys.stdout.writelines(blocks)
        sys.stdout.flush()
        return
    part = output.with_name(f"{output.name}.part")  # a partial export never looks complete
    part.touch(mode=0o600)  # patient data: readable by the owner only
    with part.open("w", encoding="utf-8", newline="") as file:
        file.writelines(blocks)
    part.replace(output)


def _of_patient(settings: Settings, named: str) -> PatientRows:
    key = require_patient_key(settings.database_url, settings.log_hmac_key_file)
    engine = open_engine(settings.database_url, read_only=True, timeout_s=LONGEST_S)
    try:
        check_key(engine, key)
        return rows_of(engine, key.hash_patient_reference(patient_reference(named)))
    finally:
        engine.dispose()


def main(argv: Sequence[str] | None = None) -> int:
    """Export what the arguments ask for; return the exit code."""
    wanted = _arguments(argv)
    try:
        settings = load_settings()
        window = {"since": wanted.since, "until": wanted.until, "source": wanted.source}
        difference = None
        reader = Reader(settings.database_url)
        reader.ping()  # before the header is written
        rows: Iterable[Row] = reader.stream(**window)
        if wanted.patient is not None:
            found = _of_patient(settings, wanted.patient)
            rows, difference = found.between(**window), found.difference()
        _write(FORMATS[wanted.format](_counted(rows), wanted.coding), wanted.output)
        reader.close()
    except BrokenPipeError:  # the pipe was closed; keep Python from failing again at exit
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except (DatabaseUnavailable, SettingsError, SealError, OSError) as error:
        print(error, file=sys.stderr)
        return 1
    if difference:
        print(difference, file=sys.stderr)
    return 0


if __name__ == "__main__":
    sys.exit(main())
