from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

import cardiowatch
from pipeline.audit import Severity, audit
from pipeline.dataset.heart import HEART_CSV
from pipeline.train import LabelledPatients
from tests.foreign_files import hungarian_file, inverted_file
from tests.pipeline.conftest import HEADER, SICK, WELL, csv_file, variants

# Eight patients whose findings say the label loudly: four well, four sick.
EIGHT = variants(WELL, 4) + variants(SICK, 4)
STUDY_HEADER = (
    "sno,age,gender,cp,trestbps,chol,fbs,restecg,thalach,exang,oldpeak,slope,ca,thal,target"
)


def run(*arguments: object) -> int:
    return cardiowatch.main(["audit", *map(str, arguments)])


def messages(path: Path, severity: Severity) -> list[str]:
    return [problem.message for problem in audit(path).problems if problem.severity is severity]


def flip(line: str) -> str:
    return line[:-1] + ("0" if line.endswith("1") else "1")


def test_cleveland_is_uci_coded_and_has_no_problem() -> None:
    result = audit(HEART_CSV)
    assert (result.coding, result.label_inverted, result.problems) == ("uci", False, ())
    assert result.missing["ca"] == 4
    assert result.missing["thal"] == 2
    assert sum(result.missing.values()) == 6


def test_a_popular_copy_of_cleveland_is_inverted(tmp_path: Path) -> None:
    result = audit(inverted_file(tmp_path))
    assert result.coding == "kaggle"
    assert result.label_inverted is True
    assert result.label_check.score == pytest.approx(-0.438, abs=0.005)
    assert result.duplicates == ((164, 165),)
    assert {k: n for k, n in result.missing.items() if n} == {
        "trestbps": 4, "chol": 1, "thalach": 5, "ca": 4, "thal": 2,
    }  # fmt: skip


def test_the_hungarian_file_is_not_inverted(tmp_path: Path) -> None:
    result = audit(hungarian_file(tmp_path))
    assert result.coding == "uci"
    assert result.label_inverted is False
    assert result.label_check.score == pytest.approx(0.49, abs=0.005)
    assert result.errors == ()


@pytest.mark.parametrize("n", [20, 60, 200])
def test_samples_of_cleveland_are_never_mistaken(
    tmp_path: Path, cleveland: LabelledPatients, n: int
) -> None:
    lines = HEART_CSV.read_text().split()[1:]
    rng = np.random.default_rng(n)
    for _ in range(5):
        drawn = [lines[i] for i in rng.choice(len(lines), n, replace=False)]
        assert audit(csv_file(tmp_path, *drawn)).label_inverted is False
        assert audit(csv_file(tmp_path, *map(flip, drawn))).label_inverted is True


def test_the_evidence_is_the_mean_signed_rank_correlation(tmp_path: Path) -> None:
    # All four findings of the sick differ from those of the well: each correlation is 1 or -1.
    check = audit(csv_file(tmp_path, *EIGHT)).label_check
    correlations = {"exang": 1.0, "oldpeak": -1.0, "ca": 1.0, "thalach": -1.0}
    # WELL has the deeper ST depression (2.3, not 1.5): signed +1 -1 +1 +1, mean 0.5.
    assert check.correlations == pytest.approx(correlations)
    assert check.score == pytest.approx(0.5)
    # Their own correlations, signed: 3 agree with each other, 1 with none: mean 4/16; n - 1 = 7.
    assert check.standard_error == pytest.approx((0.25 / 7) ** 0.5)


@pytest.mark.parametrize(
    "lines",
    [
        [WELL, SICK],  # too few
        [SICK] * 30,  # one class
        [WELL] * 20 + [flip(WELL)] * 20,  # no direction
        [line.rsplit(",", 1)[0] + "," for line in EIGHT],  # no label in any row
    ],
)
def test_what_cannot_be_judged_is_reported(tmp_path: Path, lines: list[str]) -> None:
    assert audit(csv_file(tmp_path, *lines)).label_inverted is None


def test_a_file_without_a_label_is_audited_all_the_same(tmp_path: Path) -> None:
    lines = [line.rsplit(",", 1)[0] for line in EIGHT]
    result = audit(csv_file(tmp_path, *lines, header=HEADER.rsplit(",", 1)[0]))
    assert (result.label, result.label_inverted, result.n_disease) == (None, None, None)
    assert result.errors == ()


def test_codes_that_could_be_either_coding_are_not_guessed_at(tmp_path: Path) -> None:
    line = "50,1,2,120,200,0,0,150,0,1,1,0,3,0"
    result = audit(csv_file(tmp_path, line))
    assert result.coding is None
    assert any("cannot tell the coding" in error.message for error in result.errors)


def test_words_counted_from_zero_are_not_taken_for_kaggle_codes(tmp_path: Path) -> None:
    # thal 0 = normal, 1 = fixed, 2 = reversible, as another Kaggle file has it
    lines = ["50,1,0,120,200,0,0,150,0,1,1,0,0,0", "50,1,3,120,200,0,0,150,0,1,1,0,2,1"] * 10
    assert audit(csv_file(tmp_path, *lines)).coding is None


