"""The sentences of a comparison: one per feature and one for the whole."""

from __future__ import annotations

from collections.abc import Mapping

from pipeline.drift.contingency_tables import ContingencyTable
from pipeline.drift.effect_sizes import EffectSize, rounded_shares
from pipeline.drift.hypothesis_tests.test_families import (
    DIGIT_PREFERENCE,
    LEVELS,
    MISSING,
    SHAPE,
    TAILS,
    VALUES,
)
from pipeline.drift.result import UnitError


def format_percent(share: float) -> str:
    """Return a share in percent; small ones keep a digit."""
    return f"{100 * share:.1f} %" if 0 < share < 0.1 else f"{100 * share:.0f} %"


def values_message(table: ContingencyTable, distance: EffectSize) -> str:
    """Return how the known values changed."""
    feature = table.feature
    m, n = table.known
    if n == 0:
        return "all values missing in this window"
    if distance.level is not None and distance.share_difference is not None:
        at = list(table.steps).index(distance.level)
        word = feature.code_labels.get(distance.level, f"code {distance.level}")
        before, now = table.reference[at] / m, table.current[at] / n
        new = " (not in the reference)" if before == 0 else ""
        reference = f"{word}: {format_percent(before)} in the reference"
        return f"{reference}, {format_percent(now)} in the window{new}"
    if distance.difference is None or distance.wasserstein is None:
        return "no reference values"
    moved = abs(distance.difference)
    unit = f" {feature.unit}" if feature.unit else ""
    if moved < 0.5 * distance.wasserstein:
        return f"distribution shape changed (Wasserstein distance {distance.wasserstein:.3g}{unit})"
    way = "higher" if distance.difference > 0 else "lower"
    return f"mean {moved:.3g}{unit} {way}"


def feature_message(
    table: ContingencyTable,
    distance: EffectSize,
    sizes: tuple[int, int],
    unit: UnitError | None,
    found: Mapping[str, float],
) -> str:
    """Return what changed in one feature; `found` holds the families that identified it."""
    if not found:
        return "no drift detected"
    said = []
    if TAILS in found or unit is not None:
        said.append(unit.sentence if unit else "more extreme values than in the reference")
    if found.keys() & {VALUES, SHAPE, LEVELS} and (unit is None or TAILS not in found):
        said.append(values_message(table, distance))
    if DIGIT_PREFERENCE in found and len(found) == 1:
        before, now = rounded_shares(table)
        said.append(f"{format_percent(now)} rounded to tens, was {format_percent(before)}")
    if MISSING in found:
        before, now = (n / max(size, 1) for n, size in zip(table.missing, sizes, strict=True))
        said.append(f"missing rate {format_percent(now)}, was {format_percent(before)}")
    return "; ".join(said)
