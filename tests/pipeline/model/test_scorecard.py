from __future__ import annotations

import json
import math
import pickle
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from pipeline.model import (
    CHECKSUMS_FILE,
    EVIDENCE_FILE,
    SCORECARD_FILE,
    ModelError,
    checksums,
    from_json,
    load,
)
from pipeline.schema import NAMES
from pipeline.training.scorecard_writer import write_bundle
from tests.conftest import ROOT
from tests.pipeline.conftest import SICK, WELL, Fitted, by_hand, masked, row


def test_without_points_every_patient_has_even_odds() -> None:
    assert by_hand().probability(row()) == 0.5


def test_the_log_odds_are_the_intercept_plus_the_points() -> None:
    model = by_hand(**{"intercept": -1.0, "oldpeak": 2.0, "cp: typical angina": 0.4})
    # -1 + 2 * 2.3 + 0.4 = 4.0
    assert model.probability(row(WELL)) == pytest.approx(1 / (1 + math.exp(-4.0)), abs=1e-12)


def test_an_unknown_value_has_points_of_its_own() -> None:
    model = by_hand(**{"ca": 5.0, "ca: not known": 0.7, "thal: not known": -0.2})
    unknown = (*row()[:11], None, None)
    assert model.probability(unknown) == pytest.approx(1 / (1 + math.exp(-0.5)), abs=1e-12)


def test_none_and_nan_are_the_same() -> None:
    model = by_hand(**{"ca: not known": 0.7, "thal: not known": 0.1})
    assert model.probability((*row()[:11], None, None)) == model.probability(
        (*row()[:11], math.nan, math.nan)
    )


def test_a_contribution_is_the_points_minus_the_training_patients_mean() -> None:
    model = by_hand(**{"intercept": 0.5, "ca": 2.0, "exang: yes": 1.0})
    # ca: 0 and 3 in training, mean points 3; exang: no and yes, mean points 0.5
    explanation = model.explain(row(SICK))
    found = dict(zip(NAMES, explanation.contributions, strict=True))
    assert explanation.base_value == pytest.approx(0.5 + 3.0 + 0.5)
    assert found.pop("ca") == pytest.approx(6.0 - 3.0)
    assert found.pop("exang") == pytest.approx(1.0 - 0.5)
    assert set(found.values()) == {0.0}


def test_the_interval_spans_the_middle_95_percent_of_the_sets() -> None:
    low, high = by_hand().explain(row()).interval
    # Three sets score -1, 0 and 1; the 2.5 % point lies 0.05 above the lowest.
    assert low == pytest.approx(1 / (1 + math.exp(0.95)), abs=1e-12)
    assert high == pytest.approx(1 / (1 + math.exp(-0.95)), abs=1e-12)


def test_the_interval_is_widened_to_hold_the_probability() -> None:
    text = by_hand().scorecard.replace('"intercept": 0.0', '"intercept": 3.0')
    model = from_json(text)
    p = model.probability(row())
    assert model.explain(row()).interval[1] == p
    assert model.score([row()]).interval[0, 1] == p


def test_the_interval_holds_the_probability_of_every_patient(fitted: Fitted) -> None:
    scores = fitted.model.score(masked(fitted.data.rows, 2000))
    assert (scores.interval[:, 0] <= scores.probability).all()
    assert (scores.interval[:, 1] >= scores.probability).all()


def test_one_patient_is_explained_as_many_are(fitted: Fitted) -> None:
    rows = masked(fitted.data.rows, 200)
    scores = fitted.model.score(rows)
    for i, patient in enumerate(rows.tolist()):
        explanation = fitted.model.explain(patient)
        assert explanation.interval == pytest.approx(tuple(scores.interval[i]), abs=1e-12)
        assert explanation.contributions == pytest.approx(scores.contributions[i], abs=1e-12)