def test_one_slip_does_not_hide_the_coding(tmp_path: Path) -> None:
    lines = [*HEART_CSV.read_text().split()[1:], "50,1,0,120,200,0,0,150,0,1,1,0,3,0"]
    result = audit(csv_file(tmp_path, *lines))
    assert result.coding == "uci"
    assert [e.column for e in result.errors] == ["cp"]
    assert result.errors[0].message == "1 values outside the limits (1, 2, 3, 4): lines 305"


def test_duplicates_are_grouped_and_counted_from_one(tmp_path: Path) -> None:
    path = csv_file(tmp_path, WELL, SICK, WELL, WELL)
    assert audit(path).duplicates == ((1, 3, 4),)
    assert "2 duplicated patients, the first on lines 2 and 4" in messages(path, Severity.ERROR)[-1]


def test_equal_patients_with_another_number_are_duplicates(tmp_path: Path) -> None:
    path = csv_file(tmp_path, f"1,{WELL}", f"2,{WELL}", header=f"sno,{HEADER}")
    assert audit(path).duplicates == ((1, 2),)


def test_values_outside_the_limits_are_counted(tmp_path: Path) -> None:
    path = csv_file(tmp_path, WELL, WELL.replace("63,", "163,"), WELL.replace("2.3", "12"))
    assert messages(path, Severity.ERROR)[1:3] == [
        "1 values outside the limits (18 to 120 years): lines 3",
        "1 values outside the limits (-5 to 10 mm): lines 4",
    ]


@pytest.mark.parametrize(
    ("old", "new", "unit"),
    [
        (",233,", ",6.03,", "chol: mmol/l"),
        (",233,", ",2.33,", "chol: g/l"),
        (",145,", ",19.3,", "trestbps: kPa"),
        (",145,", ",14.5,", "trestbps: kPa"),
        (",145,", ",12.5,", "trestbps: cmHg"),
        ("63,", "756,", "age: months"),
        ("63,", "23011,", "age: days"),
        (",150,", ",2.5,", "thalach: beats/s"),
        (",2.3,", ",23,", "oldpeak: 0.1 mm"),
    ],
)
def test_likely_unit_errors_are_named(tmp_path: Path, old: str, new: str, unit: str) -> None:
    column, name = unit.split(": ")
    found = audit(csv_file(tmp_path, WELL.replace(old, new, 1), SICK)).problems
    assert any(p.column == column and f"look like {name}" in p.message for p in found)


def test_zero_for_missing_is_a_note_and_no_error(tmp_path: Path) -> None:
    path = csv_file(tmp_path, *EIGHT, "63,1,1,145,0,1,2,150,0,2.3,3,0,6,0")
    assert messages(path, Severity.NOTE) == ["1 values of 0 are read as missing"]
    assert audit(path).errors == ()
    assert audit(path).missing["chol"] == 1


def test_patients_without_age_or_sex_are_an_error(tmp_path: Path) -> None:
    path = csv_file(tmp_path, SICK, WELL.replace("63,", ",", 1))
    assert "1 patients without age, which is required" in messages(path, Severity.ERROR)


def test_the_program_exits_with_1_only_for_an_inverted_label(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    inverted = csv_file(tmp_path, *map(flip, EIGHT), name="inverted.csv")
    unfit = csv_file(tmp_path, *EIGHT, WELL.replace("63,", "163,"), name="unfit.csv")
    assert run(str(HEART_CSV)) == 0
    assert run(str(inverted)) == 1
    assert run(str(unfit)) == 3
    assert run(tmp_path / "absent.csv") == 4
    assert caplog.messages == ["cardiowatch: absent.csv cannot be read: No such file or directory"]


def test_the_report_says_it_in_words(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    line = "{},63,male,3,145,233,1,0,150,0,2.3,0,0,1,yes"
    sick = "{},67,male,0,160,286,0,0,108,1,2.5,1,3,2,no"
    lines = [line.format(i) for i in range(6)] + [sick.format(i) for i in range(6, 12)]
    assert run(str(csv_file(tmp_path, *lines, header=STUDY_HEADER))) == 1
    words = capsys.readouterr().out
    assert "coding: kaggle" in words
    assert "label:  INVERTED (mean signed rank correlation -1.00" in words
    assert "target = 1 marks the healthy" in words


def test_the_json_is_json_whatever_the_file(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for lines in ([WELL], EIGHT, variants(SICK, 9), [WELL.rsplit(",", 1)[0] + ","]):
        run("--json", str(csv_file(tmp_path, *lines)))
        found = json.loads(capsys.readouterr().out, parse_constant=pytest.fail)
        assert found["coding"] == "uci"
        assert found["n"] == len(lines)


def test_problems_become_a_frame(tmp_path: Path) -> None:
    frame = audit(csv_file(tmp_path, WELL, WELL)).frame()
    assert list(frame.columns) == ["severity", "column", "message"]
    assert len(audit(HEART_CSV).frame()) == 0
