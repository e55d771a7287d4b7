"""Make `data/heart.csv` from the package that carries the original UCI Cleveland table.

    pip download --no-deps --only-binary=:all: orange3==3.40.0
    cardiowatch convert orange3-3.40.0-*.whl data/heart.csv

Words become UCI codes, `?` becomes an empty cell, the binary label keeps its meaning. The table's
hash is checked first, so the outcome is the same file everywhere.
"""

from __future__ import annotations

import csv
import hashlib
import io
import zipfile
from pathlib import Path

import click

from errors import CardiowatchError
from pipeline.schema import NAMES, TARGET

MEMBER = "Orange/datasets/heart_disease.tab"
SHA256 = "954e44e3d93a97682b5466c7ea166e16f376f8dd93deef5855f511734e4d6224"
HEADER_LINES = 3  # names, types, roles

WORDS: dict[str, dict[str, str]] = {
    "sex": {"female": "0", "male": "1"},
    "cp": {"typical ang": "1", "atypical ang": "2", "non-anginal": "3", "asymptomatic": "4"},
    "restecg": {"normal": "0", "ST-T abnormal": "1", "left vent hypertrophy": "2"},
    "slope": {"upsloping": "1", "flat": "2", "downsloping": "3"},
    "thal": {"normal": "3", "fixed defect": "6", "reversable defect": "7"},
}
"""The package's words -> the codes of UCI's `processed.cleveland.data`."""


def table_bytes(source: Path) -> bytes:
    """Read the table from a wheel, or as it is, and insist on its hash.

    Raises
    ------
    CardiowatchError
        When the table is not the one that this conversion was written for.
    """
    content = source.read_bytes()
    if zipfile.is_zipfile(io.BytesIO(content)):
        with zipfile.ZipFile(io.BytesIO(content)) as wheel:
            content = wheel.read(MEMBER) if MEMBER in wheel.namelist() else b""
    if hashlib.sha256(content).hexdigest() != SHA256:
        raise CardiowatchError(f"{source.name} does not hold the expected {MEMBER} (hash differs)")
    return content


def convert(table: bytes) -> str:
    """Return the table as CSV text: the thirteen UCI names and `disease`, UCI codes."""
    lines = table.decode("utf-8").splitlines()[HEADER_LINES:]
    columns = (*NAMES, TARGET)
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(columns)
    for cells in csv.reader(lines, delimiter="\t"):
        named = zip(columns, cells, strict=True)
        writer.writerow("" if c == "?" else WORDS.get(name, {}).get(c, c) for name, c in named)
    return out.getvalue()


@click.command("convert")
@click.argument("source", type=click.Path(path_type=Path))
@click.argument("output", type=click.Path(path_type=Path))
def command(source: Path, output: Path) -> None:
    """Convert the original UCI Cleveland table to the CSV that the model is trained on.

    SOURCE is the wheel of orange3 3.40.0, or the table in it; OUTPUT is the CSV file to write.
    """
    output.write_text(convert(table_bytes(source)), encoding="utf-8", newline="\n")
