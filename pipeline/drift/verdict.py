"""The verdict from adjusted p-values and effect sizes."""

from __future__ import annotations

import numpy as np
from scipy import special

from pipeline.drift.contingency_tables import Array, ContingencyTable
from pipeline.drift.effect_sizes import classical_test, effect_size, rounded_shares, tail_excess
from pipeline.drift.hypothesis_tests.multivariate import standardised_ranks
from pipeline.drift.hypothesis_tests.permutation import AdjustedTests
from pipeline.drift.hypothesis_tests.test_families import (
    COMBINED,
    CONDITIONAL,
    DEPENDENCE,
    DIGIT_PREFERENCE,
    FEATURE_CORRELATIONS,
    LEVELS,
    MISSING,
    PAIRS,
    SHAPE,
    TAILS,
    VALUES,
    Hypothesis,
)
from pipeline.drift.messages import feature_message
from pipeline.drift.result import DriftResult, FeatureDrift, PairDrift, Verdict
from pipeline.drift.unit_errors import find_unit_error
from pipeline.schema import NAMES

MIN_PATIENTS = 30
"""Patients per side; with fewer the verdict is "not enough data"."""
MAX_PERMUTATION_ROWS = 5_000
"""Patients per side up to which everything is tested on rows; also the sample size above."""

MIN_EFFECT = {VALUES: 0.1, MISSING: 0.02, TAILS: 0.02, DIGIT_PREFERENCE: 0.1, PAIRS: 0.1}
"""Smaller changes are not called drift, however certain they are: SDs (numbers), shares of patients
(levels: `MIN_SHARE_DIFFERENCE`), a rank correlation. Values in another unit always matter."""
MIN_SHARE_DIFFERENCE = 0.03

_POWER_80 = 0.8416  # 80 % point of the normal distribution
_EFFICIENCY = 0.955  # of rank statistics against the t-test, under normality


def verdict(
    tables: tuple[ContingencyTable, ...],
    sizes: tuple[int, int],
    rows: tuple[Array, Array] | None,
    tested: AdjustedTests | None,
    alpha: float,
    seed: int,
    method: str = "none",
) -> DriftResult:
    """Return the verdict of a comparison.

    Parameters
    ----------
    tables, sizes
        Value counts of every feature; patients of the reference and of the window.
    rows
        The patients on which pairs were tested, in steps; None = none.
    tested
        Hypotheses with adjusted p-values; None = not enough data to test.
    alpha, seed, method
        As they are reported.
    """
    alarm = tested is not None and tested.p_value <= alpha
    features = {t.feature.name: _feature(t, sizes, tested, alpha, alarm) for t in tables}
    pairs = _pairs(rows, tested, alpha, alarm)
    named = any(f.drift for f in features.values()) or any(p.drift for p in pairs)
    # Among many, what is certain may still be too small to matter.
    drift = alarm and (named or max(sizes) <= MAX_PERMUTATION_ROWS)
    enough = tested is not None
    said = Verdict.INSUFFICIENT_DATA if not enough else Verdict.DRIFT if drift else Verdict.NO_DRIFT
    detectable = _detectable(tested, sizes)
    strange = _strange(tested, alpha) if drift and tested and not named else None
    return DriftResult(
        verdict=said,
        drift=drift,
        enough_data=enough,
        p_value=tested.p_value if tested else 1.0,
        alpha=alpha,
        reason=_reason(said, features, pairs, strange, sizes, detectable),
        look_first=strange.names[0] if strange else None,
        detectable_shift=detectable,
        n_reference=sizes[0],
        n_current=sizes[1],
        features=features,
        pairs=pairs,
        method=method,
        permutations=tested.permutations if tested else 0,
        seed=seed,
    )


