"""What the Poisoning page says of the gate for newly labelled patients."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from dashboard.shared.escaping import markdown
from dashboard.shared.numbers import percent, probability, times

TITLE = "May new patients enter training?"
GATE = (
    "The gate asks how much the labels of a file surprise the trusted model, compares that with "
    "clean patients who lack the same findings, and refuses what 19 of 20 clean batches stay "
    "below. A label that is turned round is refused at once. Suspicious patients are listed only "
    "**in excess of what clean data show**: of 100 clean patients about 5 look suspicious, too. "
    "As a program: `python -m pipeline.gate NEW.csv`."
)
UPLOAD = "CSV of patients with a label"
UPLOAD_HELP = (
    "The thirteen UCI columns and disease, num or target; words, UCI or Kaggle codes. It is judged "
    "in a process of its own and not kept: neither the file nor the answer is stored."
)
CODINGS: Mapping[str, str] = {"": "Recognise it", "uci": "UCI codes", "kaggle": "Kaggle codes"}
NO_FILE = "Choose a file first."
CANCELLED = "Cancelled. The file was not judged, and nothing of it was kept."
RUNNING = "The file is being judged."
POWER_TITLE = "How often it refuses"
REFUSED: Mapping[str, str] = {
    "clean": "Clean labels (false alarms)",
    "10 % random flips": "10 % random flips",
    "20 % random flips": "20 % random flips",
    "20 % disease hidden": "20 % disease hidden",
    "all sick women hidden": "All sick women called healthy",
    "10 % most certain flips": "10 % most certain flips",
    "label turned round": "Label turned round",
}
HEADS: Mapping[bool | None, str] = {
    True: "May enter training",
    False: "Refused",
    None: "Cannot be judged",
}
NO_MODEL = (
    "There is no trusted model to judge by: the log does not hold the scorecard in use. Start the "
    "service once."
)
NO_POWER = "How often it refuses was not measured when this model was trained (`make train`)."
LISTED = "The most surprising labels, as many as are in excess of what clean patients show:"


def too_large(limit_mb: int) -> str:
    """Say how large a file may be."""
    return f"The file is larger than {limit_mb} MB and was not judged."


def elsewhere(trained_on: str) -> str:
    """Say why a file cannot be judged here, and where it can."""
    return (
        f"The model in use was trained on {markdown(trained_on)}, whose patients are not on this "
        "machine, and the gate compares with them. Where they are: `python -m pipeline.gate "
        "NEW.csv --trusted THAT.csv`."
    )


def power_note(power: Mapping[str, Any]) -> str:
    """Say what the shares were measured on."""
    return (
        f"Measured at training on patients that neither model nor limit had seen: "
        f"{power['splits']} batches behind each share, one from each of as many splits of the "
        "training patients. In brackets the 95 % interval; how far other patients differ is not "
        "in it."
    )


def power_row(name: str, by_size: Mapping[str, Mapping[str, float]]) -> dict[str, str]:
    """Write how often one kind of batch is refused."""
    row = {"What was done to the labels": REFUSED.get(name, name)}
    return row | {f"{size} patients": _share(found) for size, found in by_size.items()}


def _share(found: Mapping[str, float]) -> str:
    low, high = round(100 * found["low"]), round(100 * found["high"])
    return f"{percent(found['share'])} [{low}, {high}]"


def expects(found: Mapping[str, Any], power: Mapping[str, Any] | None) -> str:
    """Say what the verdict on so many patients is worth, by the nearest size measured."""
    if found["accept"] is None or power is None:
        return ""
    sizes = [int(size) for size in power["refused"]["clean"]]
    size = str(min(sizes, key=lambda measured: abs(measured - found["n"])))
    clean, flips = (power["refused"][name][size] for name in ("clean", "20 % random flips"))
    return (
        f"In batches of {size}, {_share(clean)} of clean ones are refused and {_share(flips)} of "
        "those with one label in five turned round (95 % intervals in brackets)."
    )


def verdict(name: str, found: Mapping[str, Any]) -> str:
    """Say in one sentence whether a file may enter training."""
    return f"{markdown(name)}: {HEADS[found['accept']]}; {markdown(found['reason'])}."


def unreadable(problem: str) -> str:
    """Say why there is no verdict."""
    return f"The file was not judged: {markdown(problem)}."


def more(n: int) -> str:
    """Say how many suspicious patients are not shown."""
    return f"And {n:,} more; `python -m pipeline.gate NEW.csv --json` lists all."


def measured(found: Mapping[str, Any]) -> str:
    """Say how surprising the labels are, and how many patients stand out."""
    return (
        f"Mean surprise (log-loss) of {times(found['n'], 'label')} {found['loss']:.3f}; clean "
        f"patients {found['clean_loss']:.3f}, limit {found['limit']:.3f}. Surprising labels: "
        f"{found['surprising']}; of as many clean patients {found['expected']:.1f} would be."
    )


def row(found: Mapping[str, Any]) -> dict[str, str]:
    """Write one suspicious patient."""
    return {
        "Patient, in the order of the file": str(found["patient"]),
        "Label": "disease" if found["label"] else "no disease",
        "The model expects this label with": probability(found["probability"]),
    }
