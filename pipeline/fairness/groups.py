"""Which groups a patient belongs to: sex, age band, and the two crossed. numpy only."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from pipeline.model.design_matrix import Array
from pipeline.schema import BY_NAME, NAMES

AGE_BANDS: tuple[tuple[float, str], ...] = (
    (45, "18-44"),
    (55, "45-54"),
    (65, "55-64"),
    (np.inf, "65 and over"),
)
"""Upper end (excluded) and name: the decades in which coronary disease becomes common."""

SEX, AGE, CROSSED = "sex", "age", "sex and age"


def assign_groups(rows: Array) -> Mapping[str, NDArray[np.object_]]:
    """Name each patient's groups.

    Parameters
    ----------
    rows
        UCI codes, shape (n, 13), in the order of `FEATURES`; age and sex are known.

    Returns
    -------
    Mapping
        "sex", "age" and "sex and age" -> the group of each patient in words, shape (n,).
    """
    words = BY_NAME["sex"].code_labels
    sex = np.array([words[int(code)] for code in rows[:, NAMES.index("sex")]], dtype=object)
    band = np.searchsorted([end for end, _ in AGE_BANDS], rows[:, NAMES.index("age")], side="right")
    age = np.array([AGE_BANDS[i][1] for i in band], dtype=object)
    crossed = np.array([f"{s}, {a}" for s, a in zip(sex, age, strict=True)], dtype=object)
    return {SEX: sex, AGE: age, CROSSED: crossed}
