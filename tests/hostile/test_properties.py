"""Whatever the bytes are: codings, the CSV reader, the audit and the export hold to their word."""

from __future__ import annotations

import csv
import io
import json
import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from api.wire.decode import DECODERS
from api.wire.problems import MAX_PROBLEM_BYTES, Problem
from db.export import EXPORT_COLUMNS, csv_lines
from pipeline.audit import audit
from pipeline.dataset.heart import Coding, DataError, encode, read_patients
from pipeline.dataset.table import MAX_BYTES as FILE_MAX
from pipeline.schema import FEATURES, NAMES, Kind
from tests.db.test_export import ROW
from tests.pipeline.conftest import HEADER, SICK

MANY = 2000 if os.environ.get("HOSTILE") == "all" else 200
seeded = settings(
    max_examples=MANY, derandomize=True, deadline=None, database=None,
    suppress_health_check=list(HealthCheck),
)  # fmt: skip

scalars = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=20),
    st.integers(-5, 8), st.floats(-10, 1000),
    st.sampled_from([word for feature in FEATURES for word in feature.codes]),
)  # fmt: skip
anything = st.recursive(
    scalars, lambda of: st.lists(of, max_size=3) | st.dictionaries(st.text(), of), max_leaves=5
)  # fmt: skip
patients = st.dictionaries(st.sampled_from(NAMES) | st.text(max_size=5), anything, max_size=14)
codings = st.sampled_from(list(Coding))


def right_value(feature: Any) -> st.SearchStrategy[float | None]:
    """Values of a feature as they are stored."""
    if feature.kind is Kind.NUMBER:
        known: Any = st.floats(feature.low, feature.high)
    elif feature.kind is Kind.COUNT:
        known = st.sampled_from(feature.values).map(float)
    else:
        known = st.sampled_from([float(code) for code in feature.codes.values()])
    return known if feature.required else st.none() | known


rows = st.tuples(*(right_value(feature) for feature in FEATURES))


def decoded(body: bytes, coding: Coding) -> tuple[float | None, ...] | None:
    """Return the row; None when the body is refused as it should be."""
    try:
        row = DECODERS[coding].decode_one(body)
    except Problem as found:
        problem = found
    else:
        return within_limits(row)
    assert problem.status == 422
    assert problem.errors
    assert len(problem.body("0190163d-8694-739b-aea5-966c26f8ad91")) <= MAX_PROBLEM_BYTES
    return None


def within_limits(row: tuple[float | None, ...]) -> tuple[float | None, ...]:
    """Return the row, which must be one that the database would take."""
    for feature, value in zip(FEATURES, row, strict=True):
        assert value is not None or not feature.required
        assert value is None or isinstance(value, int | float)
        if value is not None and feature.is_numeric:
            assert feature.low <= value <= feature.high
        elif value is not None:
            assert value in feature.codes.values()
    return row


@seeded
@given(body=st.binary(max_size=300), coding=codings)
def test_any_bytes_are_a_patient_or_a_refusal(body: bytes, coding: Coding) -> None:
    decoded(body, coding)


@seeded
@given(patient=patients, coding=codings)
def test_any_object_is_a_patient_within_the_limits_or_a_refusal(
    patient: dict[str, Any], coding: Coding
) -> None:
    decoded(json.dumps(patient).encode(), coding)


@seeded
@given(batch=st.lists(anything | patients, max_size=5), coding=codings)
def test_any_array_is_a_batch_or_a_refusal(batch: list[Any], coding: Coding) -> None:
    try:
        read_rows = DECODERS[coding].decode_batch(json.dumps(batch).encode())
    except Problem as found:
        problem = found
    else:
        assert len(read_rows) == len(batch)
        return
    assert problem.status == 422
    assert problem.total == len(problem.errors) or len(problem.errors) == 20
    assert len(problem.body()) <= MAX_PROBLEM_BYTES


@seeded
@given(row=rows, coding=codings)
def test_a_row_written_in_a_coding_is_read_back_as_it_was(
    row: tuple[float | None, ...], coding: Coding
) -> None:
    wire = {f.name: encode(f, value, coding) for f, value in zip(FEATURES, row, strict=True)}

    assert decoded(json.dumps(wire).encode(), coding) == row


def audited(path: Path) -> dict[str, Any] | None:
    """Return what the audit says as JSON would hold it; None when the file cannot be read."""
    try:
        found = audit(path)
    except DataError as error:
        sentence = str(error)
    else:
        said: dict[str, Any] = json.loads(json.dumps(found.to_dict(), allow_nan=False))
        return said
    assert "\n" not in sentence
    assert len(sentence) < 500
    return None


