"""The sentences of a comparison: one per feature and one for the whole."""

from __future__ import annotations

from collections.abc import Mapping

from pipeline.drift.contingency_tables import ContingencyTable
from pipeline.drift.effect_sizes import EffectSize, rounded_shares
from pipeline.drift.hypothesis_tests.test_families import (
    DIGIT_PREFERENCE,
    LEVELS,
    MISSING,
    TAILS,
    VALUES,
)
from pipeline.drift.result import UnitError


def format_percent(share: float) -> str:
    """Write a share; small ones keep a digit."""
    return f"{100 * share:.1f} %" if 0 < share < 0.1 else f"{100 * share:.0f} %"


def values_message(table: ContingencyTable, distance: EffectSize) -> str:
    """Say how the known values moved."""
    feature = table.feature
    m, n = table.known
    if n == 0:
        return "no value is known in this window"
    if distance.level is not None and distance.share_difference is not None:
        at = list(table.steps).index(distance.level)
        word = feature.code_labels.get(distance.level, f"code {distance.level}")
        before, now = table.reference[at] / m, table.current[at] / n
        new = " (not in the reference)" if before == 0 else ""
        return f"{word}: {format_percent(before)} before, {format_percent(now)} now{new}"
    if distance.difference is None or distance.wasserstein is None:
        return "nothing to compare with"
    moved = abs(distance.difference)
    unit = f" {feature.unit}" if feature.unit else ""
    if moved < 0.5 * distance.wasserstein:
        return (
            f"another spread or shape: values moved by {distance.wasserstein:.3g}{unit} on average"
        )
    way = "higher" if distance.difference > 0 else "lower"
    return f"{moved:.3g}{unit} {way} on average"


def missing_message(table: ContingencyTable, sizes: tuple[int, int]) -> str:
    """Say how often the value is not known."""
    before, now = (lost / max(size, 1) for lost, size in zip(table.missing, sizes, strict=True))
    return f"not known in {format_percent(now)} instead of {format_percent(before)}"


def tail_message(unit: UnitError | None) -> str:
    """Say what is strange about the extremes."""
    return unit.sentence if unit else "more extreme values than in the reference"


def correlation_message(name: str) -> str:
    """Say that a feature goes with the others in another way."""
    return f"how {name} goes with the other findings changed"


def conditional_message(name: str) -> str:
    """Say that a feature stands out, though its values alone would not be enough to tell."""
    return f"{name} is no longer what the other findings suggest"


def feature_message(
    table: ContingencyTable,
    distance: EffectSize,
    sizes: tuple[int, int],
    unit: UnitError | None,
    found: Mapping[str, float],
) -> str:
    """Explain what was found in one feature; `found` holds the families that named it."""
    if not found:
        return "no change seen"
    said = []
    if TAILS in found or unit is not None:
        said.append(tail_message(unit))
    if (VALUES in found or LEVELS in found) and (unit is None or TAILS not in found):
        said.append(values_message(table, distance))
    if DIGIT_PREFERENCE in found and len(found) == 1:
        before, now = rounded_shares(table)
        said.append(f"rounded to tens in {format_percent(now)} instead of {format_percent(before)}")
    if MISSING in found:
        said.append(missing_message(table, sizes))
    return "; ".join(said)
