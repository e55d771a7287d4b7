"""From measured windows to the table of false positive rates and power of the drift test."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from scipy import special

from pipeline.dataset.heart import (
    DEVELOPMENT_SCENARIOS,
    HELD_OUT,
    NO_DRIFT,
    RANDOM_HALVES,
    SCENARIOS,
    scenario_by_name,
)

RESULT = Path(__file__).with_name("calibration.json")
"""What the Drift page shows."""
DOCS = Path(__file__).resolve().parents[3] / "docs" / "drift.md"

ALPHA = 0.05
MAX_FALSE_ALARM_RATE = 0.065
MAX_POWER_DEFICIT = 0.03
MAX_FALSE_ATTRIBUTION_RATE = 0.07
MIN_POWER = {("correlation", 100): 0.75, ("correlation", 500): 0.98, ("unit", 100): 0.85}
"""Targets of the project; see docs/drift.md."""

_BEGIN, _END = "<!-- calibration: begin -->", "<!-- calibration: end -->"


@dataclass(frozen=True)
class WindowResult:
    """The result for one window."""

    drift: bool
    p_value: float
    named: tuple[str, ...]
    pairs: tuple[tuple[str, str], ...]
    baselines: Mapping[str, float]
    """Their statistics; larger is more extreme."""

    def has_false_attribution(self, scenario: str) -> bool:
        """Return whether it named a feature, or a pair, that the scenario does not change."""
        truth = scenario_by_name(scenario)
        wrong_pair = any(not {a, b} & truth.changed_relations for a, b in self.pairs)
        return wrong_pair or not set(self.named) <= truth.changed


class Cell(NamedTuple):
    """Windows of one kind and size."""

    scenario: str
    n: int
    n_reference: int


def clopper_pearson_upper(count: int, of: int) -> float:
    """Return the upper end of the one-sided 95 % interval of a share (Clopper & Pearson 1934)."""
    return 1.0 if count >= of else float(special.betaincinv(count + 1, of - count, 0.95))


def summarise(
    measured: Iterable[tuple[str, int, int, WindowResult]], plan: Mapping[str, int]
) -> dict[str, Any]:
    """Count alarms per cell and compare them with the targets.

    Parameters
    ----------
    measured
        Scenario, patients in window and reference, and result.
    plan
        How many windows were to be drawn; part of the result.
    """
    cells: dict[Cell, list[WindowResult]] = {}
    for scenario, n, m, record in measured:
        cells.setdefault(Cell(scenario, n, m), []).append(record)
    clean = [_clean(cell, records) for cell, records in cells.items() if _unchanged(cell)]
    power = [
        _power(cell, records, cells.get(Cell(NO_DRIFT, cell.n, cell.n_reference), []))
        for cell, records in cells.items()
        if not _unchanged(cell)
    ]
    clean.sort(key=lambda row: (row["scenario"], row["n_reference"], row["n"]))
    order = [scenario.name for scenario in SCENARIOS]
    power.sort(key=lambda row: (row["n"], order.index(row["scenario"])))
    return {
        "alpha": ALPHA,
        "plan": dict(plan),
        "clean": clean,
        "power": power,
        "targets": _targets(clean, power),
    }


def _unchanged(cell: Cell) -> bool:
    return cell.scenario in (NO_DRIFT, RANDOM_HALVES)


def _clean(cell: Cell, records: Sequence[WindowResult]) -> dict[str, Any]:
    alarms = sum(record.drift for record in records)
    return {
        **cell._asdict(),
        "windows": len(records),
        "alarms": alarms / len(records),
        "upper_95": round(clopper_pearson_upper(alarms, len(records)), 4),
    }


def _power(
    cell: Cell, records: Sequence[WindowResult], clean: Sequence[WindowResult]
) -> dict[str, Any]:
    rivals = {}
    for rival in sorted({name for record in clean for name in record.baselines}):
        null = [record.baselines[rival] for record in clean if rival in record.baselines]
        same = [record for record in records if rival in record.baselines]
        if len(null) >= 20 and same:
            limit = np.quantile(null, 1 - ALPHA, method="higher")
            power = float(np.mean([record.baselines[rival] > limit for record in same]))
            rivals[rival] = {
                "power": power,
                # Against ours on the windows that both saw: what is left is not who was lucky.
                "ahead": round(power - float(np.mean([record.drift for record in same])), 4),
                "windows": len(same),
                "clean_windows": len(null),
            }
    ours = float(np.mean([record.drift for record in records]))
    best = max(rivals, key=lambda name: rivals[name]["ahead"], default=None)
    return {
        **cell._asdict(),
        "what": scenario_by_name(cell.scenario).description,
        "windows": len(records),
        "power": ours,
        "rivals": rivals,
        "best_rival": best,
        "behind": None if best is None else rivals[best]["ahead"],
        "wrong": float(
            np.mean([record.has_false_attribution(cell.scenario) for record in records])
        ),
        "named": float(np.mean([bool(record.named or record.pairs) for record in records])),
    }


def _targets(clean: list[dict[str, Any]], power: list[dict[str, Any]]) -> list[dict[str, Any]]:
    found = []
    for row in clean:
        text = (
            f"{row['scenario']}, {row['n']} against {row['n_reference']}: "
            f"{_percent(row['alarms'])} alarms, at most {_percent(row['upper_95'])} (95 %)"
        )
        found.append({"text": text, "met": row["upper_95"] <= MAX_FALSE_ALARM_RATE})
    for row in power:
        if row["behind"] is not None and row["behind"] > MAX_POWER_DEFICIT:
            text = (
                f"{row['scenario']}, n = {row['n']}: {_percent(row['behind'])} behind "
                f"{row['best_rival']}"
            )
            found.append({"text": text, "met": False})
        least = MIN_POWER.get((row["scenario"], row["n"]))
        if least is not None:
            text = f"{row['scenario']}, n = {row['n']}: detected in {_percent(row['power'])}"
            text += f" (target: {_percent(least)})"
            found.append({"text": text, "met": row["power"] >= least})
    if power:
        worst = max(power, key=lambda row: row["wrong"])
        text = f"a wrong feature named in at most {_percent(worst['wrong'])} ({worst['scenario']}"
        found.append(
            {
                "text": f"{text}, n = {worst['n']})",
                "met": worst["wrong"] <= MAX_FALSE_ATTRIBUTION_RATE,
            }
        )
        behind = [row for row in power if (row["behind"] or 0) > MAX_POWER_DEFICIT]
        text = f"within 3 points of the best baseline in {len(power) - len(behind)} of {len(power)}"
        found.append({"text": f"{text} cells", "met": not behind})
    return found


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %"


def tables(summary: Mapping[str, Any]) -> str:
    """Return the summary as Markdown."""
    names = sorted({name for row in summary["power"] for name in row["rivals"]})
    lines = [
        "| clean windows | window | reference | windows | alarms | at most (95 %) |",
        "|---|---|---|---|---|---|",
    ]
    lines += [
        f"| {row['scenario']} | {row['n']} | {row['n_reference']} | {row['windows']:,} | "
        f"{_percent(row['alarms'])} | {_percent(row['upper_95'])} |"
        for row in summary["clean"]
    ]
    lines += ["", "| change | n | windows | ours | " + " | ".join(names) + " | wrong name |"]
    lines.append("|" + "---|" * (len(names) + 5))
    for row in summary["power"]:
        others = [
            f"{row['rivals'][name]['power']:.2f}" if name in row["rivals"] else "" for name in names
        ]
        name = row["scenario"]
        star = "\\*" if name in DEVELOPMENT_SCENARIOS else "\\*\\*" if name in HELD_OUT else ""
        lines.append(
            f"| {row['what']}{star} | {row['n']} | {row['windows']:,} | **{row['power']:.2f}** | "
            + " | ".join(others)
            + f" | {row['wrong']:.3f} |"
        )
    lines += ["", "| target | met |", "|---|---|"]
    lines += [f"| {t['text']} | {'yes' if t['met'] else '**no**'} |" for t in summary["targets"]]
    return "\n".join(lines)


def write_tables(path: Path, summary: Mapping[str, Any]) -> None:
    """Write the tables between the markers of a document."""
    text = path.read_text()
    before, rest = text.split(_BEGIN)
    after = rest.split(_END)[1]
    path.write_text(f"{before}{_BEGIN}\n{tables(summary)}\n{_END}{after}")
