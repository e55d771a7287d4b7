"""How often clinicians override predictions, by band of risk and by group."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from pipeline.fairness.groups import sensitive_groups
from pipeline.fairness.result import Rate
from pipeline.model.design_matrix import Array
from pipeline.schema import SENSITIVE
from pipeline.statistics.proportions import wilson_interval

RISK_BANDS = {
    0.0: "below 20 %",
    0.2: "20 to below 50 %",
    0.5: "50 to below 80 %",
    0.8: "80 % and above",
}
"""Where each band of the estimated risk begins -> its name."""

_RISK = "estimated risk"


def override_rates(
    rows: Array, probability: Array, overridden: NDArray[np.bool_]
) -> Iterator[tuple[str, str, Rate]]:
    """Yield attribute, group and override rate, with its 95 % interval; that of all comes first.

    Parameters
    ----------
    rows
        UCI codes, shape (n, 13), in the order of `FEATURES`; NaN = missing.
    probability
        Of disease, 0 to 1, shape (n,).
    overridden
        Whether the newest response to each prediction overrides it, shape (n,).
    """
    yield "all", "all", _rate(overridden)
    bands = np.searchsorted([*RISK_BANDS], probability, side="right") - 1
    groups = {_RISK: np.array([*RISK_BANDS.values()], dtype=object)[bands]}
    names = {_RISK: RISK_BANDS} | {feature.name: feature.groups for feature in SENSITIVE}
    for attribute, found in {**groups, **sensitive_groups(rows)}.items():
        for name in names[attribute].values():
            yield attribute, name, _rate(overridden[found == name])


def _rate(overridden: NDArray[np.bool_]) -> Rate:
    n, count = len(overridden), int(overridden.sum())
    return Rate(count / n if n else None, wilson_interval(count, n), n)
