from __future__ import annotations

import base64
import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from threadpoolctl import threadpool_limits

import cardiowatch
from pipeline.dataset.heart import HEART_CSV
from pipeline.dataset.heart.codings import KAGGLE_TO_UCI
from pipeline.gate.check import run_job
from pipeline.gate.label_loss import (
    DRAWS,
    LossLimit,
    TrustedLosses,
    _sums,
    decide,
    log_loss,
    loss_limit,
)
from pipeline.gate.power import measure
from pipeline.model.reference import ROWS_FILE
from pipeline.schema import NAMES
from pipeline.train import LabelledPatients
from tests.foreign_files import hungarian_file, inverted_file
from tests.pipeline.conftest import SICK, WELL, C, csv_file, variants


@pytest.fixture(scope="module")
def reference(cleveland: LabelledPatients) -> TrustedLosses:
    with threadpool_limits(1):
        return TrustedLosses(cleveland.rows, cleveland.y, C)


@pytest.fixture
def run(
    monkeypatch: pytest.MonkeyPatch,
    model_dir: Path,
    capsys: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
) -> object:
    def run(*arguments: object, folder: Path = model_dir) -> tuple[int, str, str]:
        monkeypatch.setenv("CARDIOWATCH_MODEL_DIR", str(folder))
        code = cardiowatch.main(["gate", *map(str, arguments)])
        said = capsys.readouterr()
        return code, said.out, caplog.text

    return run


def some(data: LabelledPatients, n: int = 60) -> np.ndarray:
    return np.random.default_rng(3).choice(len(data.y), n, replace=False)


def batch(folder: Path, data: LabelledPatients, who: np.ndarray, y: np.ndarray) -> Path:
    """Patients like the trusted ones: each has a heart rate one beat higher."""
    rows = data.rows + (np.arange(13) == NAMES.index("thalach"))
    lines = [
        ",".join(["" if np.isnan(v) else f"{v:g}" for v in rows[i]] + [f"{label:g}"])
        for i, label in zip(who, y, strict=True)
    ]
    return csv_file(folder, *lines)


def test_surprise_is_minus_the_logarithm_of_the_probability_of_the_label() -> None:
    found = log_loss(np.array([1.0, 0.0]), np.array([0.5, 0.75]))
    assert found == pytest.approx([np.log(2), np.log(4)])


def expected(limit: float) -> LossLimit:
    """Four patients of whom half a one would be above a loss of 1."""
    return LossLimit(loss=0.3, limit=limit, per_patient_limit=np.ones(4), surprising=0.5)


def test_a_batch_is_refused_above_the_limit_and_shows_its_excess_of_surprises() -> None:
    y, p = np.array([1.0, 1.0, 0.0, 0.0]), np.array([0.9, 0.1, 0.1, 0.8])
    # -log: .11, 2.30, .11, 1.61: mean 1.03; two are above 1, half a one would be: 1.5 in excess.
    found = decide(y, p, expected(1.0))
    assert found.accept is False
    assert found.loss == pytest.approx(1.03, abs=0.005)
    assert [(row.patient, row.label, row.probability) for row in found.rows] == [
        (2, 1, 0.1), (4, 0, 0.2),
    ]  # fmt: skip
    assert decide(y, p, expected(1.1)).accept is True


def test_what_clean_patients_show_as_well_is_not_listed() -> None:
    y, p = np.array([1.0, 1.0, 1.0, 1.0]), np.array([0.9, 0.9, 0.9, 0.9])
    found = decide(y, p, expected(1.0))
    assert (found.surprising, found.rows) == (0, ())


def test_the_limit_falls_toward_the_clean_loss_as_batches_grow(
    reference: TrustedLosses, cleveland: LabelledPatients
) -> None:
    margins = []
    for n in (20, 100, 1000):
        rows = np.tile(cleveland.rows, (4, 1))[:n]
        found = loss_limit(rows, reference)
        margins.append(found.limit - found.loss)
    assert margins == sorted(margins, reverse=True)
    assert margins[-1] > 0


def test_both_ways_of_drawing_give_the_same_spread() -> None:
    values = np.array([0.0, 1.0, 5.0])
    by_place = _sums(values, 3, np.random.default_rng(0))
    by_count = _sums(values, 4, np.random.default_rng(0))
    # Mean 2, variance 14/3 a draw.
    assert (len(by_place), len(by_count)) == (DRAWS, DRAWS)
    assert by_place.mean() == pytest.approx(6.0, abs=0.25)
    assert by_count.var() == pytest.approx(4 * 14 / 3, rel=0.1)


def test_missing_cells_are_expected_to_surprise_more(
    reference: TrustedLosses, cleveland: LabelledPatients
) -> None:
    rows = cleveland.rows[:50].copy()
    complete = loss_limit(rows, reference).loss
    rows[:, [2, 11, 12]] = np.nan  # cp, ca, thal
    assert loss_limit(rows, reference).loss > complete


