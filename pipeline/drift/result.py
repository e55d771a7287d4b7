"""What a comparison of two sets of patients found. Plain data, safe to store as JSON."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from pipeline.drift.effect_sizes import EffectSize, TwoSampleTest

if TYPE_CHECKING:
    import pandas as pd


class Verdict(StrEnum):
    """The result for a window."""

    DRIFT = "drift"
    NO_DRIFT = "no drift seen"
    INSUFFICIENT_DATA = "not enough data"


@dataclass(frozen=True)
class UnitError:
    """Values of the window that look like another unit."""

    unit: str
    factor: float
    """Multiply by it to get the expected unit."""
    count: int
    share: float
    """Of the window's known values, 0 to 1."""
    sentence: str


@dataclass(frozen=True)
class FeatureDrift:
    """One feature of the window against the reference."""

    name: str
    drift: bool
    """Named as changed: adjusted p-value at most alpha, and far enough to matter."""
    p_adjusted: float
    """Smallest of `p_values`: family-wise over all features, families and pairs."""
    p_values: Mapping[str, float]
    """Adjusted p-value of its values, its missing share and its tails."""
    effect: float
    """How far its known values moved, see `Distance.effect`."""
    reason: str
    """One sentence for people."""
    n_reference: int
    """Known values."""
    n_current: int
    test: TwoSampleTest
    """Kolmogorov-Smirnov or chi-square, unadjusted; not part of the verdict."""
    distance: EffectSize
    missing_reference: float
    """Share of missing values, 0 to 1."""
    missing_current: float
    unit_error: UnitError | None

    @property
    def sort_key(self) -> tuple[bool, float, float]:
        """Sort by it: changed first, the most certain before, the furthest before."""
        lost = abs(self.missing_current - self.missing_reference)
        return (not self.drift, self.p_adjusted, -max(self.effect, lost))


@dataclass(frozen=True)
class PairDrift:
    """How two features go together, in the window against the reference."""

    a: str
    b: str
    drift: bool
    p_adjusted: float
    correlation_reference: float
    """Rank correlation, -1 to 1."""
    correlation_current: float


@dataclass(frozen=True)
class DriftResult:
    """The verdict over one window."""

    verdict: Verdict
    drift: bool
    enough_data: bool
    p_value: float
    """Chance that a window without drift looks at least as strange, over everything together."""
    alpha: float
    reason: str
    """One sentence for people."""
    look_first: str | None
    """Under drift without a named feature: the one that stands out most; maybe not the cause."""
    detectable_shift: float | None
    """Shift of one number, in SDs, that would be seen with 80 % power; None without data."""
    n_reference: int
    n_current: int
    features: Mapping[str, FeatureDrift]
    pairs: tuple[PairDrift, ...]
    """All pairs of features, the strangest first."""
    method: str
    """`permutation` on rows, or `counts` of many: several features together then on a sample."""
    permutations: int
    seed: int
    repeats: int = 0
    """Rows of the window that were not tested: their patient was in another one that was."""
    near_repeats: float = 0.0
    """Share of the tested rows that nearly equal another, beyond the reference's share."""

    @property
    def drifted(self) -> tuple[str, ...]:
        """Names of the features that changed, the most certain first."""
        named = [feature for feature in self.features.values() if feature.drift]
        return tuple(f.name for f in sorted(named, key=lambda f: f.sort_key))

    def to_dict(self) -> dict[str, Any]:
        """Return plain values that JSON can carry; no NaN among them."""
        plain = asdict(self)
        for feature in plain["features"].values():
            feature["test"] = dict(zip(TwoSampleTest._fields, feature["test"], strict=True))
        plain["features"] = dict(plain["features"])
        plain["pairs"] = list(plain["pairs"])
        plain["verdict"] = str(self.verdict)
        plain["drifted"] = list(self.drifted)
        return plain

    def frame(self) -> pd.DataFrame:
        """Return one row per feature, in the order of the schema."""
        import pandas as pd  # imported only when a frame is wanted

        return pd.DataFrame(
            [
                {
                    "feature": f.name,
                    "drift": f.drift,
                    "p_adjusted": f.p_adjusted,
                    "effect": f.effect,
                    "psi": f.distance.psi,
                    "wasserstein": f.distance.wasserstein,
                    "share_difference": f.distance.share_difference,
                    "missing_reference": f.missing_reference,
                    "missing_current": f.missing_current,
                    "test": f.test.name,
                    "statistic": f.test.statistic,
                    "p_value": f.test.p_value,
                    "n_reference": f.n_reference,
                    "n_current": f.n_current,
                    "reason": f.reason,
                }
                for f in self.features.values()
            ]
        )
