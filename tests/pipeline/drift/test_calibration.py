"""The table of false alarms and power, from windows that a reader can count."""

from __future__ import annotations

import numpy as np
import pytest

from pipeline.calibrate import FULL, QUICK, Chunk, _verdict, chunks, chunks_to_refine, measure
from pipeline.dataset.heart import SCENARIOS, PatientSource, scenario_by_name
from pipeline.drift import compare
from pipeline.drift.calibration.baseline_tests import TREES
from pipeline.drift.calibration.summary import (
    WindowResult,
    clopper_pearson_upper,
    summarise,
    tables,
)
from pipeline.schema import NAMES
from pipeline.train import LabelledPatients


def record(drift: bool, *named: str, **rivals: float) -> WindowResult:
    return WindowResult(drift, 0.01 if drift else 0.5, named, (), rivals)


def test_no_alarm_in_n_windows_leaves_room_for_three_in_n() -> None:
    # (1 - p)^n = .05
    assert clopper_pearson_upper(0, 100) == pytest.approx(1 - 0.05 ** (1 / 100))
    assert clopper_pearson_upper(5, 5) == 1.0


def test_a_rival_gets_the_limit_that_one_clean_window_in_twenty_exceeds() -> None:
    clean = [("clean", 100, 303, record(False, rival=float(i))) for i in range(100)]
    # limit 95: two of four are above
    changed = [("shift", 100, 303, record(i > 0, rival=94.0 + i)) for i in range(4)]

    row = summarise([*clean, *changed], {})["power"][0]

    assert row["power"] == 0.75
    assert row["rivals"]["rival"]["power"] == 0.5
    assert row["behind"] == -0.25


def test_a_name_is_wrong_when_its_column_did_not_change() -> None:
    assert not record(True, "thalach").has_false_attribution("shift")
    assert record(True, "thalach", "age").has_false_attribution("shift")
    assert record(True, "thalach").has_false_attribution("correlation")
    assert WindowResult(True, 0.01, (), (("age", "chol"),), {}).has_false_attribution("shift")
    assert not WindowResult(True, 0.01, (), (("age", "thalach"),), {}).has_false_attribution(
        "shift"
    )


def test_a_target_is_missed_until_enough_windows_show_that_it_is_met() -> None:
    few = summarise([("clean", 100, 303, record(False))] * 10, {})
    many = summarise([("clean", 100, 303, record(False))] * 1000, {})

    assert [t["met"] for t in few["targets"]] == [False]
    assert [t["met"] for t in many["targets"]] == [True]
    assert "| clean | 100 | 303 | 1,000 | 0.0 % | 0.3 % |" in tables(many)


def test_where_trees_lead_on_the_few_windows_they_saw_they_see_all() -> None:
    clean = [("clean", 100, 303, record(False, **{TREES: float(i)})) for i in range(100)]
    behind = [("swap", 100, 303, record(False, **{TREES: 99.0}))]
    level = [("shift", 100, 303, record(True, **{TREES: 99.0}))]

    again = chunks_to_refine(chunks(QUICK), summarise([*clean, *behind, *level], {}))

    assert {(c.scenario, c.n, c.all_trees) for c in again} == {("swap", 100, True)}
    assert sum(c.count for c in again) == QUICK.power


def test_every_cell_gets_its_windows_once() -> None:
    work = chunks(FULL)

    assert len(set(work)) == len(work)
    assert sum(c.count for c in work if c.scenario == "clean") == 4 * 5_000
    assert sum(c.count for c in work if c.scenario == "shift") == 2 * FULL.power


@pytest.mark.parametrize("scenario", ["clean", "shift"])
def test_what_is_measured_is_what_compare_says(scenario: str, cleveland: LabelledPatients) -> None:
    source, random = PatientSource(cleveland.rows, cleveland.y), np.random.default_rng(1)
    for seed in range(3):
        reference, window = (
            source.draw(303, random),
            scenario_by_name(scenario).draw(source, 60, random),
        )
        result = compare(reference, window, seed=seed)
        pairs = tuple((pair.a, pair.b) for pair in result.pairs if pair.drift)
        said = result.drift, result.p_value, result.drifted, pairs
        assert _verdict(reference, window, seed) == said


def test_a_chunk_is_the_same_whenever_it_is_measured() -> None:
    chunk = Chunk("unit", 100, 303, 0, 2, 1, trees=False)

    assert measure(chunk) == measure(chunk)


@pytest.mark.parametrize("name", [scenario.name for scenario in SCENARIOS])
def test_a_scenario_changes_what_it_says_and_nothing_else(
    name: str, cleveland: LabelledPatients
) -> None:
    source, scenario = PatientSource(cleveland.rows, cleveland.y), scenario_by_name(name)
    clean = source.draw(200, np.random.default_rng(1))

    changed = scenario.draw(source, 200, np.random.default_rng(1))

    assert changed.shape == clean.shape
    if scenario.changed_relations != frozenset(NAMES):
        differ = {
            column
            for i, column in enumerate(NAMES)
            if not np.array_equal(changed[:, i], clean[:, i], equal_nan=True)
        }
        assert differ == scenario.changed_relations
