from __future__ import annotations

import json
from dataclasses import asdict

import numpy as np
import pytest
from fairlearn.metrics import demographic_parity_difference, equalized_odds_difference

from pipeline.fairness import assess
from pipeline.fairness.groups import joint_keys, sensitive_groups, split_key, with_pairs
from pipeline.fairness.result import Grouping, Verdict
from pipeline.model.design_matrix import Array
from pipeline.schema import BY_NAME, Feature, Kind
from pipeline.train import LabelledPatients


def patients(**tables: tuple[int, int, int, int]) -> tuple[Array, Array, dict[str, Array]]:
    """Make patients of each group from its counts of TP, FP, FN and TN."""
    pattern = np.array([(1, 1), (0, 1), (1, 0), (0, 0)], dtype=float)  # (truth, prediction)
    rows = np.repeat(np.tile(pattern, (len(tables), 1)), np.ravel(list(tables.values())), axis=0)
    names = np.repeat(list(tables), [sum(t) for t in tables.values()])
    return rows[:, 0], rows[:, 1], {"ward": names.astype(object)}


def test_the_rates_are_shares_of_the_table() -> None:
    y, prediction, groups = patients(east=(6, 2, 2, 10), west=(3, 1, 1, 5))
    east = assess(y, prediction, groups).groupings["ward"].groups[0]
    found = {name: (rate.value, rate.n) for name, rate in east.rates.items()}
    assert found == {
        "base_rate": (8 / 20, 20),
        "selection_rate": (8 / 20, 20),
        "recall": (6 / 8, 8),
        "fpr": (2 / 12, 12),
        "precision": (6 / 8, 8),
        "accuracy": (16 / 20, 20),
    }


def test_the_differences_are_those_of_the_largest_and_the_smallest_rate() -> None:
    y, prediction, groups = patients(a=(8, 0, 2, 10), b=(5, 1, 5, 9), c=(9, 4, 1, 6))
    ward = assess(y, prediction, groups).groupings["ward"]
    assert ward.demographic_parity and ward.equalized_odds  # noqa: PT018 - neither is None
    assert ward.demographic_parity.value == pytest.approx(13 / 20 - 6 / 20)
    assert ward.equalized_odds.value == pytest.approx(0.4)  # FPR 0, .1, .4; recall .8, .5, .9
    assert ward.perfect_parity == 0


@pytest.mark.parametrize("seed", range(5))
def test_the_differences_equal_those_of_fairlearn(cleveland: LabelledPatients, seed: int) -> None:
    rng = np.random.default_rng(seed)
    prediction = np.where(rng.random(303) < 0.3, rng.integers(0, 2, 303), cleveland.y)
    for name, values in with_pairs(sensitive_groups(cleveland.rows)).items():
        found = assess(cleveland.y, prediction, {name: values}).groupings[name]
        given = {"sensitive_features": values.astype(str)}
        assert found.demographic_parity and found.equalized_odds  # noqa: PT018
        assert found.demographic_parity.value == pytest.approx(
            demographic_parity_difference(cleveland.y, prediction, **given), abs=1e-12
        )
        assert found.equalized_odds.value == pytest.approx(
            equalized_odds_difference(cleveland.y, prediction, **given), abs=1e-12
        )


def test_without_outcomes_there_are_selection_rates_only() -> None:
    _, prediction, groups = patients(east=(20, 0, 0, 80), west=(70, 0, 0, 30))
    ward = assess(None, prediction, groups).groupings["ward"]
    assert ward.gap("selection_rate").verdict is Verdict.GAP
    assert ward.gap("recall").difference is None
    assert ward.gap("recall").verdict is Verdict.INCONCLUSIVE
    assert ward.equalized_odds is None
    assert ward.perfect_parity is None


def test_unknown_outcomes_count_for_the_selection_rate_alone() -> None:
    y = np.array([1, 1, np.nan, np.nan])
    group = assess(y, [1, 0, 1, 1], {"ward": ["east"] * 4}).groupings["ward"].groups[0]
    assert (group.n, group.n_known) == (4, 2)
    assert group.rates["selection_rate"].value == 3 / 4
    assert group.rates["recall"].value == 1 / 2


def test_a_cell_of_19_cannot_tell_and_one_of_20_can() -> None:
    for diseased, verdict in ((19, Verdict.INCONCLUSIVE), (20, Verdict.GAP)):
        y, prediction, groups = patients(east=(diseased, 5, 0, 95), west=(0, 5, 50, 95))
        gap = assess(y, prediction, groups).groupings["ward"].gap("recall")
        assert (gap.difference, gap.n, gap.verdict) == (-1, (50, diseased), verdict)


def test_the_gap_of_two_groups_is_second_minus_first() -> None:
    y, prediction, groups = patients(east=(10, 0, 30, 60), west=(30, 0, 10, 60))
    gap = assess(y, prediction, groups).groupings["ward"].gap("recall")
    assert (gap.group, gap.against, gap.difference) == ("west", "east", 0.5)
    assert gap.interval is not None
    assert gap.interval[0] > 0
    assert gap.verdict is Verdict.GAP


def test_the_gap_of_one_of_many_groups_is_taken_against_all_others() -> None:
    y, prediction, groups = patients(a=(30, 0, 10, 60), b=(10, 0, 30, 60), c=(20, 0, 20, 60))
    gap = assess(y, prediction, groups).groupings["ward"].gap("recall", "a")
    assert gap.difference == pytest.approx(30 / 40 - 30 / 80)
    assert gap.n == (40, 80)


