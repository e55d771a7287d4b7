"""The sentences of a comparison: one per feature and one for the whole."""

from __future__ import annotations

from collections.abc import Mapping

from pipeline.drift.contingency_tables import Table
from pipeline.drift.effect_sizes import Distance, in_tens
from pipeline.drift.hypothesis_tests.test_families import DIGITS, LEVELS, MISSING, TAILS, VALUES
from pipeline.drift.result import UnitError


def percent(share: float) -> str:
    """Write a share; small ones keep a digit."""
    return f"{100 * share:.1f} %" if 0 < share < 0.1 else f"{100 * share:.0f} %"


def of_values(table: Table, distance: Distance) -> str:
    """Say how the known values moved."""
    feature = table.feature
    m, n = table.known
    if n == 0:
        return "no value is known in this window"
    if distance.level is not None and distance.share_difference is not None:
        at = list(table.steps).index(distance.level)
        word = feature.words.get(distance.level, f"code {distance.level}")
        before, now = table.reference[at] / m, table.current[at] / n
        new = " (not in the reference)" if before == 0 else ""
        return f"{word}: {percent(before)} before, {percent(now)} now{new}"
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


def of_missing(table: Table, sizes: tuple[int, int]) -> str:
    """Say how often the value is not known."""
    before, now = (lost / max(size, 1) for lost, size in zip(table.missing, sizes, strict=True))
    return f"not known in {percent(now)} instead of {percent(before)}"


def of_tail(unit: UnitError | None) -> str:
    """Say what is strange about the extremes."""
    return unit.sentence if unit else "more extreme values than in the reference"


def of_relations(name: str) -> str:
    """Say that a feature goes with the others in another way."""
    return f"how {name} goes with the other findings changed"


def of_column(name: str) -> str:
    """Say that a feature stands out, though its values alone would not be enough to tell."""
    return f"{name} is no longer what the other findings suggest"


def of_feature(
    table: Table,
    distance: Distance,
    sizes: tuple[int, int],
    unit: UnitError | None,
    found: Mapping[str, float],
) -> str:
    """Explain what was found in one feature; `found` holds the families that named it."""
    if not found:
        return "no change seen"
    said = []
    if TAILS in found or unit is not None:
        said.append(of_tail(unit))
    if (VALUES in found or LEVELS in found) and (unit is None or TAILS not in found):
        said.append(of_values(table, distance))
    if DIGITS in found and len(found) == 1:
        before, now = in_tens(table)
        said.append(f"rounded to tens in {percent(now)} instead of {percent(before)}")
    if MISSING in found:
        said.append(of_missing(table, sizes))
    return "; ".join(said)
