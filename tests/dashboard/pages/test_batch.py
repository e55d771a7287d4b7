from __future__ import annotations

import pytest

from dashboard.pages.batch import data, texts
from pipeline.schema import NAMES

HEAD = ",".join(data.COLUMNS)
PATIENT = "63,male,asymptomatic,145,233,yes,normal,150,no,2.3,flat,0,reversible defect,ward-7"


def read(*lines: str) -> data.Batch:
    return data.read("\n".join(lines).encode())


def places(batch: data.Batch) -> list[tuple[int, str]]:
    return [(error.line, error.column) for error in batch.errors]


def test_a_file_from_the_template_is_read_as_the_form_reads() -> None:
    batch = read(data.template().decode().strip(), PATIENT)
    assert batch.errors == []
    assert batch.patients == [
        dict(
            zip(
                NAMES,
                (63.0, "male", "asymptomatic", 145.0, 233.0, True, "normal", 150.0, False, 2.3,
                 "flat", 0.0, "reversible defect"),
                strict=True,
            )
        ) | {"patient_reference": "ward-7"}
    ]  # fmt: skip


def test_semicolons_decimal_commas_labels_and_a_byte_order_mark_are_understood() -> None:
    batch = data.read("\ufeffAge;Sex;ST depression by exercise\r\n63;Male;0,5\r\n".encode())
    assert batch.patients == [{"age": 63.0, "sex": "male", "oldpeak": 0.5}]
    assert (batch.errors, batch.unknown) == ([], 10)


def test_cholesterol_may_name_its_unit() -> None:
    batch = read("age,sex,chol,chol_unit", "63,male,5.2,mmol/l", "63,male,233,")
    assert [patient["chol"] for patient in batch.patients] == [201.1, 233.0]


def test_every_wrong_cell_is_named_with_the_line_that_an_editor_shows() -> None:
    batch = read("age,sex,chol,oldpeak", "63,male,233,2.3", "", "17,male,5.2,1", ',"male",,"1,234"')
    assert places(batch) == [(4, "age"), (4, "chol"), (5, "oldpeak"), (5, "age")]


@pytest.mark.parametrize(
    ("lines", "place", "message"),
    [
        ([], (1, ""), texts.NO_HEADER),
        (["63,male"], (1, ""), texts.NO_HEADER),
        (["age,sex"], (0, ""), texts.EMPTY),
        (["age,sex,bmi", "63,male,25"], (1, "bmi"), texts.UNKNOWN_COLUMN),
        (["age,sex,Age", "63,male,64"], (1, "age"), texts.REPEATED_COLUMN),
        (["age,sex", "63,male,asymptomatic"], (2, ""), texts.EXTRA_CELLS),
        (["age,sex,patient_reference", "63,male,Müller"], (2, "patient_reference"),
         texts.REFERENCE),
        (["age,sex", *["63,male"] * 1001], (0, ""), texts.TOO_MANY),
    ],
)  # fmt: skip
def test_a_broken_file_is_refused_with_what_to_do(
    lines: list[str], place: tuple[int, str], message: str
) -> None:
    batch = read(*lines)
    assert [(error.line, error.column) for error in batch.errors] == [place]
    assert batch.errors[0].message == message


def test_a_file_that_is_no_text_is_refused() -> None:
    assert data.read(b"PK\x03\x04\xff\xfe").errors == [data.CellError(0, "", texts.NOT_TEXT)]


def test_the_results_stand_beside_the_findings_and_start_no_formula() -> None:
    batch = read("age,sex,patient_reference", "63,male,=1+1")
    answer = {
        "probability": 0.48111, "prediction": 0, "missing": ["cp"],
        "warnings": [], "model_version": "abc", "id": "01",
    }  # fmt: skip
    row = data.results(batch, [answer]).iloc[0].to_dict()
    assert row["age"] == "63"
    assert row["patient_reference"] == "'=1+1"
    assert (row["probability"], row["id"]) == (0.4811, "01")
