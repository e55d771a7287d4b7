"""The verdict on a window of patients: never an error, never NaN, the right name."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest

from pipeline.dataset.synthetic import smoothed_bootstrap
from pipeline.drift import Verdict, compare, compare_counts, risk_change
from pipeline.drift.contingency_tables import Array
from pipeline.model.global_explanation import count_values
from pipeline.schema import FEATURES, NAMES
from pipeline.train import LabelledPatients

CHOL, EXANG, OLDPEAK, SLOPE, THALACH, THAL, TRESTBPS = (
    NAMES.index(name)
    for name in ("chol", "exang", "oldpeak", "slope", "thalach", "thal", "trestbps")
)


@pytest.fixture(scope="module")
def reference(cleveland: LabelledPatients) -> Array:
    return smoothed_bootstrap(cleveland.rows, 303, seed=1)


@pytest.fixture(scope="module")
def window(cleveland: LabelledPatients) -> Array:
    return smoothed_bootstrap(cleveland.rows, 400, seed=2)


def counts(rows: Array) -> dict[str, dict[float | None, int]]:
    found: dict[str, dict[float | None, int]] = {}
    for i, name in enumerate(NAMES):
        values, n = np.unique(rows[~np.isnan(rows[:, i]), i], return_counts=True)
        found[name] = {None: int(np.isnan(rows[:, i]).sum())}
        found[name] |= {float(v): int(k) for v, k in zip(values, n, strict=True)}
    return found


def test_two_windows_of_one_world_show_no_drift(reference: Array, window: Array) -> None:
    result = compare(reference, window)

    assert result.verdict is Verdict.NO_DRIFT
    assert not result.drift
    assert result.drifted == ()
    assert result.p_value > 0.05


def test_the_same_seed_gives_the_same_result(reference: Array, window: Array) -> None:
    assert (
        compare(reference, window, seed=3).to_dict() == compare(reference, window, seed=3).to_dict()
    )


def test_the_order_of_the_patients_of_counts_does_not_matter(
    reference: Array, window: Array
) -> None:
    turned = {name: dict(reversed(c.items())) for name, c in counts(window).items()}

    assert (
        compare_counts(counts(reference), turned).to_dict()
        == compare_counts(counts(reference), counts(window)).to_dict()
    )


def test_a_shifted_number_is_named_with_how_far_it_moved(reference: Array, window: Array) -> None:
    window = window.copy()
    window[:, THALACH] -= 20

    result = compare(reference, window)

    assert result.drifted == ("thalach",)
    assert "lower" in result.features["thalach"].reason
    assert result.features["thalach"].distance.difference == pytest.approx(-20, abs=5)


def test_a_tenth_of_cholesterol_in_mmol_is_called_so(reference: Array, window: Array) -> None:
    window = window.copy()
    window[:40, CHOL] = np.round(window[:40, CHOL] / 38.67)

    chol = compare(reference, window).features["chol"]

    assert chol.drift
    assert "10 % of chol (40 values) looks like mmol/l" in chol.reason
    assert chol.unit_error is not None
    assert chol.unit_error.share == pytest.approx(0.1)


def test_an_all_missing_column_is_drift_and_not_an_error(reference: Array, window: Array) -> None:
    window = window.copy()
    window[:, THAL] = np.nan

    thal = compare(reference, window).features["thal"]

    assert thal.drift
    assert thal.reason == "missing rate 100 %, was 0 %"


def test_of_two_certain_changes_the_larger_one_comes_first(reference: Array, window: Array) -> None:
    window = window.copy()
    window[:40, SLOPE] = np.nan
    window[:300, THAL] = np.nan

    result = compare(reference, window)

    assert result.features["slope"].p_adjusted == result.features["thal"].p_adjusted
    assert result.drifted[:2] == ("thal", "slope")
    assert result.reason.startswith("Drift: thal (missing rate 75 %")


def test_a_code_never_seen_before_is_named(reference: Array, window: Array) -> None:
    window = window.copy()
    window[:40, SLOPE] = 4

    result = compare(reference, window)

    assert result.drifted == ("slope",)
    assert "not in the reference" in result.features["slope"].reason


def test_a_broken_relation_is_drift_without_a_change_of_any_column(
    reference: Array, window: Array
) -> None:
    window = window.copy()
    window[:, THALACH] = np.random.default_rng(0).permutation(window[:, THALACH])

    result = compare(reference, window)

    assert result.drift
    assert result.drifted == ()
    assert "thalach" in result.reason


def test_an_alarm_without_a_name_says_where_to_look_first(reference: Array, window: Array) -> None:
    window = window[:100].copy()
    window[:, EXANG] = np.random.default_rng(0).permutation(window[:, EXANG])

    result = compare(reference, window)

    assert result.drift
    assert result.drifted == ()
    assert [pair for pair in result.pairs if pair.drift] == []
    assert result.look_first == "exang"
    assert "correlation of exang with other features changed" in result.reason


def test_who_is_named_needs_no_second_look(reference: Array, window: Array) -> None:
    window = window.copy()
    window[:, THALACH] -= 20

    assert compare(reference, window).look_first is None


def test_pressures_rounded_to_tens_are_named(reference: Array, window: Array) -> None:
    window = window.copy()
    window[:, TRESTBPS] = np.round(window[:, TRESTBPS], -1)

    trestbps = compare(reference, window).features["trestbps"]

    assert trestbps.drift
    assert "100 % rounded to tens, was" in trestbps.reason


@pytest.mark.parametrize("n", [0, 1, 29])
def test_fewer_than_thirty_patients_are_not_enough(reference: Array, window: Array, n: int) -> None:
    for result in (compare(reference, window[:n]), compare(window[:n], reference)):
        assert result.verdict is Verdict.INSUFFICIENT_DATA
        assert not result.drift
        assert not result.enough_data
        assert result.p_value == 1.0
        assert "at least 30 of each needed" in result.reason


@pytest.mark.parametrize("fill", [np.nan, 0.0, 1e300, np.inf, -7.5])
def test_whatever_is_in_the_cells_there_is_a_verdict_without_nan(
    reference: Array, window: Array, fill: float
) -> None:
    strange = np.full_like(window, fill)
    for before, now in ((reference, strange), (strange, reference), (strange, strange)):
        for result in (compare(before, now), compare_counts(counts(before), counts(now))):
            plain = json.dumps(result.to_dict(), allow_nan=False)
            assert json.loads(plain)["verdict"] == result.verdict
            assert len(result.frame()) == 13


def test_one_constant_column_on_both_sides_changes_nothing(reference: Array, window: Array) -> None:
    before, now = reference.copy(), window.copy()
    before[:, CHOL] = now[:, CHOL] = 200

    chol = compare(before, now).features["chol"]

    assert (chol.effect, chol.p_adjusted, chol.drift) == (0.0, 1.0, False)


def test_frames_and_arrays_are_the_same_patients(reference: Array, window: Array) -> None:
    frames = [pd.DataFrame(rows, columns=list(NAMES)) for rows in (reference, window)]

    assert compare(*frames).to_dict() == compare(reference, window).to_dict()


def test_a_frame_without_a_column_is_refused_by_its_name(reference: Array) -> None:
    frame = pd.DataFrame(reference, columns=list(NAMES)).drop(columns="thal")

    with pytest.raises(ValueError, match="no column thal"):
        compare(reference, frame)


def test_a_feature_that_the_reference_lacks_is_compared_with_nothing(reference: Array) -> None:
    counts = count_values(reference)
    older = {name: values for name, values in counts.items() if name != "chol"}

    result = compare_counts(older, counts)

    assert not result.drift
    assert result.features["chol"].p_adjusted == 1.0


def test_the_frame_and_the_file_are_rounded_to_the_same_grid(reference: Array) -> None:
    finer = reference.copy()
    finer[:, OLDPEAK] += 0.04  # of a step of 0.1

    assert compare(reference, finer).features["oldpeak"].effect == 0.0


def test_rows_and_counts_agree_on_every_univariate_statistic(
    reference: Array, window: Array
) -> None:
    rows = compare(reference, window)
    counted = compare_counts(counts(reference), counts(window))

    for name in NAMES:
        a, b = rows.features[name], counted.features[name]
        assert a.test == pytest.approx(b.test, abs=1e-9) or a.test[1:] == pytest.approx(b.test[1:])
        assert a.effect == pytest.approx(b.effect, abs=1e-9)
        assert a.distance.psi == pytest.approx(b.distance.psi, abs=1e-9)
        assert (a.missing_reference, a.missing_current) == (b.missing_reference, b.missing_current)


def test_all_patients_as_samples_are_tested_on_rows(reference: Array, window: Array) -> None:
    result = compare_counts(
        counts(reference), counts(window), reference_sample=reference, sample=window
    )

    assert result.to_dict() == compare(reference, window).to_dict()


def test_many_patients_are_counted_and_pairs_rest_on_a_sample(cleveland: LabelledPatients) -> None:
    many = smoothed_bootstrap(cleveland.rows, 6_000, seed=4)
    many[:, THALACH] = np.random.default_rng(0).permutation(many[:, THALACH])

    result = compare(smoothed_bootstrap(cleveland.rows, 6_000, seed=5), many)

    assert (result.method, result.n_current + result.repeats) == ("counts", 6_000)
    assert result.repeats < 10  # drawn patients who are equal by chance
    assert result.drift
    assert any(pair.drift and "thalach" in (pair.a, pair.b) for pair in result.pairs)


def test_what_is_certain_but_tiny_is_not_called_drift(cleveland: LabelledPatients) -> None:
    values = {float(v): 10_000 for v in range(100, 200)}
    shifted = {float(v): 10_000 for v in range(101, 201)}  # 1 of a spread of 29

    result = compare_counts({"chol": values}, {"chol": shifted})

    assert result.p_value < 1e-6
    assert not result.drift
    assert result.features["chol"].reason == "significant, but below the minimum effect"


def test_an_alarm_budget_of_a_thirtieth_can_be_met(reference: Array, window: Array) -> None:
    window = window.copy()
    window[:, THALACH] -= 30

    result = compare(reference, window, alpha=0.05 / 30)

    assert result.permutations >= 9_999
    assert result.p_value == 1 / (result.permutations + 1)
    assert result.drift


def test_the_risk_moves_from_one_mean_to_the_other() -> None:
    # variances .01 and .01 over 2 patients each: standard error .1
    assert risk_change([0.1, 0.3], [0.5, 0.7]) == pytest.approx((0.2, 0.6, 0.1))
    assert risk_change([], [0.5]) == (0.5, 0.5, 0.0)
    assert risk_change([], []) == (0.0, 0.0, 0.0)


@pytest.mark.parametrize("alpha", [0, 1, -0.1, float("nan")])
def test_an_impossible_alpha_is_refused(reference: Array, alpha: float) -> None:
    with pytest.raises(ValueError, match="alpha"):
        compare(reference, reference, alpha=alpha)


def test_a_page_that_imports_it_pays_for_numpy_and_special_functions_alone() -> None:
    code = (
        "import sys, pipeline.drift; "
        "print([m for m in ('pandas', 'sklearn', 'scipy.stats', 'shap') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert done.stdout.strip() == "[]"


def test_each_feature_has_a_result_in_the_order_of_the_schema(
    reference: Array, window: Array
) -> None:
    assert list(compare(reference, window).features) == [f.name for f in FEATURES]


def _two_peaks(rows: Array, random: np.random.Generator) -> None:
    column = rows[:, THALACH]
    mean, spread = np.nanmean(column), np.nanstd(column)
    way = random.choice([-0.9, 0.9], len(column))
    rows[:, THALACH] = np.round(mean + spread * (way + 0.44 * random.standard_normal(len(column))))


def _spread_grows_with_age(rows: Array, random: np.random.Generator) -> None:
    age = (rows[:, 0] - rows[:, 0].mean()) / rows[:, 0].std()
    wider = np.clip(1 + age / 2, 0.1, 3)
    mean = np.nanmean(rows[:, THALACH])
    apart = (rows[:, THALACH] - mean) * wider / np.sqrt((wider**2).mean())
    rows[:, THALACH] = np.round(mean + apart)


def _missing_with_angina(rows: Array, random: np.random.Generator) -> None:
    rows[random.random(len(rows)) < np.where(rows[:, EXANG] == 1, 0.6, 0.15), THAL] = np.nan


def _in_another_unit(rows: Array, random: np.random.Generator) -> None:
    wrong = random.random(len(rows)) < 0.05
    rows[wrong, CHOL] = np.round(rows[wrong, CHOL] / 38.67, 1)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (_two_peaks, "thalach (distribution shape changed"),
        (_spread_grows_with_age, "thalach"),
        (_missing_with_angina, "thal"),
        (_in_another_unit, "looks like mmol/l"),
    ],
)
def test_changes_that_keep_means_and_shares_are_seen(
    cleveland: LabelledPatients, change: Callable[[Array, np.random.Generator], None], said: str
) -> None:
    random = np.random.default_rng(11)
    before, now = (smoothed_bootstrap(cleveland.rows, n, seed=n) for n in (303, 500))
    if change is _missing_with_angina:  # as many before, of any patients
        before[random.random(303) < 0.3, THAL] = np.nan
    change(now, random)

    result = compare(before, now)

    assert result.drift
    assert said in result.reason
