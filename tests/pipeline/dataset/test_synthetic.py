"""Synthetic patients: no copies of real ones, and as dependent as real ones."""

from __future__ import annotations

import numpy as np

from pipeline.dataset.heart import HEART_CSV, Coding, read_patients
from pipeline.dataset.synthetic import smoothed_bootstrap
from pipeline.schema import FEATURES, NAMES, Kind

REAL = read_patients(HEART_CSV, Coding.UCI).features.to_numpy()  # type: ignore[union-attr]
NUMBERS = [i for i, feature in enumerate(FEATURES) if feature.kind is Kind.NUMBER]


def test_one_seed_draws_one_set_of_patients() -> None:
    assert np.array_equal(
        smoothed_bootstrap(REAL, 50, seed=3), smoothed_bootstrap(REAL, 50, seed=3), equal_nan=True
    )
    assert not np.array_equal(
        smoothed_bootstrap(REAL, 50, seed=3), smoothed_bootstrap(REAL, 50, seed=4), equal_nan=True
    )


def test_means_spreads_and_correlations_of_the_measurements_are_kept() -> None:
    drawn = smoothed_bootstrap(REAL, 20_000, seed=1)[:, NUMBERS]
    real = REAL[:, NUMBERS]

    assert np.allclose(drawn.mean(axis=0), real.mean(axis=0), rtol=0.06)
    assert np.allclose(drawn.std(axis=0), real.std(axis=0), rtol=0.1)
    apart = np.corrcoef(drawn, rowvar=False) - np.corrcoef(real, rowvar=False)
    assert np.abs(apart).max() < 0.06


def test_measurements_stay_tied_to_the_findings_they_came_with() -> None:
    drawn = smoothed_bootstrap(REAL, 20_000, seed=1)
    angina, rate = NAMES.index("exang"), NAMES.index("thalach")

    def gap(rows: np.ndarray) -> float:
        with_pain = rows[:, angina] == 1
        return float(rows[~with_pain, rate].mean() - rows[with_pain, rate].mean())

    # Patients with pain on exercise reach about 18 beats/min less; independent draws would give 0.
    assert abs(gap(drawn) - gap(REAL)) < 3


def test_every_value_is_plausible_and_on_its_grid() -> None:
    drawn = smoothed_bootstrap(REAL, 5_000, seed=2)
    for i, feature in enumerate(FEATURES):
        known = drawn[~np.isnan(drawn[:, i]), i]
        assert known.min() >= feature.low
        assert known.max() <= feature.high
        assert np.allclose(known / feature.step, np.round(known / feature.step))


def test_unknown_findings_stay_unknown_about_as_often() -> None:
    drawn = smoothed_bootstrap(REAL, 20_000, seed=1)

    assert np.allclose(np.isnan(drawn).mean(axis=0), np.isnan(REAL).mean(axis=0), atol=0.005)
