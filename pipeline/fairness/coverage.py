"""Coverage of the fairness page's intervals: `cardiowatch measure coverage`.

Groups of the training patients' sizes are drawn again and again from the table of predictions and
outcomes that training measured; a 95 % interval should contain the true gap in 95 % of the draws.
docs/fairness.md compares the method in service with those that it replaced.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from functools import partial
from typing import Any

import click
import numpy as np

from pipeline.fairness.confusion_matrix import AUC, METRICS, ConfusionMatrix, Metric
from pipeline.fairness.groups import split_key
from pipeline.fairness.result import MIN_GROUP_SIZE
from pipeline.model import EVIDENCE_FILE
from pipeline.model.design_matrix import Array
from pipeline.schema import SENSITIVE
from pipeline.statistics.metrics import auc
from pipeline.statistics.proportions import (
    IntervalFunction,
    auc_interval,
    difference_interval,
    wilson_interval,
)
from settings import load_settings

Pool = tuple[Array, Array]
"""Out-of-fold probabilities of a group's patients with disease and of those without."""
_BOTH = "both"
"""All sensitive attributes, crossed."""


def coverage(tables: tuple[Array, Array], draws: int, seed: int) -> dict[str, float]:
    """Measure how often the 95 % interval of a signed gap contains the true one.

    Parameters
    ----------
    tables
        TP, FP, FN and TN of the two groups, each shape (4,): sizes and true rates.
    draws
        Simulated data sets.
    seed
        Of the draws.

    Returns
    -------
    dict
        Metric -> share of draws. A draw with an empty denominator is left out.
    """
    rng = np.random.default_rng(seed)
    drawn = [rng.multinomial(int(t.sum()), t / t.sum(), draws).astype(float) for t in tables]
    found = {}
    for metric in METRICS:
        if metric is AUC:
            continue
        (a, n), (b, m) = (_counts(metric, table) for table in tables)
        truth, held = a / n - b / m, []
        for first, second in zip(*drawn, strict=True):
            (a, n), (b, m) = _counts(metric, first), _counts(metric, second)
            if n and m:
                around = partial(wilson_interval, a, n), partial(wilson_interval, b, m)
                (low, high), _ = difference_interval(a / n, around[0], b / m, around[1])
                held.append(low <= truth <= high)
        found[metric.name] = float(np.mean(held))
    return found


def area_coverage(pools: tuple[Pool, Pool], draws: int, seed: int) -> float:
    """Measure the same for the gap in ROC areas, drawing patients with replacement."""
    rng = np.random.default_rng(seed)
    truth = _area(*pools[0])[0] - _area(*pools[1])[0]
    hits = 0
    for _ in range(draws):
        (a, around_a), (b, around_b) = (_drawn_area(pool, rng) for pool in pools)
        (low, high), _ = difference_interval(a, around_a, b, around_b)
        hits += low <= truth <= high
    return hits / draws


def _drawn_area(pool: Pool, rng: np.random.Generator) -> tuple[float, IntervalFunction]:
    sick, well = (rng.choice(part, len(part)) for part in pool)
    area, error = _area(sick, well)
    return area, partial(auc_interval, area, error, min(len(sick), len(well)))


def _area(sick: Array, well: Array) -> tuple[float, float]:
    y = np.repeat([1.0, 0.0], [len(sick), len(well)])
    return auc(y, np.concatenate([sick, well]))


def _counts(metric: Metric, table: Array) -> tuple[int, int]:
    cell = ConfusionMatrix(np.array([*table, table[0] + table[1], table.sum()]), None)
    return cell.count(metric), cell.n(metric)


def group_pools(evidence: Mapping[str, Any], by: str) -> dict[str, Pool]:
    """Group the training patients by an attribute, or by all of them crossed."""
    found: dict[str, list[Mapping[str, Any]]] = {}
    for key, patients in evidence["fairness"]["patients"].items():
        group = key if by == _BOTH else split_key(evidence["fairness"], key)[by]
        if group is not None:
            found.setdefault(group, []).append(patients)
    return {name: _pooled(parts, "disease", "no disease") for name, parts in found.items()}


def _pooled(parts: list[Any], *names: Any) -> Pool:
    sick, well = (np.concatenate([part[name] for part in parts]) for name in names)
    return sick, well


def confusion_counts(pool: Pool) -> Array:
    """Count TP, FP, FN and TN at the threshold 0.5, shape (4,)."""
    sick, well = pool
    counts = [(part >= 0.5).sum() for part in pool]
    return np.array([*counts, len(sick) - counts[0], len(well) - counts[1]], dtype=float)


def coverage_by_group(
    pools: Mapping[str, Pool], draws: int, seed: int
) -> Iterator[tuple[str, dict[str, float | None]]]:
    """Measure each group against all others; None = a cell of fewer than 20 patients."""
    for name, pool in pools.items():
        rest = _pooled([p for other, p in pools.items() if other != name], 0, 1)
        tables = confusion_counts(pool), confusion_counts(rest)
        found: dict[str, float | None] = dict(coverage(tables, draws, seed))
        for metric in METRICS:
            if min(_counts(metric, table)[1] for table in tables) < MIN_GROUP_SIZE:
                found[metric.name] = None
        smallest = min(len(part) for part in (*pool, *rest))
        enough = smallest >= MIN_GROUP_SIZE
        found[AUC.name] = area_coverage((pool, rest), draws, seed) if enough else None
        yield name, found


@click.command("coverage")
@click.option(
    "--by",
    type=click.Choice([*(f.name for f in SENSITIVE), _BOTH]),
    default=SENSITIVE[0].name,
    help="Groups.",
)
@click.option("--draws", type=click.IntRange(1), default=10_000, help="Simulated data sets.")
@click.option("--seed", default=0, help="Of the draws.")
def command(by: str, draws: int, seed: int) -> None:
    """Measure how often the fairness page's intervals contain the true gap.

    Each group of the training patients is compared with all others; 95 % are wanted. A cell of
    fewer than 20 patients has no interval, on the page as here.
    """
    evidence = json.loads((load_settings().model_dir / EVIDENCE_FILE).read_text("utf-8"))
    names = [metric.name for metric in METRICS]
    print(f"{'group against all others':24}" + "".join(f"{name:>16}" for name in names))
    for group, found in coverage_by_group(group_pools(evidence, by), draws, seed):
        shares = (found[name] for name in names)
        written = ("cell under 20" if share is None else f"{share:.3f}" for share in shares)
        print(f"{group:24}" + "".join(f"{share:>16}" for share in written), flush=True)
