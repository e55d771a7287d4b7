"""Texts of the training data gate on the Poisoning page."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from dashboard.shared.escaping import escape_markdown
from dashboard.shared.numbers import count_noun, percent, probability

TITLE = "Training data gate"
GATE = (
    "Can new patients be added to the training data? The gate measures the log-loss of a file's "
    "labels under the trusted model, compares it with that of clean patients who lack the same "
    "findings, and rejects the file if it exceeds the loss of 95 % of clean batches. Files with an "
    "inverted label are rejected at once. Suspicious patients are listed only **in excess of what "
    "clean data show**: about 5 of 100 clean patients look suspicious too. On the command line: "
    "`cardiowatch gate NEW.csv`."
)
UPLOAD = "CSV file of labelled patients"
NOT_STORED = "It is checked in the background; neither the file nor the result is stored."
NO_FILE = "Choose a file first."
MAPPING = (
    "Columns to rename and values to recode, as in a file for `--mapping`. The message about a "
    "file that needs one begins it."
)
RUNNING = "Checking the file"
POWER_TITLE = "False positive rate and power of the gate"
LABEL_ERRORS: Mapping[str, str] = {
    "clean": "Clean labels (false positives)",
    "10 % random flips": "10 % random label flips",
    "20 % random flips": "20 % random label flips",
    "20 % disease hidden": "20 % disease labelled healthy",
    "all sick women hidden": "All with disease labelled healthy: female",  # the first edition's
    "10 % most certain flips": "10 % high-confidence label flips",
    "label turned round": "Labels inverted",
}
VERDICTS: Mapping[bool | None, str] = {
    True: "accepted for training",
    False: "rejected",
    None: "could not be checked",
}
NO_MODEL = (
    "No trusted model: the log has no scorecard for the current model. Start the service once."
)
NO_POWER = "False positive rate and power were not measured for this model (run `make train`)."
LISTED = "Labels with the highest log-loss, only those in excess of what clean data show:"


def too_large(limit_mb: int) -> str:
    """Return the size limit of a file."""
    return f"The file is larger than {limit_mb} MB and was not checked."


def power_note(power: Mapping[str, Any]) -> str:
    """Return what the rates were measured on."""
    return (
        f"Measured at training on held-out patients: {power['splits']} batches per rate, each from "
        "another split of the training patients. Brackets: 95 % interval; differences between "
        "patient populations are not included."
    )


def power_row(name: str, by_size: Mapping[str, Mapping[str, float]]) -> dict[str, str]:
    """Return the rejection rates of one label error by batch size."""
    row = {"Label error": LABEL_ERRORS.get(name, name[0].upper() + name[1:])}
    return row | {f"{size} patients": _share(found) for size, found in by_size.items()}


def _share(found: Mapping[str, float]) -> str:
    low, high = round(100 * found["low"]), round(100 * found["high"])
    return f"{percent(found['share'])} [{low}, {high}]"


def expected_rejection_rate(found: Mapping[str, Any], power: Mapping[str, Any] | None) -> str:
    """Return the rejection rates at the nearest batch size measured."""
    if found["accept"] is None or power is None:
        return ""
    sizes = [int(size) for size in power["refused"]["clean"]]
    size = str(min(sizes, key=lambda measured: abs(measured - found["n"])))
    clean, flips = (power["refused"][name][size] for name in ("clean", "20 % random flips"))
    return (
        f"Of batches of {size} patients, {_share(clean)} of clean ones are rejected and "
        f"{_share(flips)} of those with 20 % random label flips (95 % intervals in brackets)."
    )


def verdict(name: str, found: Mapping[str, Any]) -> str:
    """Return in one sentence whether a file may enter training."""
    return (
        f"{escape_markdown(name)}: {VERDICTS[found['accept']]}; {escape_markdown(found['reason'])}."
    )


def unreadable(problem: str) -> str:
    """Return why there is no verdict."""
    return f"The file could not be checked: {escape_markdown(problem)}."


def more_rows(n: int) -> str:
    """Return how many suspicious patients are not shown."""
    return f"And {n:,} more; `cardiowatch gate NEW.csv --json` lists all."


def loss_summary(found: Mapping[str, Any]) -> str:
    """Return the log-loss of the labels, and how many of them stand out."""
    return (
        f"Mean log-loss of {count_noun(found['n'], 'label')} {found['loss']:.3f}; clean patients "
        f"{found['clean_loss']:.3f}, threshold {found['limit']:.3f}. High-loss labels: "
        f"{found['surprising']}; expected in as many clean patients: {found['expected']:.1f}."
    )


def row(found: Mapping[str, Any]) -> dict[str, str]:
    """Return one suspicious patient."""
    return {
        "Row of the file": str(found["patient"]),
        "Label": "disease" if found["label"] else "no disease",
        "Model probability of this label": probability(found["probability"]),
    }
