"""What the Drift page says about how often its test is wrong."""

from __future__ import annotations

from collections.abc import Mapping
from statistics import fmean
from typing import Any

from dashboard.shared.numbers import percent

NOTE = (
    "Thousands of simulated windows, unchanged and changed on purpose, were given to the same "
    "test. A clean window that alarms is a false alarm; a changed one that does not is a miss."
)
NOT_CALIBRATED = "This has not been measured here yet: `python -m pipeline.calibrate` does."


def trust(found: Mapping[str, Any]) -> str:
    """Sum up the calibration: false alarms, what is seen on average, and what is seen least."""
    worst = max(found["clean"], key=lambda row: row["alarms"])
    said = (
        f"Of clean windows {percent(worst['alarms'], 1)} alarm at most "
        f"(upper limit {percent(worst['upper_95'], 1)})."
    )
    for n in sorted({row["n"] for row in found["power"]}):
        rows = [row for row in found["power"] if row["n"] == n]
        least = min(rows, key=lambda row: row["power"])
        said += (
            f" Of {len(rows)} kinds of change it sees {percent(fmean(r['power'] for r in rows))} "
            f"with {n} patients, the hardest ({least['what']}) in {percent(least['power'])} of "
            "the windows."
        )
    return said


def rows(found: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the calibration as rows of a table."""
    clean = [
        {
            "Windows": f"unchanged: {row['scenario']}", "Patients": row["n"],
            "Reference": row["n_reference"], "Alarm": percent(row["alarms"], 1),
            "Best other test": "", "Wrong finding named": "", "Simulated": row["windows"],
        }
        for row in found["clean"]
    ]  # fmt: skip
    return clean + [
        {
            "Windows": row["what"], "Patients": row["n"], "Reference": row["n_reference"],
            "Alarm": percent(row["power"], 1), "Best other test": _best(row),
            "Wrong finding named": percent(row["wrong"], 1), "Simulated": row["windows"],
        }
        for row in found["power"]
    ]  # fmt: skip


def _best(row: Mapping[str, Any]) -> str:
    name = row["best_rival"]
    return "" if name is None else f"{percent(row['rivals'][name]['power'], 1)} ({name})"
