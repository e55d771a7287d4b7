from __future__ import annotations

import contextlib
import hashlib
import math
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from errors import CardiowatchError
from pipeline.dataset.heart import HEART_CSV, Coding, DataError, Patients, read_patients
from pipeline.dataset.heart.convert import SHA256, convert, table_bytes
from pipeline.schema import NAMES
from tests.conftest import ROOT
from tests.pipeline.conftest import HEADER, SICK, WELL, csv_file

STUDY_HEADER = (
    "sno,age,gender,cp,trestbps,chol,fbs,restecg,thalach,exang,oldpeak,slope,ca,thal,target"
)


def first(patients: Patients) -> list[float]:
    assert patients.features is not None
    return [float(value) for value in patients.features.iloc[0]]


WELL_VALUES = [float(cell) for cell in WELL.split(",")[:13]]


def test_cleveland_has_303_patients_139_of_them_ill_and_6_empty_cells() -> None:
    cleveland = read_patients(HEART_CSV)
    assert cleveland.features is not None
    assert cleveland.disease is not None
    assert len(cleveland) == 303
    assert cleveland.disease.sum() == 139
    missing = cleveland.features.isna().sum()
    assert missing[missing > 0].to_dict() == {"ca": 4, "thal": 2}


def test_the_readme_of_the_data_names_both_hashes() -> None:
    text = (ROOT / "data" / "README.md").read_text()
    assert hashlib.sha256(HEART_CSV.read_bytes()).hexdigest() in text
    assert SHA256 in text


def test_the_conversion_turns_words_into_codes() -> None:
    table = (
        "names\n" "types\n" "roles\n"
        "63\tmale\ttypical ang\t145\t233\t1\tleft vent hypertrophy\t150\t0\t2.3\tdownsloping\t0\t"
        "fixed defect\t0\n"
        "53\tfemale\tnon-anginal\t128\t216\t0\tnormal\t115\t0\t0\tupsloping\t0\t?\t0\n"
    )  # fmt: skip
    assert convert(table.encode()) == f"{HEADER}\n{WELL}\n53,0,3,128,216,0,0,115,0,0,1,0,,0\n"


def test_the_conversion_refuses_another_table(tmp_path: Path) -> None:
    (tmp_path / "other.tab").write_text("another table")
    with pytest.raises(CardiowatchError, match="hash differs"):
        table_bytes(tmp_path / "other.tab")


def test_a_uci_file_without_a_header_is_read(tmp_path: Path) -> None:
    path = tmp_path / "processed.some.data"
    path.write_text("63.0,1.0,1.0,145.0,233.0,1.0,2.0,150.0,0.0,2.3,3.0,?,-9,4\n")
    patients = read_patients(path)
    assert patients.coding is Coding.UCI
    assert first(patients)[:11] == WELL_VALUES[:11]
    assert all(math.isnan(value) for value in first(patients)[11:])
    assert patients.disease is not None
    assert patients.disease.tolist() == [1.0]  # num 4 is disease


def test_a_study_project_file_becomes_uci_codes(tmp_path: Path) -> None:
    line = "0,63,male,3,145,233,1,0,150,0,2.3,0,0,1,yes"
    patients = read_patients(csv_file(tmp_path, line, header=STUDY_HEADER))
    assert patients.coding is Coding.KAGGLE
    assert first(patients) == WELL_VALUES
    assert patients.disease is not None
    assert patients.disease.tolist() == [1.0]  # as the file claims it


def test_kaggle_codes_for_missing_become_missing(tmp_path: Path) -> None:
    line = "0,63,male,3,145,233,1,0,150,0,2.3,0,4,0,no"
    assert all(
        math.isnan(value)
        for value in first(read_patients(csv_file(tmp_path, line, header=STUDY_HEADER)))[11:]
    )


def test_words_are_understood(tmp_path: Path) -> None:
    line = (
        "63,male,Typical Angina,145,233,TRUE,lv hypertrophy,150,no,2.3,downsloping,0,fixed defect,0"
    )
    patients = read_patients(csv_file(tmp_path, line))
    assert patients.coding is Coding.LABELS
    assert first(patients) == WELL_VALUES


def test_the_unicode_text_of_a_spreadsheet_is_understood(tmp_path: Path) -> None:
    path = tmp_path / "export.txt"
    unknown = WELL.replace("233", "")
    path.write_text(f"{HEADER}\n{unknown}\n".replace(",", "\t"), encoding="utf-16")
    patients = read_patients(path)
    assert patients.raw["age"].tolist() == [63.0]
    assert patients.raw["chol"].isna().all()


def test_semicolons_with_decimal_commas_are_understood(tmp_path: Path) -> None:
    line = WELL.replace(",", ";").replace("2.3", "2,3")
    path = csv_file(tmp_path, line, SICK.replace(",", ";"), header=HEADER.replace(",", ";"))
    assert first(read_patients(path)) == WELL_VALUES


def test_a_byte_order_mark_windows_lines_and_columns_in_any_order_are_understood(
    tmp_path: Path,
) -> None:
    path = tmp_path / "reversed.csv"
    lines = [",".join(reversed(line.split(","))) for line in (HEADER, WELL)]
    path.write_bytes(b"\xef\xbb\xbf" + "\r\n".join(lines).encode())
    assert first(read_patients(path)) == WELL_VALUES


