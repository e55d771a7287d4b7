"""The gate's verdict on a batch, as data and in words."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd

SHOWN = 20
NOT_SURPRISING = "label loss is within the range of clean data"
SURPRISING = "label loss exceeds that of 95 % of clean batches"


@dataclass(frozen=True)
class UnexpectedLabel:
    """A patient whose label is unlikely under the trusted model."""

    patient: int
    """From 1, in the order of the file."""
    label: int
    probability: float
    """That the trusted model gives this label, 0 to 1."""


@dataclass(frozen=True)
class GateResult:
    """Whether a batch may enter training, and why."""

    accept: bool | None
    """None = not decidable."""
    reason: str
    n: int
    """Patients with a label."""
    loss: float | None = None
    """Mean log-loss of the labels under the trusted model; 0 = expected with certainty."""
    clean_loss: float | None = None
    """The same of the trusted patients with the batch's missing cells, out of fold."""
    limit: float | None = None
    """What a clean batch of this size exceeds in `FALSE_ALARMS` of cases."""
    surprising: int = 0
    """Patients more surprising than 95 % of the clean ones with the same missing cells."""
    expected: float = 0.0
    """How many of a clean batch would be."""
    rows: tuple[UnexpectedLabel, ...] = ()
    """The most surprising patients, as many as are in excess of `expected`."""

    def to_dict(self) -> dict[str, Any]:
        """Return plain values."""
        return asdict(self)

    def frame(self) -> pd.DataFrame:
        """Return one row per surprising patient in excess: patient, label, probability."""
        import pandas as pd  # imported only when a frame is wanted

        return pd.DataFrame([asdict(row) for row in self.rows], columns=list(_COLUMNS))


_COLUMNS = ("patient", "label", "probability")


def report(name: str, found: GateResult) -> str:
    """Return the verdict in words."""
    head = {True: "MAY ENTER", False: "REFUSED", None: "NOT JUDGED"}[found.accept]
    lines = [f"{name}: {head}: {found.reason}"]
    if found.loss is None:
        return lines[0]
    lines.append(
        f"mean log-loss of {found.n} labels {found.loss:.3f}; "
        f"clean patients {found.clean_loss:.3f}, "
        f"limit {found.limit:.3f} (1 clean batch in 20 is above it)"
    )
    lines.append(
        f"surprising labels: {found.surprising}; of {found.n} clean patients "
        f"{found.expected:.1f} would be"
    )
    lines += [
        f"  patient {row.patient}: label {row.label}, expected {row.probability:.1%}"
        for row in found.rows[:SHOWN]
    ]
    if len(found.rows) > SHOWN:
        lines.append(f"  and {len(found.rows) - SHOWN} more (--json lists all)")
    return "\n".join(lines)
