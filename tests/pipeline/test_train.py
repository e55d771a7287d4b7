from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import cardiowatch
from pipeline import train
from pipeline.dataset.heart import HEART_CSV
from pipeline.model import load
from pipeline.model.design_matrix import Array
from pipeline.schema import NAMES
from pipeline.train import LabelledPatients, TrainError, load_labelled, without_overlap
from pipeline.training.evidence import audit_summary, evaluate_challengers, external_validation
from pipeline.training.imputation import CrossValidationFolds
from tests.foreign_files import HUNGARIAN_CSV, inverted_file
from tests.pipeline.conftest import SICK, WELL, C, Fitted, csv_file, variants


def run(*arguments: str) -> int:
    return cardiowatch.main(["train", *arguments])


def evidence(model_dir: Path) -> dict:
    return json.loads((model_dir / "evidence.json").read_text())


def test_the_trained_folder_is_the_fit_of_the_committed_data(
    model_dir: Path, fitted: Fitted
) -> None:
    assert evidence(model_dir)["treatments"]["table"][2]["c"] == C
    assert load(model_dir).version == fitted.model.version


def test_cross_validation_reaches_the_targets(model_dir: Path) -> None:
    found = evidence(model_dir)["cross_validation"]
    assert found["auc"]["mean"] >= 0.905
    assert found["brier"]["mean"] <= 0.121


def test_the_rules_choose_what_is_served(model_dir: Path) -> None:
    found = evidence(model_dir)
    assert found["treatments"]["chosen"] == found["treatments"]["served"]
    assert found["challengers"]["champion"] == "logistic regression"
    assert [row["model"] for row in found["challengers"]["table"]] == [
        "logistic regression", "random forest", "gradient boosting",
    ]  # fmt: skip
    assert "--full" in found["challengers"]["note"]


def test_hungarian_patients_reach_the_targets(fitted: Fitted) -> None:
    other = load_labelled(HUNGARIAN_CSV)
    found = external_validation(
        other.y, fitted.model.score(other.rows).probability, other.audit.missing
    )
    assert found["n"] == 293  # one of the 294 is there twice
    assert found["auc"] >= 0.885
    assert found["brier"] <= 0.128
    assert found["auc_interval"][0] < found["auc"] < found["auc_interval"][1]
    assert found["missing"]["ca"] == 291


def test_an_inverted_file_is_refused_and_names_the_way_out(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    data = str(inverted_file(tmp_path))
    assert run("--data", data, "--model-dir", str(tmp_path / "model")) == 1
    [error] = caplog.messages
    assert "--correct-label" in error
    assert not (tmp_path / "model").exists()


def test_a_corrected_label_is_the_other_way_round(tmp_path: Path) -> None:
    corrected = load_labelled(inverted_file(tmp_path), correct_label=True)
    assert corrected.y.sum() == 139  # as in Cleveland; who is in the file twice is healthy
    assert corrected.corrected


def test_a_right_label_is_not_turned_round(cleveland: LabelledPatients) -> None:
    with pytest.raises(TrainError, match="not inverted"):
        load_labelled(train.HEART_CSV, correct_label=True)


@pytest.mark.parametrize(
    ("lines", "reason"),
    [
        ([WELL, SICK], "cannot tell whether the label is inverted"),
        (
            variants(WELL, 6) + variants(SICK, 6) + [WELL.replace("63,", "163,")],
            "outside the limits",
        ),
    ],
)
def test_a_file_that_fails_the_audit_is_refused(
    tmp_path: Path, lines: list[str], reason: str
) -> None:
    with pytest.raises(TrainError, match=reason):
        load_labelled(csv_file(tmp_path, *lines))


def test_a_file_without_a_label_is_refused(tmp_path: Path) -> None:
    header = ",".join(NAMES)
    with pytest.raises(TrainError, match="has no label"):
        load_labelled(csv_file(tmp_path, WELL.rsplit(",", 1)[0], header=header))


def test_too_few_patients_are_refused(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = csv_file(tmp_path, *variants(WELL, 10), *variants(SICK, 10))
    assert run("--data", str(path), "--model-dir", str(tmp_path / "m")) == 3
    assert "10 patients in the smaller class; at least 20 needed" in caplog.text


def test_patients_without_a_label_are_left_out(tmp_path: Path) -> None:
    path = csv_file(tmp_path, *variants(WELL, 6), *variants(SICK, 6), WELL[:-1])
    assert len(load_labelled(path).y) == 12


def test_the_same_rule_would_let_a_better_challenger_win(
    cleveland: LabelledPatients, monkeypatch: pytest.MonkeyPatch
) -> None:
    def recognise(patient: Array) -> float:
        same = (cleveland.rows == patient) | np.isnan(patient) | np.isnan(cleveland.rows)
        return float(cleveland.y[same.all(axis=1)].mean())

    def oracle(rows: Array, y: Array) -> Callable[[Array], Array]:  # knows every patient
        return lambda new: np.array([recognise(patient) for patient in new])

    monkeypatch.setattr("pipeline.training.evidence.CHALLENGERS", {"oracle": oracle})
    found = evaluate_challengers(cleveland.rows, cleveland.y, C, full=False)
    assert found["champion"] == "oracle"


def test_one_of_each_duplicate_is_trained_on_and_many_are_refused(tmp_path: Path) -> None:
    lines = HEART_CSV.read_text().split()[1:61]
    path = csv_file(tmp_path, *lines * 10)
    with pytest.raises(TrainError, match=r"540 duplicated patients.*90% of the rows"):
        load_labelled(path)
    data = load_labelled(path, allow_duplicates=True)
    assert len(data.y) == 60
    assert audit_summary(data.audit)["duplicates"][0] == [
        1,
        61,
        121,
        181,
        241,
        301,
        361,
        421,
        481,
        541,
    ]


def test_no_patient_is_in_two_parts_of_a_cross_validation(cleveland: LabelledPatients) -> None:
    rows, y = np.tile(cleveland.rows[:60], (3, 1)), np.tile(cleveland.y[:60], 3)
    for train_part, test_part, _ in CrossValidationFolds(rows, y, 1):
        assert not set(train_part % 60) & set(test_part % 60)


def test_training_patients_are_left_out_of_a_validation(cleveland: LabelledPatients) -> None:
    rows = np.vstack([cleveland.rows[:50], cleveland.rows + 1])
    other = replace(cleveland, rows=rows, y=np.concatenate([cleveland.y[:50], cleveland.y]))
    new, overlap = without_overlap(other, cleveland)
    assert (len(new.y), overlap) == (303, 50)
    with pytest.raises(TrainError, match=r"303 of 303 patients of heart.csv are training patients"):
        without_overlap(cleveland, cleveland)
