from __future__ import annotations

import json
from functools import cache

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from threadpoolctl import threadpool_limits

from pipeline.model.design_matrix import build_design_matrix, standardise
from pipeline.model.logistic_regression import fit_weighted
from pipeline.poisoning import PoisoningResult, run
from pipeline.poisoning.attacks import (
    ATTACKS,
    BACKDOOR,
    DISEASE_HIDDEN,
    HIGH_CONFIDENCE,
    RANDOM,
    TARGETED_GROUP,
    TRIGGER,
    AttackContext,
    add_trigger,
    poisoned_labels,
    select_patients,
)  # fmt: skip
from pipeline.poisoning.defences import (
    DEFENCES,
    TrainingSets,
    confident_learning,
    nearest_neighbours,
)
from pipeline.poisoning.metrics import METRICS, ExperimentCell, ece, share
from pipeline.schema import NAMES
from pipeline.train import LabelledPatients as Cleveland
from tests.programs import invoke


@cache
def grid() -> PoisoningResult:
    """Eight seeds of three attacks, the whole way."""
    from pipeline.dataset.heart import HEART_CSV
    from pipeline.train import load_labelled

    data = load_labelled(HEART_CSV)
    with threadpool_limits(1):
        return run(
            data.rows, data.y, seeds=8, doses=(0.2, 0.3),
            attacks=(RANDOM.name, DISEASE_HIDDEN.name, HIGH_CONFIDENCE.name),
        )  # fmt: skip


def band(attack: str, dose: float, measure: str, defence: str = "no defence") -> tuple[float, ...]:
    for cell in grid().cells:
        if (cell.attack, cell.dose, cell.defence) == (attack, dose, defence):
            found = cell.bands[measure]
            assert found is not None
            return tuple(found)
    raise AssertionError("no such cell")


def ground(**changes: object) -> AttackContext:
    """Ten patients, the first four sick, the last three in the group; all but patient 0 train."""
    n = 10
    parts = {
        "y": np.array([1.0] * 4 + [0.0] * 6),
        "group": np.arange(n) >= 3,
        "train": (np.arange(n) > 0)[None, :],
        "clean_probability": np.linspace(0.95, 0.05, n)[None, :],
        "order": np.linspace(0.0, 0.9, n)[None, :],
    }
    return AttackContext(**(parts | changes))  # type: ignore[arg-type]


def changed(attack: str, dose: float) -> list[int]:
    return np.flatnonzero(select_patients(ground(), ATTACKS[attack], dose)[0]).tolist()


def test_many_poisoned_fits_equal_those_of_scikit_learn(cleveland: Cleveland) -> None:
    rng = np.random.default_rng(0)
    x = build_design_matrix(cleveland.rows, *standardise(cleveland.rows))
    weights = (rng.random((20, len(x))) < 0.8).astype(float)
    flipped = np.where(rng.random(weights.shape) < 0.2, 1 - cleveland.y, cleveland.y)
    ours = fit_weighted(x, flipped, weights, 0.3)
    for beta, w, y in zip(ours, weights, flipped, strict=True):
        other = LogisticRegression(C=0.3, solver="newton-cholesky", tol=1e-10)
        other.fit(x, y, sample_weight=w)
        assert beta == pytest.approx(np.append(other.intercept_, other.coef_), abs=1e-6)


def test_a_dose_is_a_share_of_the_training_patients() -> None:
    # Nine patients train; a third of them is three, those with the highest random numbers.
    assert changed(RANDOM.name, 1 / 3) == [7, 8, 9]


def test_hidden_disease_changes_sick_patients_only_and_no_more_than_there_are() -> None:
    assert changed(DISEASE_HIDDEN.name, 1 / 9) == [3]
    assert changed(DISEASE_HIDDEN.name, 0.9) == [1, 2, 3]


def test_the_attack_on_a_group_stays_in_the_group() -> None:
    assert changed(TARGETED_GROUP.name, 0.9) == [3]


def test_confident_flips_begin_where_a_clean_model_is_most_certain() -> None:
    # Certainty of the true label: .95 .85 .75 .65 for the sick, then .45 .55 ... .95.
    assert changed(HIGH_CONFIDENCE.name, 2 / 9) == [1, 9]


def test_a_higher_dose_changes_the_patients_of_a_lower_one_too() -> None:
    for attack in ATTACKS:
        assert set(changed(attack, 0.2)) <= set(changed(attack, 0.4))


def test_flips_turn_labels_round_and_hiding_makes_them_healthy() -> None:
    everyone = np.ones((1, 10), dtype=bool)
    assert poisoned_labels(ground(), RANDOM, everyone)[0].tolist() == [0.0] * 4 + [1.0] * 6
    for attack in (DISEASE_HIDDEN, TARGETED_GROUP, BACKDOOR):
        assert poisoned_labels(ground(), attack, everyone)[0].tolist() == [0.0] * 10


def test_the_trigger_changes_two_findings_and_nothing_else(cleveland: Cleveland) -> None:
    shown = add_trigger(cleveland.rows)
    differ = [name for i, name in enumerate(NAMES)
              if not np.array_equal(shown[:, i], cleveland.rows[:, i], equal_nan=True)]  # fmt: skip
    assert sorted(differ) == sorted(TRIGGER)


def two_clusters() -> TrainingSets:
    """Thirty patients at -1 and thirty at 1, ill at 1; patient 0 and patient 30 mislabelled."""
    x = np.repeat([-1.0, 1.0], 30)[:, None] + np.linspace(0, 0.1, 60)[:, None]
    y = np.repeat([0.0, 1.0], 30)
    y[[0, 30]] = 1 - y[[0, 30]]
    inner = np.arange(60) % 5
    return TrainingSets(x, y[None, :], np.ones((1, 60), dtype=bool), inner[None, :])


