from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from pipeline.fairness.coverage import coverage, coverage_by_group, group_pools
from tests.programs import invoke

MEN, WOMEN = np.array([92.0, 19, 22, 73]), np.array([18.0, 2, 7, 70])  # as training measured
PATIENTS = {
    "female, 18-44": {"disease": [0.9], "no disease": []},
    "male, 18-44": {"disease": [0.8], "no disease": [0.1, 0.2]},
    "male, 45-54": {"disease": [0.7], "no disease": []},
}


def test_the_interval_of_the_page_covers_the_gaps_by_sex() -> None:
    found = coverage((MEN, WOMEN), draws=1_000, seed=1)
    assert set(found) == {"selection_rate", "recall", "fpr", "precision", "accuracy"}
    for metric, share in found.items():
        # 1,000 draws: two standard errors of 95 % are 1.4 points beside the wanted 93 to 97 %
        assert 0.916 <= share <= 0.984, metric


def test_sexes_are_told_apart_in_the_evidence() -> None:
    found = group_pools({"fairness": {"patients": PATIENTS}}, "sex")
    assert [part.tolist() for part in found["male"]] == [[0.8, 0.7], [0.1, 0.2]]
    assert found["female"][0] == pytest.approx([0.9])


def test_each_age_band_is_measured_against_all_others_and_small_cells_are_left_out() -> None:
    sick, well = np.linspace(0.2, 0.9, 30), np.linspace(0.1, 0.7, 30)
    pools = {"18-44": (sick, well), "45-54": (sick, well), "65 and over": (sick[:3], well[:30])}
    found = dict(coverage_by_group(pools, draws=200, seed=1))
    assert list(found) == list(pools)
    assert found["65 and over"]["recall"] is None  # three sick patients
    assert 0.88 <= (found["18-44"]["recall"] or 0) <= 1.0


def test_the_command_measures_the_groups_of_the_model_in_service(tmp_path: Path) -> None:
    many = {"disease": [0.4, 0.8, 0.9] * 20, "no disease": [0.1, 0.3, 0.7] * 20}
    patients = {"female, 18-44": many, "male, 18-44": many}
    (tmp_path / "evidence.json").write_text(json.dumps({"fairness": {"patients": patients}}))

    ended = invoke(
        "measure", "coverage", "--draws", "50", model_dir=tmp_path
    )  # fmt: skip

    assert ended.returncode == 0, ended.stderr
    assert [line.split()[0] for line in ended.stdout.splitlines()] == ["group", "female", "male"]
