"""The result of a fairness assessment: rates of groups, signed gaps, differences, verdicts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from pipeline.statistics.proportions import Interval

if TYPE_CHECKING:
    import pandas as pd

MIN_GROUP_SIZE = 20
"""With fewer patients one of them moves a rate by more than five points."""


class Verdict(StrEnum):
    """The conclusion about one gap."""

    GAP = "gap"
    """The groups differ: the p-value, adjusted for all gaps of the grouping, is below 5 %."""
    NO_GAP = "no gap seen"
    """The 95 % interval stays within ten percentage points of 0."""
    INCONCLUSIVE = "cannot tell"
    """Neither, or a cell of fewer than 20 patients."""


@dataclass(frozen=True)
class Rate:
    """One rate of one group."""

    value: float | None
    """0 to 1; None when the denominator is 0."""
    interval: Interval
    """95 %: Wilson's; for the ROC area DeLong's in log-odds."""
    n: int
    """The denominator; for the ROC area the patients of the smaller class."""

    @property
    def enough_data(self) -> bool:
        """False when the cell is too small to be read."""
        return self.n >= MIN_GROUP_SIZE


@dataclass(frozen=True)
class Group:
    """One group of patients."""

    name: str
    n: int
    n_known: int
    """Patients whose outcome is known; the error rates are theirs."""
    rates: Mapping[str, Rate]
    """`base_rate` and the names of `pipeline.fairness.confusion_matrix.METRICS`."""


@dataclass(frozen=True)
class Gap:
    """A signed difference: the rate of `group` minus that of `against`."""

    metric: str
    group: str
    against: str
    difference: float | None
    interval: Interval | None
    p_value: float | None
    p_adjusted: float | None
    """Holm's, over the gaps of the grouping that have enough patients."""
    n: tuple[int, int]
    """The two denominators."""
    n_needed: int
    """Patients in either denominator that would settle it; see `proportions.n_needed`."""
    verdict: Verdict


@dataclass(frozen=True)
class Difference:
    """A difference as fairlearn defines it: the largest rate minus the smallest, never below 0."""

    value: float
    interval: Interval
    by_chance: float
    """What it is on average when all groups have the same rates and these numbers of patients."""
    p_value: float
    verdict: Verdict
    smallest: int
    """The smallest denominator in it. Where it is 0, fairlearn counts the rate as 0."""


@dataclass(frozen=True)
class Grouping:
    """The groups of one attribute and how they compare."""

    name: str
    groups: tuple[Group, ...]
    gaps: tuple[Gap, ...]
    """Of two groups, second minus first; of more, each against all others."""
    demographic_parity: Difference | None
    """Of the selection rates; None with fewer than two groups."""
    equalized_odds: Difference | None
    """The larger of those of recall and FPR; None also when no outcome is known."""
    perfect_parity: float | None
    """The parity difference that a perfect classifier would have: that of the base rates."""

    def gap(self, metric: str, group: str | None = None) -> Gap:
        """Return the gap of a metric; of more than two groups, that of the named one."""
        return next(g for g in self.gaps if g.metric == metric and group in (None, g.group))

    @classmethod
    def from_dict(cls, found: Mapping[str, Any]) -> Grouping:
        """Read what `to_dict` or the training bundle wrote of one attribute."""
        groups = [
            Group(**{**group, "rates": {m: Rate(**rate) for m, rate in group["rates"].items()}})
            for group in found["groups"]
        ]
        return cls(
            name=found["name"],
            groups=tuple(groups),
            gaps=tuple(Gap(**_judged(gap)) for gap in found["gaps"]),
            demographic_parity=_difference(found["demographic_parity"]),
            equalized_odds=_difference(found["equalized_odds"]),
            perfect_parity=found["perfect_parity"],
        )


def _judged(found: Mapping[str, Any]) -> dict[str, Any]:
    return {**found, "verdict": Verdict(found["verdict"])}


def _difference(found: Mapping[str, Any] | None) -> Difference | None:
    return None if found is None else Difference(**_judged(found))


@dataclass(frozen=True)
class Assessment:
    """What `assess` found."""

    n: int
    n_known: int
    groupings: Mapping[str, Grouping]

    def to_dict(self) -> dict[str, Any]:
        """Return plain values, safe for JSON."""
        return asdict(self)

    @classmethod
    def from_dict(cls, found: Mapping[str, Any]) -> Assessment:
        """Read what `to_dict` wrote."""
        groupings = {name: Grouping.from_dict(one) for name, one in found["groupings"].items()}
        return cls(found["n"], found["n_known"], groupings)

    def frame(self) -> pd.DataFrame:
        """Return one row per rate: grouping, group, metric, value, low, high, n, enough."""
        import pandas as pd  # imported only when a frame is wanted

        rows = [
            (name, group.name, metric, rate.value, *rate.interval, rate.n, rate.enough_data)
            for name, grouping in self.groupings.items()
            for group in grouping.groups
            for metric, rate in group.rates.items()
        ]
        columns = ["grouping", "group", "metric", "value", "low", "high", "n", "enough"]
        return pd.DataFrame(rows, columns=columns)

    def gap_frame(self) -> pd.DataFrame:
        """Return one row per gap."""
        import pandas as pd

        rows = [
            {"grouping": name, **asdict(gap)}
            for name, grouping in self.groupings.items()
            for gap in grouping.gaps
        ]
        return pd.DataFrame(rows)
