"""The quality of a window's values. Plain data, safe to store as JSON."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class FeatureQuality:
    """The quality of one feature's values; shares from 0 to 1, of known values."""

    name: str
    n_known: int
    missing: float
    """Missing rate."""
    missing_reference: float | None
    unusual: float
    """Share outside the usual range: accepted with a warning."""
    impossible: int
    """Values outside the plausible range or codes that do not exist."""
    unseen: tuple[float, ...]
    """Codes that exist but are not in the reference."""
    distinct: int
    """Different known values."""


@dataclass(frozen=True)
class QualityIssue:
    """One thing that is wrong, in a sentence."""

    field: str
    kind: str
    """absent, constant, impossible, unseen, unusual, repeated or refused."""
    serious: bool
    """True when predictions are likely to be wrong."""
    sentence: str


@dataclass(frozen=True)
class DataQuality:
    """The quality of the values of one window."""

    n: int
    enough_data: bool
    """False below `MIN_N`; then only invalid values and codes are a problem."""
    features: Mapping[str, FeatureQuality]
    warned: float | None
    """Share of patients with at least one unusual value; None without patients."""
    repeats: int | None
    """Patients identical to the one before; None when the rows are a sample."""
    longest_run: int | None
    """Most patients in a row with the same values."""
    n_refused: int
    refusals: tuple[Mapping[str, Any], ...]
    """field, reason and count, the most frequent first."""
    problems: tuple[QualityIssue, ...]

    def to_dict(self) -> dict[str, Any]:
        """Return plain values that JSON can carry; no NaN among them."""
        plain = asdict(self)
        plain["features"] = dict(plain["features"])
        for feature in plain["features"].values():
            feature["unseen"] = list(feature["unseen"])
        plain["refusals"] = [dict(refusal) for refusal in self.refusals]
        plain["problems"] = list(plain["problems"])
        return plain

    def frame(self) -> pd.DataFrame:
        """Return one row per feature, in the order of the schema."""
        import pandas as pd  # imported only when a frame is wanted

        return pd.DataFrame([asdict(feature) for feature in self.features.values()])