def test_clean_patients_may_enter(run, tmp_path: Path, cleveland: LabelledPatients) -> None:  # type: ignore[no-untyped-def]
    who = some(cleveland)
    code, said, _ = run(batch(tmp_path, cleveland, who, cleveland.y[who]))
    assert (code, "MAY ENTER" in said) == (0, True)


def test_a_quarter_of_flipped_labels_is_refused_and_most_listed_are_flipped(  # type: ignore[no-untyped-def]
    run, tmp_path: Path, cleveland: LabelledPatients
) -> None:
    who = some(cleveland)
    y = cleveland.y[who].copy()
    y[:15] = 1 - y[:15]
    code, said, _ = run(batch(tmp_path, cleveland, who, y), "--json")
    found = json.loads(said)
    assert (code, found["accept"]) == (1, False)
    listed = [row["patient"] for row in found["rows"]]
    assert listed
    assert sum(patient <= 15 for patient in listed) > len(listed) / 2


def test_a_label_that_is_turned_round_is_refused(
    run, tmp_path: Path, cleveland: LabelledPatients
) -> None:  # type: ignore[no-untyped-def]
    who = some(cleveland)
    code, said, _ = run(batch(tmp_path, cleveland, who, 1 - cleveland.y[who]))
    assert code == 1
    assert "label inverted" in said


def test_patients_without_a_label_keep_their_number(  # type: ignore[no-untyped-def]
    run, tmp_path: Path, cleveland: LabelledPatients
) -> None:
    who = some(cleveland)
    y = cleveland.y[who].copy()
    y[20:40] = 1 - y[20:40]
    y[:20] = np.nan
    path = batch(tmp_path, cleveland, who, y)
    path.write_text(path.read_text().replace("nan", ""))
    _, said, _ = run(path, "--json")
    found = json.loads(said)
    assert found["n"] == 40
    assert min(row["patient"] for row in found["rows"]) > 20