def test_zero_cholesterol_and_pressure_are_missing(tmp_path: Path) -> None:
    values = first(read_patients(csv_file(tmp_path, "63,1,1,0,0,1,2,150,0,2.3,3,0,6,0")))
    assert math.isnan(values[NAMES.index("chol")])
    assert math.isnan(values[NAMES.index("trestbps")])
    assert values[NAMES.index("oldpeak")] == 2.3


def test_codes_of_both_codings_leave_the_features_unread(tmp_path: Path) -> None:
    patients = read_patients(csv_file(tmp_path, "50,1,2,120,200,0,0,150,0,1,1,0,3,0"))
    assert patients.coding is None
    assert patients.features is None
    assert patients.raw.loc[0, "cp"] == 2


def test_a_coding_named_by_the_caller_is_used(tmp_path: Path) -> None:
    path = csv_file(tmp_path, "50,1,2,120,200,0,0,150,0,1,1,0,3,0")
    named = {coding: first(read_patients(path, coding)) for coding in (Coding.UCI, Coding.KAGGLE)}
    cp, thal = NAMES.index("cp"), NAMES.index("thal")
    assert (named[Coding.UCI][cp], named[Coding.UCI][thal]) == (2, 3)
    assert (named[Coding.KAGGLE][cp], named[Coding.KAGGLE][thal]) == (3, 7)


def test_a_column_that_is_absent_is_missing_in_every_row(tmp_path: Path) -> None:
    header, line = HEADER.replace(",ca", ""), "63,1,1,145,233,1,2,150,0,2.3,3,6,0"
    patients = read_patients(csv_file(tmp_path, line, header=header))
    assert patients.missing_columns == ("ca",)
    assert math.isnan(first(patients)[NAMES.index("ca")])


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "empty"),
        (b" \n\n", "empty"),
        (b"\x7fELF\0\0\0", "binary"),
        (HEADER.encode("utf-16"), "a header and no patients"),
        (HEADER.encode("utf-16")[:-1], "the text is not UTF-8"),
        (f"{HEADER}\n{WELL.replace('145', '145 mmHg')}\n".encode(), "without its unit"),
        (HEADER.encode() + b"\n\xff\xfe", "UTF-8"),
        (HEADER.encode() + b"\n", "no patients"),
        (b"name,age,sex\na,1,1\n", "not the thirteen UCI columns"),
        (b"1,2,3\n", "not the thirteen UCI columns"),
        (f"{HEADER}\n{WELL},9\n".encode(), "line 2 has 15 cells"),
        (f"{HEADER}\n{WELL}\n{WELL.replace('63,', 'old,')}\n".encode(), "line 3, column age"),
        (f"{HEADER}\n{WELL.replace('2.3', '1e400')}\n".encode(), "line 2, column oldpeak"),
        (f"{HEADER}\n{WELL.replace('2.3', 'inf')}\n".encode(), "line 2, column oldpeak"),
        (f"{HEADER}\n{WELL.replace('2.3', '1_0')}\n".encode(), "line 2, column oldpeak"),
        (f"{HEADER}\n{WELL[:-1]}7\n".encode(), "expected 0-4, yes or no"),
        (f"{HEADER},num\n{WELL},1\n".encode(), "label columns disease and num differ"),
        (f"{HEADER},age\n{WELL},63\n".encode(), "two columns hold age"),
        (f"{HEADER}\n{WELL}\n{SICK.replace(',4,', ',asymptomatic,')}\n".encode(), "mixes words"),
        (f'{HEADER}\n"{"x" * 200_000}"\n'.encode(), "not a CSV file"),
    ],
)  # fmt: skip
def test_what_is_no_table_of_patients_gives_one_clear_error(
    tmp_path: Path, content: bytes, reason: str
) -> None:
    path = tmp_path / "file.csv"
    path.write_bytes(content)
    with pytest.raises(DataError, match=reason):
        read_patients(path)


def test_a_folder_or_an_absent_file_gives_the_same_kind_of_error(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "absent.csv", Path("a\0b")):
        with pytest.raises(DataError, match="cannot be read"):
            read_patients(path)


CELLS = st.sampled_from(
    ["", "?", "-9", "0", "1", "2", "3", "4", "7", "63", "1e400", "nan", "inf", "-", "yes", "male",
     '"', "\n", "\r", "\0", ",", ";", "\t", " ", "é", "٣", "asymptomatic", "\ud7ff", "1.5"]
)  # fmt: skip


@settings(
    max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(st.lists(st.lists(CELLS, min_size=1, max_size=16), max_size=6), st.booleans())
def test_no_table_whatever_gives_another_error(
    tmp_path: Path, table: list[list[str]], with_header: bool
) -> None:
    lines = [HEADER] * with_header + [",".join(cells) for cells in table]
    path = tmp_path / "any.csv"
    path.write_bytes("\n".join(lines).encode("utf-8", "surrogatepass"))
    with contextlib.suppress(DataError):
        read_patients(path)


@settings(
    max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(st.binary(max_size=300), st.booleans())
def test_no_bytes_whatever_give_another_error(
    tmp_path: Path, content: bytes, with_header: bool
) -> None:
    path = tmp_path / "any.csv"
    path.write_bytes((HEADER + "\n").encode() * with_header + content)
    with contextlib.suppress(DataError):
        read_patients(path)
