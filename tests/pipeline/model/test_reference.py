from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from pipeline.fairness.result import Assessment
from pipeline.model import ModelError, load
from pipeline.model.reference import ROWS_FILE, Reference, read_population, read_reference
from pipeline.training.reference import build_reference, load_reference
from pipeline.training.scorecard_writer import write_bundle
from tests.pipeline.conftest import Fitted


def of(fitted: Fitted, *, keep_rows: bool) -> Reference:
    return build_reference(
        fitted.data.rows, fitted.data.y, fitted.model, file="ours.csv", sha256="ab" * 32,
        hospital="St. Anne's", years="2019-2024", keep_rows=keep_rows,
    )  # fmt: skip


def test_the_counts_are_those_of_the_patients_and_no_patient_is_kept(
    fitted: Fitted, tmp_path: Path
) -> None:
    write_bundle(tmp_path, fitted.model.scorecard, {}, of(fitted, keep_rows=False))

    found = read_reference(tmp_path, fitted.model.version)

    assert found is not None
    assert (found.rows, found.disease) == (None, None)
    assert not (tmp_path / ROWS_FILE).exists()
    assert found.counts["sex"] == {0.0: 97, 1.0: 206}
    assert found.counts["ca"][None] == 4
    assert found.probability == pytest.approx(
        np.sort(fitted.model.score(fitted.data.rows).probability)
    )
    gap = Assessment.from_dict(found.fairness).groupings["sex"].gap("selection_rate")
    assert (gap.group, tuple(gap.n)) == ("male", (206, 97))


def test_the_population_is_said_in_words(fitted: Fitted) -> None:
    assert of(fitted, keep_rows=False).population.statement() == (
        "303 patients of St. Anne's (2019-2024): 46 % with disease, 32 % female"
    )


def test_without_its_own_reference_a_model_names_its_file(fitted: Fitted, tmp_path: Path) -> None:
    by_sex = {"groups": [{"name": "female", "n": 1}, {"name": "male", "n": 3}]}
    data = {"file": "ours.csv", "sha256": "ab", "n": 4, "n_disease": 3}
    evidence = {"data": data, "fairness": {"threshold": 0.5, "by_sex": by_sex}}
    said = "4 patients of the file ours.csv: 75 % with disease, 25 % female"
    assert read_population(tmp_path, fitted.model.version, evidence).statement() == said
    write_bundle(tmp_path, fitted.model.scorecard, {}, of(fitted, keep_rows=False))
    assert read_population(tmp_path, "another", evidence).statement() == said
    own = read_population(tmp_path, fitted.model.version, evidence)
    assert own.hospital == "St. Anne's"


def test_patients_that_are_kept_are_read_to_the_bit_and_by_their_owner_alone(
    fitted: Fitted, tmp_path: Path
) -> None:
    write_bundle(tmp_path, fitted.model.scorecard, {}, of(fitted, keep_rows=True))

    found = read_reference(tmp_path, fitted.model.version)

    assert found is not None
    np.testing.assert_array_equal(found.rows, fitted.data.rows)
    np.testing.assert_array_equal(found.disease, fitted.data.y)
    assert (tmp_path / ROWS_FILE).stat().st_mode & 0o777 == 0o600


def test_training_again_without_patients_deletes_those_that_were_kept(
    fitted: Fitted, tmp_path: Path
) -> None:
    for keep_rows in (True, False):
        write_bundle(tmp_path, fitted.model.scorecard, {}, of(fitted, keep_rows=keep_rows))

    assert not (tmp_path / ROWS_FILE).exists()


def test_a_copy_without_the_patients_is_a_whole_model(fitted: Fitted, tmp_path: Path) -> None:
    write_bundle(tmp_path, fitted.model.scorecard, {}, of(fitted, keep_rows=True))
    (tmp_path / ROWS_FILE).unlink()

    found = read_reference(tmp_path, load(tmp_path).version)

    assert found is not None
    assert found.rows is None
    # these patients come with the code
    np.testing.assert_array_equal(load_reference(tmp_path, fitted.model).rows, fitted.data.rows)


def test_the_reference_of_another_model_is_refused(fitted: Fitted, tmp_path: Path) -> None:
    write_bundle(tmp_path, fitted.model.scorecard, {}, of(fitted, keep_rows=False))

    with pytest.raises(ModelError, match="belongs to model"):
        read_reference(tmp_path, "0123456789ab")


@pytest.mark.parametrize("text", ["", "{}", '{"format": 2}', "[]"])
def test_a_damaged_reference_is_one_sentence(fitted: Fitted, tmp_path: Path, text: str) -> None:
    (tmp_path / "reference.json").write_text(text)

    with pytest.raises(ModelError, match="cannot be read: train the model again"):
        read_reference(tmp_path, fitted.model.version)


def test_changed_patients_are_refused(fitted: Fitted, tmp_path: Path) -> None:
    write_bundle(tmp_path, fitted.model.scorecard, {}, of(fitted, keep_rows=True))
    path = tmp_path / ROWS_FILE
    path.write_text(path.read_text().replace("63", "64", 1))

    with pytest.raises(ModelError, match="cannot be read"):
        read_reference(tmp_path, fitted.model.version)


def test_a_folder_of_the_first_edition_has_the_patients_that_come_with_the_code(
    fitted: Fitted, tmp_path: Path
) -> None:
    write_bundle(tmp_path, fitted.model.scorecard, {})

    found = load_reference(tmp_path, fitted.model)

    assert found.population.hospital == "the Cleveland Clinic, referred for angiography"
    np.testing.assert_array_equal(found.rows, fitted.data.rows)


def test_a_folder_of_the_first_edition_of_other_patients_is_to_be_trained_again(
    fitted: Fitted, tmp_path: Path
) -> None:
    card = json.loads(fitted.model.scorecard)
    card["provenance"]["data_sha256"] = "ab" * 32
    write_bundle(tmp_path, json.dumps(card), {})

    with pytest.raises(ModelError, match="train it again on its data"):
        load_reference(tmp_path, load(tmp_path))