def test_equal_rates_of_many_patients_are_no_gap() -> None:
    y, prediction, groups = patients(east=(800, 100, 200, 900), west=(800, 100, 200, 900))
    gap = assess(y, prediction, groups).groupings["ward"].gap("recall")
    assert (gap.p_value, gap.verdict) == (1.0, Verdict.NO_GAP)


def test_few_patients_name_the_number_that_would_settle_it() -> None:
    y, prediction, groups = patients(east=(15, 5, 15, 25), west=(15, 5, 15, 25))
    gap = assess(y, prediction, groups).groupings["ward"].gap("recall")
    assert gap.verdict is Verdict.INCONCLUSIVE
    # a share of one half: 2 * .5 * .5 * ((1.960 + 1.282) / .1)^2 = 525.4
    assert gap.n_needed == 526


def test_the_roc_area_is_compared_where_probabilities_are_given() -> None:
    y, prediction, groups = patients(east=(25, 0, 0, 25), west=(25, 0, 0, 25))
    p = np.where(y == 1, 0.9, 0.1)
    ward = assess(y, prediction, groups, probability=p).groupings["ward"]
    assert ward.groups[0].rates["auc"].value == 1.0
    assert ward.groups[0].rates["auc"].n == 25
    assert ward.gap("auc").difference == 0.0


def test_patients_without_a_group_are_left_out_of_that_grouping() -> None:
    found = assess(None, [1, 0, 1], {"ward": ["east", None, ""], "site": ["a", "a", "b"]})
    assert [group.n for group in found.groupings["ward"].groups] == [1]
    assert [group.n for group in found.groupings["site"].groups] == [2, 1]


def test_one_group_or_no_patient_has_nothing_to_compare() -> None:
    for labels in ([], ["east"] * 3):
        ward = assess(None, [0] * len(labels), {"ward": labels}).groupings["ward"]
        assert ward.gaps == ()
        assert ward.demographic_parity is None


def test_the_same_seed_gives_the_same_answer_and_it_is_safe_for_json(
    cleveland: LabelledPatients,
) -> None:
    prediction = cleveland.rows[:, 8]
    groups = with_pairs(sensitive_groups(cleveland.rows))
    first, second = (assess(cleveland.y, prediction, groups, seed=3).to_dict() for _ in range(2))
    assert json.loads(json.dumps(first, allow_nan=False)) == json.loads(json.dumps(second))


def test_a_prediction_that_is_neither_0_nor_1_is_refused() -> None:
    with pytest.raises(ValueError, match="0 or 1"):
        assess(None, [0.5], {"ward": ["east"]})
    with pytest.raises(ValueError, match="per patient"):
        assess([1, 0], [1], {"ward": ["east"]})


def test_every_patient_has_a_sex_an_age_band_and_both(cleveland: LabelledPatients) -> None:
    found = with_pairs(sensitive_groups(cleveland.rows[:2]))  # men of 63 and 67
    assert {name: list(values) for name, values in found.items()} == {
        "sex": ["male", "male"],
        "age": ["55-64", "65 and over"],
        "sex and age": ["male, 55-64", "male, 65 and over"],
    }
    young = cleveland.rows[[0, 0]].copy()
    young[:, 0] = 44.9, 45
    assert list(sensitive_groups(young)["age"]) == ["18-44", "45-54"]


def test_keys_of_the_evidence_name_a_group_by_each_attribute() -> None:
    groups = {
        "sex": np.array(["female", "male"], dtype=object),
        "smoker": np.array([None, "smoker: yes"], dtype=object),
    }
    evidence = {"attributes": list(groups)}
    assert list(with_pairs(groups)["sex and smoker"]) == [None, "male, smoker: yes"]
    keys = joint_keys(groups)
    assert [split_key(evidence, key) for key in keys] == [
        {"sex": "female", "smoker": None},
        {"sex": "male", "smoker": "smoker: yes"},
    ]
    # evidence of the first edition does not name them
    assert split_key({}, "male, 45-54") == {"sex": "male", "age": "45-54"}


def test_groups_of_yes_and_no_say_of_what() -> None:
    words = {"no": 0, "yes": 1}
    smoker = Feature("smoker", "Smoker", Kind.BOOLEAN, 0, 1, codes=words, sensitive=True)
    assert smoker.groups == {0: "smoker: no", 1: "smoker: yes"}
    assert smoker.told_groups == [(1, "smoker: yes")]
    assert BY_NAME["sex"].told_groups == [(0, "female")]


def test_what_was_written_of_a_grouping_is_read_back_the_same() -> None:
    y, p = np.tile([1.0, 0.0], 60), np.linspace(0, 1, 120)
    groups = {"sex": np.repeat(["female", "male"], 60)}
    found = assess(y, p >= 0.5, groups, probability=p)
    written = json.loads(json.dumps(found.to_dict()))["groupings"]["sex"]
    read = Grouping.from_dict(written)
    assert json.loads(json.dumps(asdict(read))) == written
    assert read.gaps[0].verdict is found.groupings["sex"].gaps[0].verdict


def test_groups_may_be_codes_of_which_0_is_one_and_missing_ones_are_left_out() -> None:
    sex = np.array([0, 1, 0, 1, None, np.nan], dtype=object)

    found = assess(None, [1, 0, 1, 0, 1, 1], {"sex": sex})

    assert [(g.name, g.n) for g in found.groupings["sex"].groups] == [("0", 2), ("1", 2)]