def _feature(
    table: ContingencyTable,
    sizes: tuple[int, int],
    tested: AdjustedTests | None,
    alpha: float,
    alarm: bool,
) -> FeatureDrift:
    apart, name = effect_size(table), table.feature.name
    p_values: dict[str, float] = {}
    if tested is not None:
        for hypothesis, p in tested.names:
            if hypothesis.names == (name,):
                p_values[hypothesis.family] = min(p, p_values.get(hypothesis.family, 1.0))
    missing = tuple(lost / max(size, 1) for lost, size in zip(table.missing, sizes, strict=True))
    unit, tens = find_unit_error(table), rounded_shares(table)
    least = MIN_EFFECT[VALUES] if table.feature.is_numeric else MIN_SHARE_DIFFERENCE
    matters = {
        VALUES: apart.effect >= least,
        SHAPE: apart.effect >= least,
        LEVELS: apart.effect >= least,
        MISSING: abs(missing[1] - missing[0]) >= MIN_EFFECT[MISSING],
        TAILS: unit is not None or tail_excess(table) >= MIN_EFFECT[TAILS],
        DIGIT_PREFERENCE: abs(tens[1] - tens[0]) >= MIN_EFFECT[DIGIT_PREFERENCE],
    }
    found = {f: p for f, p in p_values.items() if alarm and p <= alpha and matters[f]}
    reason = feature_message(table, apart, sizes, unit, found)
    if tested is None:
        reason = "not enough data"
    elif not sum(table.known) + sum(table.missing):
        reason = "not compared: absent from the counts"
    elif not found and alarm and min(p_values.values(), default=1.0) <= alpha:
        reason = "significant, but below the minimum effect"
    return FeatureDrift(
        name=name,
        drift=bool(found),
        p_adjusted=min(p_values.values(), default=1.0),
        p_values=p_values,
        effect=apart.effect,
        reason=reason,
        n_reference=table.known[0],
        n_current=table.known[1],
        test=classical_test(table),
        distance=apart,
        missing_reference=missing[0],
        missing_current=missing[1],
        unit_error=unit,
    )


def _pairs(
    rows: tuple[Array, Array] | None, tested: AdjustedTests | None, alpha: float, alarm: bool
) -> tuple[PairDrift, ...]:
    if tested is None or rows is None:
        return ()
    before, now = (_correlations(side) for side in rows)
    found = []
    for hypothesis, p in tested.names:
        if hypothesis.family != PAIRS:
            continue
        a, b = hypothesis.names
        at = NAMES.index(a), NAMES.index(b)
        apart = abs(now[at] - before[at]) >= MIN_EFFECT[PAIRS]
        drift = bool(alarm and p <= alpha and apart)
        found.append(PairDrift(a, b, drift, p, float(before[at]), float(now[at])))
    return tuple(sorted(found, key=lambda pair: (pair.p_adjusted, pair.a, pair.b)))


def _correlations(rows: Array) -> Array:
    """Return the rank correlations of one side; missing values rank in the middle."""
    scores = np.column_stack([standardised_ranks(column) for column in rows.T])
    return np.asarray(scores.T @ scores / len(rows))


def _strange(tested: AdjustedTests, alpha: float) -> Hypothesis | None:
    """Return the feature most likely to have changed given the others, if any is significant."""
    found = [
        (p, i)
        for i, (h, p) in enumerate(tested.all_hypotheses)
        if h.family in (COMBINED, FEATURE_CORRELATIONS, DEPENDENCE, CONDITIONAL) and p <= alpha
    ]
    return tested.all_hypotheses[min(found)[1]][0] if found else None


def _detectable(tested: AdjustedTests | None, sizes: tuple[int, int]) -> float | None:
    """Return the shift of one mean, in SDs, that is detected with 80 % power."""
    if tested is None:
        return None
    if not any(h.family == VALUES for h, _ in tested.all_hypotheses):
        return None
    z = float(-special.ndtri(tested.critical_p_value / 2)) + _POWER_80
    return float(z * ((1 / sizes[0] + 1 / sizes[1]) / _EFFICIENCY) ** 0.5)


def _reason(
    verdict: Verdict,
    features: dict[str, FeatureDrift],
    pairs: tuple[PairDrift, ...],
    strange: Hypothesis | None,
    sizes: tuple[int, int],
    detectable: float | None,
) -> str:
    if verdict is Verdict.INSUFFICIENT_DATA:
        return (
            f"Not enough data: {sizes[1]} patients in the window and {sizes[0]} in the reference; "
            f"at least {MIN_PATIENTS} of each needed."
        )
    if verdict is Verdict.NO_DRIFT:
        power = f" (80 % power to detect a shift of {detectable:.2g} SD)" if detectable else ""
        return f"No drift detected{power}."
    drifted = [f for f in features.values() if f.drift]
    if drifted:
        first = min(drifted, key=lambda f: f.sort_key)
        more = f"; {len(drifted) - 1} more" if len(drifted) > 1 else ""
        return f"Drift: {first.name} ({first.reason}){more}."
    changed = [p for p in pairs if p.drift]
    if changed:
        p = changed[0]
        return (
            f"Drift: correlation of {p.a} and {p.b} changed (Spearman "
            f"{p.correlation_reference:+.2f} in the reference, {p.correlation_current:+.2f} in the "
            "window)."
        )
    if strange is not None:
        name = strange.names[0]
        if strange.family in (FEATURE_CORRELATIONS, DEPENDENCE):
            return f"Drift: correlation of {name} with other features changed."
        return f"Drift: conditional distribution of {name} given the other features changed."
    return "Multivariate drift; no single feature identified."