def test_base_value_and_contributions_sum_to_the_log_odds(fitted: Fitted) -> None:
    for patient in masked(fitted.data.rows, 200).tolist():
        explanation = fitted.model.explain(patient)
        z = explanation.base_value + sum(explanation.contributions)
        assert 1 / (1 + math.exp(-z)) == pytest.approx(fitted.model.probability(patient), abs=1e-12)


def test_frames_tuples_and_arrays_score_alike(fitted: Fitted) -> None:
    rows = masked(fitted.data.rows, 50)
    frame = pd.DataFrame(rows, columns=list(NAMES))
    frame.insert(0, "id", range(50))
    tuples = [tuple(None if v != v else v for v in r) for r in rows.tolist()]
    expected = fitted.model.score(rows).probability
    assert (fitted.model.score(frame[frame.columns[::-1]]).probability == expected).all()
    assert (fitted.model.score(tuples).probability == expected).all()


def test_scores_of_nobody_are_empty() -> None:
    scores = by_hand().score([])
    assert scores.probability.shape == (0,)
    assert scores.interval.shape == (0, 2)
    assert scores.contributions.shape == (0, 13)


def test_scores_become_a_frame_and_json() -> None:
    scores = by_hand().score([row(), row(SICK)])
    assert list(scores.frame().columns) == ["probability", "low", "high", *NAMES]
    assert json.loads(json.dumps(scores.to_dict()))["probability"] == [0.5, 0.5]


@pytest.mark.parametrize(
    "changed",
    [
        {"cp": 9.0}, {"cp": 1.5}, {"thal": 4.0}, {"fbs": 2.0}, {"age": None}, {"sex": math.nan},
        {"chol": math.inf},
    ],
)  # fmt: skip
def test_a_value_without_points_is_not_scored(changed: dict[str, float | None]) -> None:
    model = by_hand(age=1.0, chol=1.0)
    values = dict(zip(NAMES, row(), strict=True)) | changed
    patient = tuple(values[name] for name in NAMES)
    with pytest.raises(ValueError, match=r"known|points|infinite"):
        model.probability(patient)
    with pytest.raises(ValueError, match=r"known|points|infinite"):
        model.score([patient])


def test_values_outside_the_training_range_are_named() -> None:
    # WELL and SICK are 63 and 67 years old, with 233 and 286 mg/dl.
    values = dict(zip(NAMES, row(), strict=True)) | {"age": 68.0, "chol": 232.0, "ca": None}
    assert by_hand().outside_training_range(tuple(values[name] for name in NAMES)) == [
        ("age", "the model has not seen such a value (trained on 63-67 years)"),
        ("chol", "the model has not seen such a value (trained on 233-286 mg/dl)"),
    ]


def test_a_saved_model_loads_as_it_was(tmp_path: Path) -> None:
    model = by_hand(age=0.1)
    write_bundle(tmp_path, model.scorecard, {"note": "by hand"})
    loaded = load(tmp_path)
    assert loaded.version == model.version
    assert loaded.scorecard == model.scorecard
    assert loaded.probability(row()) == model.probability(row())
    assert sorted(p.name for p in tmp_path.iterdir()) == [
        "SHA256SUMS", "evidence.json", "scorecard.json",
    ]  # fmt: skip


def test_sha256sum_itself_accepts_a_saved_model(tmp_path: Path) -> None:
    write_bundle(tmp_path, by_hand().scorecard, {})
    check = ["sha256sum", "--check", "--strict", "SHA256SUMS"]
    assert subprocess.run(check, cwd=tmp_path, capture_output=True).returncode == 0


def test_any_flipped_byte_is_refused(tmp_path: Path) -> None:
    write_bundle(tmp_path, by_hand().scorecard, {"note": "by hand"})
    for path in tmp_path.iterdir():
        content = path.read_bytes()
        for i in range(len(content)):
            changed = bytearray(content)
            changed[i] ^= 0x20  # turns a-f into A-F, too
            path.write_bytes(changed)
            with pytest.raises(ModelError, match="run make train"):
                load(tmp_path)
        path.write_bytes(content)
    load(tmp_path)


