"""What the bundle says of fairness and explanations."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipeline.model import load
from pipeline.model.global_explanation import count_values
from pipeline.train import LabelledPatients
from pipeline.training import evidence_explanations
from pipeline.training.evidence_fairness import out_of_fold
from pipeline.training.imputation import CrossValidationFolds, OutOfFoldPredictions


@pytest.fixture(scope="module")
def evidence(model_dir: Path) -> dict[str, Any]:
    return json.loads((model_dir / "evidence.json").read_text())


def test_the_average_over_the_repeats_stands_in_the_order_of_the_patients(
    cleveland: LabelledPatients,
) -> None:
    folds = CrossValidationFolds(cleveland.rows, cleveland.y, repeats=2)
    # A model that says the patient's age, so that the order can be seen.
    said = [(cleveland.y[test], cleveland.rows[test, 0][None, :] / 100) for _, test, _ in folds]
    found = out_of_fold(folds, OutOfFoldPredictions(said))
    assert found == pytest.approx(cleveland.rows[:, 0] / 100)


def test_all_patients_are_assessed_out_of_fold(evidence: dict[str, Any]) -> None:
    patients = evidence["fairness"]["patients"]
    assert sum(len(part["disease"]) for part in patients.values()) == 139
    assert sum(len(part["no disease"]) for part in patients.values()) == 164
    female = [len(p) for g, part in patients.items() if g[0] == "f" for p in part.values()]
    assert sum(female) == 97


def test_a_perfect_classifier_would_differ_by_sex_too(evidence: dict[str, Any]) -> None:
    sex = evidence["fairness"]["by_sex"]
    # 114 of 206 men and 25 of 97 women had disease
    assert sex["perfect_parity"] == pytest.approx(114 / 206 - 25 / 97, abs=1e-6)
    gap = next(g for g in sex["gaps"] if g["metric"] == "selection_rate")
    assert gap["verdict"] == "gap"
    assert 0.2 < gap["difference"] < 0.4


def test_the_values_are_counted_as_they_stand_in_the_data(
    evidence: dict[str, Any], cleveland: LabelledPatients
) -> None:
    written = evidence["explanations"]["counts"]
    for name, counts in count_values(cleveland.rows).items():
        keys = {"not known" if v is None else f"{v:g}": n for v, n in counts.items()}
        assert written[name] == keys


def test_the_challengers_go_by_the_same_three_findings(evidence: dict[str, Any]) -> None:
    for challenger in evidence["explanations"]["challengers"].values():
        weights = {name: found["weight"] for name, found in challenger["features"].items()}
        assert set(sorted(weights, key=weights.__getitem__)[-3:]) == {"cp", "ca", "thal"}
        assert np.isfinite(list(weights.values())).all()


def test_without_shap_the_values_are_counted_and_the_challengers_left_out(
    evidence: dict[str, Any],
    cleveland: LabelledPatients,
    model_dir: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(evidence_explanations, "shap", None)
    found = evidence_explanations.evaluate_explanations(
        cleveland.rows, cleveland.y, load(model_dir)
    )

    assert len(evidence["explanations"]["challengers"]) == 2
    assert found == evidence["explanations"] | {"challengers": {}}