def test_the_hungarian_patients_may_enter(run, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    code, said, _ = run(hungarian_file(tmp_path))
    assert code == 0
    assert "293 labels" in said


def test_an_inverted_file_is_refused(run, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    assert run(inverted_file(tmp_path))[0] == 1


@pytest.mark.parametrize(
    ("lines", "code", "reason"),
    [
        ([WELL, SICK], 3, "2 labelled patients; at least 8 needed"),
        (
            variants(WELL.replace("63,", "163,"), 5) + variants(SICK, 5),
            3,
            "the file failed the audit",
        ),
    ],
)
def test_what_cannot_be_judged_says_why(  # type: ignore[no-untyped-def]
    run, tmp_path: Path, lines: list[str], code: int, reason: str
) -> None:
    found, said, _ = run(csv_file(tmp_path, *lines))
    assert found == code
    assert reason in said


def test_the_training_patients_are_refused_in_another_order_and_coding(  # type: ignore[no-untyped-def]
    run, tmp_path: Path, cleveland: LabelledPatients
) -> None:
    frame = pd.read_csv(HEART_CSV).sample(frac=1, random_state=0)
    kaggle = {name: {u: k for k, u in t.items()} for name, t in KAGGLE_TO_UCI.items()}
    for name, table in kaggle.items():
        frame[name] = frame[name].map(table)
    frame.to_csv(tmp_path / "copy.csv", index=False)
    for path in (HEART_CSV, tmp_path / "copy.csv"):
        code, said, _ = run(path)
        assert code == 1
        assert "303 of 303 rows are training patients of the model" in said


def test_training_patients_among_new_ones_are_left_out(  # type: ignore[no-untyped-def]
    run, tmp_path: Path, cleveland: LabelledPatients
) -> None:
    who = some(cleveland)
    path = batch(tmp_path, cleveland, who, cleveland.y[who])
    path.write_text(path.read_text() + "\n".join(HEART_CSV.read_text().splitlines()[1:41]) + "\n")
    code, said, _ = run(path, "--json")
    found = json.loads(said)
    assert (code, found["n"]) == (0, 60)
    assert "40 of 100 rows are training patients of the model and were left out" in found["reason"]


def test_many_identical_rows_are_named_duplicates(  # type: ignore[no-untyped-def]
    run, tmp_path: Path, cleveland: LabelledPatients
) -> None:
    who = np.repeat(some(cleveland), 5)
    path = batch(tmp_path, cleveland, who, cleveland.y[who])
    code, said, _ = run(path)
    assert (code, "240 duplicated patients" in said) == (3, True)
    code, said, _ = run(path, "--json", "--allow-duplicates")
    assert (code, json.loads(said)["n"]) == (0, 60)


def test_an_unreadable_file_and_a_missing_model_are_one_line_each(  # type: ignore[no-untyped-def]
    run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    code, _, error = run(tmp_path / "absent.csv")
    assert (code, error.count("\n")) == (4, 1)
    monkeypatch.setenv("CARDIOWATCH_MODEL_DIR", str(tmp_path))
    assert cardiowatch.main(["gate", str(HEART_CSV)]) == 4
    assert "run make train" in caplog.text


def test_a_model_of_other_patients_is_not_trusted(run, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    other = csv_file(tmp_path, *variants(WELL, 6), *variants(SICK, 6))
    code, _, error = run(HEART_CSV, "--trusted", other)
    assert code == 4
    assert "was not trained on patients.csv" in error


def test_without_the_training_patients_the_option_that_names_them_is_told(  # type: ignore[no-untyped-def]
    run, tmp_path: Path, model_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "models"
    shutil.copytree(model_dir, folder, ignore=shutil.ignore_patterns(ROWS_FILE))
    monkeypatch.setattr("pipeline.training.reference.HEART_CSV", tmp_path / "absent.csv")
    code, _, error = run(HEART_CSV, folder=folder)
    assert code == 3
    assert error.count("\n") == 1
    assert "trained without --keep-rows" in error
    assert "name the training data with --trusted" in error
    assert run(HEART_CSV, "--trusted", HEART_CSV, folder=folder)[0] == 1  # all are known


def test_flipped_labels_are_refused_more_often_than_clean_ones(cleveland: LabelledPatients) -> None:
    with threadpool_limits(1):
        found = measure(cleveland.rows, cleveland.y, C, splits=6)
    for size in (20, 50, 100):
        assert found.refused["20 % random flips"][size].count > found.refused["clean"][size].count
        assert found.refused["label turned round"][size].count == 6


def test_the_interval_of_a_share_counts_each_split_once(cleveland: LabelledPatients) -> None:
    with threadpool_limits(1):
        found = measure(cleveland.rows, cleveland.y, C, splits=6).refused["label turned round"]
    # Wilson for 6 of 6: 6 / (6 + 1.96 squared)
    assert [found[20].share, found[20].low, found[20].high] == [1.0, 0.6097, 1.0]


def test_more_splits_begin_with_the_same_ones(cleveland: LabelledPatients) -> None:
    with threadpool_limits(1):
        one, two = (measure(cleveland.rows, cleveland.y, C, splits=k).refused for k in (2, 4))
    for name, by_size in one.items():
        for size, found in by_size.items():
            assert 0 <= two[name][size].count - found.count <= 2


def test_a_small_training_file_has_only_the_batches_that_fit(cleveland: LabelledPatients) -> None:
    with threadpool_limits(1):
        found = measure(cleveland.rows[:100], cleveland.y[:100], C, splits=1)
    assert list(found.refused["clean"]) == [20]


def sent(
    content: bytes, scorecard: str, trusted: LabelledPatients, mapping: str = ""
) -> dict[str, object]:
    return run_job(
        lambda _: None, content=base64.b64encode(content).decode(), name="new.csv", coding="",
        mapping=mapping, scorecard=scorecard, rows=trusted.rows.tolist(),
        disease=trusted.y.tolist(),
    )  # fmt: skip


def test_a_file_that_was_sent_is_judged_as_the_program_judges_it(
    run,
    model_dir: Path,
    tmp_path: Path,
    cleveland: LabelledPatients,  # type: ignore[no-untyped-def]
) -> None:
    path = batch(tmp_path, cleveland, some(cleveland), cleveland.y[some(cleveland)])
    scorecard = (model_dir / "scorecard.json").read_text()
    judged = sent(path.read_bytes(), scorecard, cleveland)["verdict"]
    assert json.loads(json.dumps(judged)) == json.loads(run(path, "--json")[1])


def test_a_mapping_that_was_sent_is_applied_and_a_wrong_one_is_a_sentence(
    model_dir: Path, tmp_path: Path, cleveland: LabelledPatients
) -> None:
    path = batch(tmp_path, cleveland, some(cleveland), cleveland.y[some(cleveland)])
    content = path.read_bytes().replace(b"thalach", b"pulse at the end", 1)
    scorecard = (model_dir / "scorecard.json").read_text()
    mapping = '{"columns": {"pulse at the end": "thalach"}}'
    assert sent(content, scorecard, cleveland, mapping) == sent(
        path.read_bytes(), scorecard, cleveland
    )
    problem = sent(content, scorecard, cleveland, '{"colums": {}}')["problem"]
    assert problem == "the mapping: colums is not one of columns, values, one_hot"


@pytest.mark.parametrize("content", [b"", b"\0\1", b"a,b\n1,2\n", "\xff".encode("latin-1")])
def test_a_file_that_cannot_be_read_is_a_sentence_without_its_content(
    model_dir: Path, cleveland: LabelledPatients, content: bytes
) -> None:
    problem = sent(content, (model_dir / "scorecard.json").read_text(), cleveland)["problem"]
    assert isinstance(problem, str)
    assert problem