@seeded
@given(content=st.binary(max_size=500))
def test_a_file_of_any_bytes_is_audited_or_refused(
    content: bytes, tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.getbasetemp() / "any.csv"
    path.write_bytes(content)
    audited(path)


cells = st.one_of(
    st.text(max_size=8), st.integers(-10, 700).map(str), st.floats().map(str),
    st.sampled_from(["", "?", "-9", "=1+1", "@SUM(A1)", "yes", "no", '"', "'", "1;2", "\0"]),
)  # fmt: skip
headers = st.lists(
    st.sampled_from([*NAMES, "num", "target", "gender", "sno"]) | st.text(max_size=6), max_size=16
)


@seeded
@given(
    header=headers, table=st.lists(st.lists(cells, max_size=16), max_size=8),
    separator=st.sampled_from([",", ";", "\t", " "]),
    encoding=st.sampled_from(["utf-8", "utf-8-sig", "utf-16", "latin-1"]),
)  # fmt: skip
def test_a_file_that_is_almost_a_table_is_audited_or_refused(
    header: list[str],
    table: list[list[str]],
    separator: str,
    encoding: str,
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    path = tmp_path_factory.getbasetemp() / "table.csv"
    text = "\n".join(separator.join(row) for row in [header, *table])
    path.write_bytes(text.encode(encoding, "replace"))
    audited(path)


LINE = ",".join(SICK) if not isinstance(SICK, str) else SICK
WIDE = [f"c{i}" for i in range(10_000)]


def table(*lines: str) -> bytes:
    return "\n".join(lines).encode()


def filled(cell: str) -> str:
    return ",".join([cell] * len(HEADER.split(",")))


ODD_FILES = {
    "empty": b"",
    "one byte": b"\x00",
    "only line ends": b"\n" * 10_000,
    "only separators": b"," * 100_000,
    "a header and nothing more": HEADER.encode(),
    "10,000 columns": table(",".join(WIDE), ",".join("1" * 10_000)),
    "the 13 among 10,000 columns": table(
        ",".join([HEADER, *WIDE]), ",".join([LINE, *"1" * 10_000])
    ),
    "a cell of a million letters": (HEADER + "\n" + "a" * 1_000_000 + "," + LINE).encode(),
    "a quote that is never closed": (HEADER + '\n"' + LINE + "\n" + (LINE + "\n") * 5_000).encode(),
    "a program": b"\x7fELF" + bytes(range(256)) * 100,
    "a picture": b"\x89PNG\r\n\x1a\n" + bytes(range(256)) * 100,
    "packed": b"\x1f\x8b\x08" + bytes(range(256)) * 100,
    "a workbook": b"PK\x03\x04" + bytes(range(256)) * 100,
    "UTF-16": (HEADER + "\n" + LINE).encode("utf-16"),
    "UTF-32": (HEADER + "\n" + LINE).encode("utf-32"),
    "broken UTF-8": (HEADER + "\n" + LINE).encode() + b"\xff\xfe\n",
    "formulas": table(HEADER, filled("=cmd|' /C calc'!A0")),
    "a column twice": (HEADER + ",age\n" + LINE + ",5").encode(),
    "too few cells": (HEADER + "\n63,1").encode(),
    "too many cells": (HEADER + "\n" + LINE + ",1,2,3").encode(),
    "numbers of 400 digits": table(HEADER, filled("9" * 400)),
}  # fmt: skip


@pytest.mark.parametrize("content", ODD_FILES.values(), ids=ODD_FILES.keys())
def test_an_odd_file_is_audited_or_refused(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "odd.csv"
    path.write_bytes(content)
    audited(path)


def test_a_huge_file_is_refused_before_it_is_read(tmp_path: Path) -> None:
    path = tmp_path / "huge.csv"
    with path.open("wb") as file:
        file.truncate(FILE_MAX + 1)

    with pytest.raises(DataError):
        read_patients(path)


@pytest.mark.parametrize("name", ["folder", "missing"])
def test_what_is_no_file_is_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / "folder").mkdir()

    with pytest.raises(DataError):
        read_patients(tmp_path / name)


FORMULAS = "=+-@\t\r\n＝＋－＠"


@seeded
@given(text=st.text(max_size=30) | st.text(FORMULAS, min_size=1, max_size=3).map("{}1".format))
def test_no_text_becomes_a_formula_or_another_cell_when_it_is_exported(text: str) -> None:
    exported = "".join(csv_lines([ROW | {"model_version": text}], Coding.LABELS))
    found = list(csv.DictReader(io.StringIO(exported, newline="")))

    assert len(found) == 1
    assert list(found[0]) == list(EXPORT_COLUMNS)
    cell = found[0]["model_version"]
    assert not cell.startswith(tuple(FORMULAS))
    assert cell.removeprefix("'").replace("\r\n", "\n") == text.removeprefix("'").replace(
        "\r\n", "\n"
    )
