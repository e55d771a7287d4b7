"""Export predictions with outcomes and responses as CSV or JSON lines: `cardiowatch export`."""

from __future__ import annotations

import csv
import io
import sys
from collections.abc import Callable, Iterable, Iterator
from datetime import datetime
from itertools import islice
from pathlib import Path
from typing import Any

import click
import msgspec

from db.arguments import PatientReference, Time
from db.audit.chain import check_key
from db.audit.patient_rows import LONGEST_S, PatientRows, rows_of
from db.audit.seal_key import require_patient_key
from db.engine import open_engine
from db.reader.queries import Reader
from db.schema import EXPORTED_COLUMNS, RECORDED_COLUMNS, SOURCES, predictions
from errors import naming
from pipeline.dataset.heart import Coding, encode_row
from settings import Settings, load_settings

EXPORT_COLUMNS = (
    *(c.name for c in EXPORTED_COLUMNS),
    *(c.name for recorded in RECORDED_COLUMNS.values() for c in recorded),
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


class _Counted:
    """Passes rows on and counts them, on a terminal visibly."""

    def __init__(self, rows: Iterable[Row]) -> None:
        self._rows = rows
        self.number = 0

    def __iter__(self) -> Iterator[Row]:
        for row in self._rows:
            self.number += 1
            yield row
            if self.number % 100_000 == 0 and sys.stderr.isatty():
                print(f"{self.number:,} rows", file=sys.stderr)


def _write(blocks: Iterable[str], output: Path | None) -> None:
    if output is None:
        sys.stdout.writelines(blocks)
        sys.stdout.flush()
        return
    part = output.with_name(f"{output.name}.part")  # a partial export never looks complete
    part.touch(mode=0o600)  # patient data: readable by the owner only
    try:
        with naming(part), part.open("w", encoding="utf-8", newline="") as file:
            file.writelines(blocks)
        part.replace(output)
    finally:
        part.unlink(missing_ok=True)


def _of_name(settings: Settings, patient: str | None, actor: str) -> PatientRows:
    key = require_patient_key(settings.database_url, settings.log_hmac_key_file)
    engine = open_engine(settings.database_url, read_only=True, timeout_s=LONGEST_S)
    try:
        check_key(engine, key)
        if patient is not None:
            return rows_of(engine, key.hash_patient_reference(patient))
        return rows_of(engine, key.hash_acting_user(actor), predictions.c.actor)
    finally:
        engine.dispose()


@click.command("export")
@click.option("--since", type=Time(), help="Earliest time, e.g. 2026-01-31T08:00:00Z.")
@click.option("--until", type=Time(), help="Time before which rows are exported.")
@click.option("--source", type=click.Choice(SOURCES), help="Only this source; default: all.")
@click.option(
    "--patient", type=PatientReference(), help="Only this Patient-Reference; - = from stdin."
)
@click.option(
    "--actor", type=PatientReference(), help="Only what this Acting-User asked; - = from stdin."
)
@click.option(
    "--format",
    "form",
    type=click.Choice(list(FORMATS)),
    default="csv",
    show_default=True,
    help="Of the file.",
)
@click.option(
    "--coding",
    type=click.Choice([*Coding]),
    default=Coding.LABELS,
    show_default=True,
    help="Of the findings.",
)
@click.option(
    "--output", type=click.Path(path_type=Path), help="File to write; default: standard output."
)
def command(
    since: datetime | None,
    until: datetime | None,
    source: str | None,
    patient: str | None,
    actor: str | None,
    form: str,
    coding: str,
    output: Path | None,
) -> None:
    """Write the predictions, newest first: all, or of one patient or user.

    Each with its newest outcome and response.
    """
    if patient is not None and actor is not None:
        raise click.UsageError("give --patient or --actor, not both")
    settings = load_settings()
    difference = None
    reader = Reader(settings.database_url)
    reader.ping()  # before the header is written
    rows: Iterable[Row] = reader.stream(since=since, until=until, source=source)
    if patient is not None or actor is not None:
        found = _of_name(settings, patient, actor or "")
        rows, difference = found.between(since, until, source), found.difference()
    counted = _Counted(rows)
    _write(FORMATS[form](counted, Coding(coding)), output)
    reader.close()
    print(f"{counted.number:,} rows written", file=sys.stderr)
    if difference:
        print(difference, file=sys.stderr)


if __name__ == "__main__":
    from cardiowatch import deprecated

    sys.exit(deprecated("export"))
