"""Patients that never were, with the dependence between findings that real ones have."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from pipeline.schema import FEATURES, Kind

BANDWIDTH = 0.2
"""Width of the kernel as a share of the spread: enough that no row repeats a patient's values,
little enough that pairs of findings stay related."""

_NUMBERS = [i for i, feature in enumerate(FEATURES) if feature.kind is Kind.NUMBER]


def smoothed_bootstrap(
    rows: npt.ArrayLike, n: int, *, seed: int = 0, bandwidth: float = BANDWIDTH
) -> npt.NDArray[np.float64]:
    """Draw patients from the kernel-smoothed empirical distribution of real ones.

    Each draw is a whole real patient, so that codes, missing values and their relations stay; its
    measurements are then moved by a normal kernel with the measurements' own covariance, shrunk
    towards the mean so that means and covariances are kept. Where the real one was read to ten
    steps (blood pressure to 10 mm Hg), so is the drawn one: more than half of those pressures were.

    Parameters
    ----------
    rows
        UCI-coded patients, shape (m, 13), NaN = missing.
    n
        Patients to draw.
    seed
        Of the generator; the same seed gives the same patients.
    bandwidth
        Standard deviation of the kernel, in standard deviations of the measurements.

    Returns
    -------
    Array of shape (n, 13), rounded to each feature's step and within its plausible limits.

    Source: Silverman, Density Estimation (1986), section 6.4.1.
    """
    real = np.asarray(rows, dtype=float)
    random = np.random.default_rng(seed)
    whole = real[random.integers(len(real), size=n)]
    drawn = whole.copy()
    measured = real[:, _NUMBERS]
    complete = measured[~np.isnan(measured).any(axis=1)]
    mean = np.nanmean(measured, axis=0)
    kernel = random.multivariate_normal(np.zeros(len(mean)), np.cov(complete, rowvar=False), n)
    centred = drawn[:, _NUMBERS] - mean + bandwidth * kernel
    drawn[:, _NUMBERS] = mean + centred / np.sqrt(1 + bandwidth**2)
    for index in _NUMBERS:
        feature = FEATURES[index]
        low = 0.0 if feature.usual_low == 0 else feature.low
        steps = _as_read(drawn[:, index] / feature.step, whole[:, index] / feature.step)
        drawn[:, index] = np.clip(np.round(steps * feature.step, 6), low, feature.high)
    return drawn


def _as_read(
    drawn: npt.NDArray[np.float64], real: npt.NDArray[np.float64]
) -> npt.NDArray[np.float64]:
    """Round to whole steps: to tens of them exactly where the real measurement was one."""
    steps = np.round(drawn)
    beside = steps + np.where(drawn < steps, -1, 1)
    in_tens = np.round(real) % 10 == 0
    return np.asarray(
        np.where(in_tens, 10 * np.round(drawn / 10), np.where(steps % 10 == 0, beside, steps))
    )