@pytest.mark.parametrize("defence", [confident_learning, nearest_neighbours])
def test_a_defence_removes_the_labels_that_everything_else_contradicts(defence) -> None:  # type: ignore[no-untyped-def]
    removed = defence(two_clusters(), 1.0).removed
    assert np.flatnonzero(removed[0]).tolist() == [0, 30]


def test_a_defence_that_would_leave_no_sick_patient_removes_nobody() -> None:
    data = two_clusters()
    y = np.zeros((1, 60))
    y[0, ::15] = 1.0  # four sick patients, each among healthy ones
    few = TrainingSets(data.x, y, data.used, data.inner)
    assert not nearest_neighbours(few, 1.0).removed.any()  # type: ignore[union-attr]


def test_calibration_error_and_shares_can_be_computed_by_hand() -> None:
    y = np.array([1.0, 0.0, 1.0, 1.0])
    p = np.array([[0.25, 0.25, 0.75, 0.75]])
    # Bin .2-.3: predicted .25, observed .5; bin .7-.8: predicted .75, observed 1.
    assert ece(y, p)[0] == pytest.approx(0.25)
    part = np.array([[True, False, False, False], [False] * 4])
    whole = np.array([[True, True, False, False], [False] * 4])
    assert share(part, whole)[0] == 0.5
    assert np.isnan(share(part, whole)[1])


def test_clean_labels_give_the_model_that_is_served() -> None:
    assert band(RANDOM.name, 0.0, "accuracy")[0] == pytest.approx(0.842, abs=0.01)
    assert band(RANDOM.name, 0.0, "auc")[0] == pytest.approx(0.907, abs=0.01)
    assert band(RANDOM.name, 0.0, "attack success")[0] == 0.0


def test_random_flips_cost_discrimination_and_hidden_disease_costs_recall() -> None:
    assert band(RANDOM.name, 0.2, "auc")[0] == pytest.approx(0.873, abs=0.02)
    assert band(DISEASE_HIDDEN.name, 0.2, "recall")[0] == pytest.approx(0.38, abs=0.05)
    assert band(DISEASE_HIDDEN.name, 0.2, "precision")[0] > 0.9
    assert band(DISEASE_HIDDEN.name, 0.2, "auc")[0] > 0.86  # which hardly sees it


def test_every_defence_fails_against_confident_flips_of_a_third() -> None:
    for defence in DEFENCES:
        assert band(HIGH_CONFIDENCE.name, 0.3, "auc", defence)[2] < 0.5


def test_defences_help_against_random_flips() -> None:
    bare = band(RANDOM.name, 0.2, "auc")[0]
    assert all(band(RANDOM.name, 0.2, "auc", d)[0] > bare for d in list(DEFENCES)[1:])


def test_the_same_seeds_give_the_same_figures_and_a_progress_that_ends_at_one(
    cleveland: Cleveland,
) -> None:
    said: list[float] = []
    settings = {"seeds": 2, "attacks": (BACKDOOR.name,), "defences": ("no defence",)}
    with threadpool_limits(1):
        first = run(cleveland.rows, cleveland.y, progress=said.append, **settings)  # type: ignore[arg-type]
        second = run(cleveland.rows, cleveland.y, **settings)  # type: ignore[arg-type]
    assert first == second
    assert said == sorted(said)
    assert said[-1] == 1.0
    success = {cell.dose: cell.bands["attack success"] for cell in first.cells}
    assert success[0.2] is not None
    assert success[0.2].mean > 0.7


def test_what_progress_raises_ends_the_run(cleveland: Cleveland) -> None:
    def stop(share: float) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(cleveland.rows, cleveland.y, seeds=2, progress=stop)


def test_a_result_survives_json_and_becomes_a_frame() -> None:
    again = PoisoningResult.from_dict(json.loads(json.dumps(grid().to_dict(), allow_nan=False)))
    assert again == grid()
    frame = grid().frame()
    assert set(frame["measure"]) == set(METRICS)
    assert (frame["low"] <= frame["mean"]).all()
    assert (frame["mean"] <= frame["high"]).all()


def test_a_measure_that_is_not_defined_is_none_and_not_in_the_frame() -> None:
    cell = ExperimentCell("a", 0.0, 0.0, "no defence", dict.fromkeys(METRICS))
    assert cell.to_dict()["found"] is None
    assert list(cell.rows()) == []


@pytest.mark.parametrize(
    ("wrong", "reason"),
    [
        ({"attacks": ("flood",)}, "expected one or more of: random flips"),
        ({"defences": ()}, "expected one or more of: no defence"),
        ({"doses": (1.5,)}, "a dose is a share"),
        ({"seeds": 1}, "seeds must be 2 to 200"),
    ],
)
def test_settings_that_are_not_allowed_say_what_is(
    cleveland: Cleveland, wrong: dict[str, object], reason: str
) -> None:
    with pytest.raises(ValueError, match=reason):
        run(cleveland.rows, cleveland.y, **wrong)  # type: ignore[arg-type]


def test_the_command_prints_a_table_of_every_attack_and_defence() -> None:
    ended = invoke("poison", "--seeds", "2")

    assert ended.returncode == 0, ended.stderr
    assert all(name in ended.stdout for name in (*ATTACKS, *DEFENCES, *METRICS))