def test_a_missing_file_or_folder_names_the_command(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="run make train"):
        load(tmp_path / "absent")
    write_bundle(tmp_path, by_hand().scorecard, {})
    (tmp_path / "evidence.json").unlink()
    with pytest.raises(ModelError, match="run make train"):
        load(tmp_path)


def test_an_interrupted_write_leaves_no_usable_half(tmp_path: Path) -> None:
    write_bundle(tmp_path, by_hand(age=1.0).scorecard, {})
    old_sums = (tmp_path / "SHA256SUMS").read_bytes()
    write_bundle(tmp_path, by_hand(age=2.0).scorecard, {})
    (tmp_path / "SHA256SUMS").write_bytes(old_sums)  # as if stopped before the sums
    with pytest.raises(ModelError):
        load(tmp_path)


def test_a_pickle_with_the_right_hash_is_refused_and_never_run(tmp_path: Path) -> None:
    ran = tmp_path / "ran"

    class Code:
        def __reduce__(self) -> object:
            return Path.touch, (ran,)

    code = pickle.dumps(Code(), protocol=0)  # ASCII, as a scorecard is
    content = {SCORECARD_FILE: code, EVIDENCE_FILE: code}
    for name, data in (content | {CHECKSUMS_FILE: checksums(content), "model.pkl": code}).items():
        (tmp_path / name).write_bytes(data)
    with pytest.raises(ModelError):
        load(tmp_path)
    assert not ran.exists()
    pickle.loads(code)  # noqa: S301 - it would have run
    assert ran.exists()


@pytest.mark.parametrize(
    "text",
    ["", "{", "null", "[]", '"x"', "{}", '{"format": "cardiowatch scorecard 1"}', "NaN", "ä"],
)
def test_text_that_is_no_scorecard_is_refused(text: str) -> None:
    with pytest.raises(ModelError):
        from_json(text)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('"threshold": 0.5', '"threshold": 1.5'),
        ('"threshold": 0.5', '"threshold": "a"'),
        ('"scale": 1.0', '"scale": 0.0'),
        ('"intercept": 0.0', '"intercept": NaN'),
        ('"cp: asymptomatic"', '"cp: other"'),
        ('"slope": 0.0', '"slope": null'),
        ('"background"', '"foreground"'),
    ],
)
def test_a_scorecard_with_a_broken_number_is_refused(old: str, new: str) -> None:
    text = by_hand().scorecard
    assert old in text
    with pytest.raises(ModelError):
        from_json(text.replace(old, new))


def test_the_version_is_the_hash_of_the_text() -> None:
    # printf of the text piped through sha256sum, the first 12 digits
    model = by_hand()
    other = from_json(model.scorecard + "\n")
    assert len(model.version) == 12
    assert model.version != other.version


def test_every_stored_number_has_at_most_9_decimals(fitted: Fitted) -> None:
    def numbers(value: object) -> list[float]:
        if isinstance(value, dict):
            return [n for v in value.values() for n in numbers(v)]
        if isinstance(value, list):
            return [n for v in value for n in numbers(v)]
        return [value] if isinstance(value, float) else []

    found = numbers(json.loads(fitted.model.scorecard))
    assert len(found) > 10_000
    assert all(number == round(number, 9) for number in found)


def test_loading_imports_numpy_and_nothing_heavier() -> None:
    program = (
        "import sys, pipeline.model;"
        "heavy = {'pandas', 'sklearn', 'scipy', 'shap'} & set(sys.modules); assert not heavy, heavy"
    )
    subprocess.run([sys.executable, "-c", program], check=True, cwd=ROOT)


def test_the_pure_and_the_array_scorer_agree(fitted: Fitted) -> None:
    rows = masked(fitted.data.rows, 1000, seed=1)
    expected = fitted.model.score(rows).probability
    found = np.array([fitted.model.probability(patient) for patient in rows.tolist()])
    assert np.abs(found - expected).max() <= 1e-12
