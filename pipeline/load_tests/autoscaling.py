"""The record of an autoscaler during a load test, stored in `load_tests`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from errors import CardiowatchError

KIND = "hpa"
"""The kind of `load_tests` that this module reads and writes."""

FORMAT = 1


class UnreadableRecord(CardiowatchError):
    """The text is no output of `kubectl get hpa -w`, or what is kept is of another format."""


@dataclass(frozen=True)
class AutoscalerSample:
    """One line: seconds since the first, CPU in percent of the request, and how many pods ran.

    `cpu` is None while the cluster has not measured it.
    """

    at_s: float
    cpu: int | None
    pods: int


@dataclass(frozen=True)
class Autoscaling:
    """A watched autoscaler.

    Attributes
    ----------
    target
        CPU in percent of the request that it aims at.
    fewest, most
        Pods that it may choose between.
    """

    name: str
    target: int
    fewest: int
    most: int
    moments: Sequence[AutoscalerSample]

    @property
    def peak(self) -> int:
        """The most pods that ran."""
        return max(moment.pods for moment in self.moments)

    def first_time(self, *, over: bool = False, pods: int = 0) -> float | None:
        """Return when CPU was first over the target, or this many pods ran; None = never."""
        for moment in self.moments:
            hot = not over or (moment.cpu is not None and moment.cpu > self.target)
            if hot and moment.pods >= pods:
                return moment.at_s
        return None

    def to_dict(self) -> dict[str, Any]:
        """Return the kept form, JSON-safe."""
        return {"format": FORMAT, **asdict(self)}


def from_dict(kept: Mapping[str, Any]) -> Autoscaling:
    """Read what `Autoscaling.to_dict` wrote.

    Raises
    ------
    UnreadableRecord
        Another format, or a field is missing.
    """
    if kept.get("format") != FORMAT:
        raise UnreadableRecord(f"format {kept.get('format')!r}, expected {FORMAT}")
    try:
        moments = [
            AutoscalerSample(one["at_s"], one["cpu"], one["pods"]) for one in kept["moments"]
        ]
        named = {name: kept[name] for name in ("name", "target", "fewest", "most")}
    except (KeyError, TypeError) as error:
        raise UnreadableRecord(f"a field is missing: {error!r}") from error
    return Autoscaling(**named, moments=moments)
