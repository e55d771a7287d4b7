"""How often do the intervals contain the true gap? Simulate groups like Cleveland's and count.

    python -m pipeline.fairness.coverage [--by sex|age|both] [--draws 10000] [--seed 0]

Patients of either group are drawn as often as in training, from the table of predictions and
outcomes that training measured; a 95 % interval should contain the true gap in 95 % of the draws.
The method of the fairness page is compared with those that it replaced. With more than two groups,
each is compared with all others, as on the page, by the page's method only.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.fairness.bootstrap import N_DRAWS, demographic_parity, equalized_odds
from pipeline.fairness.confusion_matrix import AUC, METRICS, ConfusionMatrix, Metric
from pipeline.fairness.result import MIN_GROUP_SIZE
from pipeline.model.design_matrix import Array
from pipeline.statistics.metrics import auc
from pipeline.statistics.proportions import (
    Z95,
    Interval,
    IntervalFunction,
    auc_interval,
    difference_interval,
    wilson_interval,
)

BOOTSTRAP = 500  # draws inside a draw: enough for a percentile's second digit
Counts = tuple[float, float]
Method = Callable[[Counts, Counts, np.random.Generator], Interval]


def newcombe(a: Counts, b: Counts, _: np.random.Generator) -> Interval:
    """Return the interval of the fairness page."""
    return difference_interval(
        a[0] / a[1], partial(wilson_interval, *a), b[0] / b[1], partial(wilson_interval, *b)
    )[0]


def agresti_caffo(a: Counts, b: Counts, _: np.random.Generator) -> Interval:
    """Add a success and a failure to either group, then Wald (Agresti & Caffo 2000)."""
    return _wald((a[0] + 1, a[1] + 2), (b[0] + 1, b[1] + 2))


def wald(a: Counts, b: Counts, _: np.random.Generator) -> Interval:
    """Return the textbook interval."""
    return _wald(a, b)


def percentile(a: Counts, b: Counts, rng: np.random.Generator) -> Interval:
    """Return the middle 95 % of a bootstrap."""
    drawn = [rng.binomial(int(n), x / n, BOOTSTRAP) / n for x, n in (a, b)]
    low, high = np.quantile(drawn[0] - drawn[1], (0.025, 0.975)).tolist()
    return low, high


def _wald(a: Counts, b: Counts) -> Interval:
    p, q = a[0] / a[1], b[0] / b[1]
    half = Z95 * (p * (1 - p) / a[1] + q * (1 - q) / b[1]) ** 0.5
    return p - q - half, p - q + half


METHODS: Mapping[str, Method] = {
    "Newcombe": newcombe,
    "Agresti-Caffo": agresti_caffo,
    "Wald": wald,
    "percentile bootstrap": percentile,
}


def coverage(
    tables: tuple[Array, Array], draws: int, seed: int, methods: Mapping[str, Method] = METHODS
) -> dict[str, dict[str, float]]:
    """Measure how often each method's 95 % interval of a signed gap contains the true one.

    Parameters
    ----------
    tables
        TP, FP, FN and TN of the two groups, each shape (4,): sizes and true rates.
    draws
        Simulated data sets.
    seed
        Of the draws.
    methods
        Which to measure.

    Returns
    -------
    dict
        Metric -> method -> share of draws. A draw with an empty denominator is left out.
    """
    rng = np.random.default_rng(seed)
    drawn = [rng.multinomial(int(t.sum()), t / t.sum(), draws).astype(float) for t in tables]
    found: dict[str, dict[str, float]] = {}
    for metric in METRICS:
        if metric is AUC:
            continue
        truth = _gap(*(_counts(metric, table) for table in tables))
        held: dict[str, list[bool]] = {name: [] for name in methods}
        for first, second in zip(*drawn, strict=True):
            a, b = _counts(metric, first), _counts(metric, second)
            if not a[1] or not b[1]:
                continue
            for name, method in methods.items():
                low, high = method(a, b, rng)
                held[name].append(low <= truth <= high)
        found[metric.name] = {name: float(np.mean(hits)) for name, hits in held.items()}
    return found


def area_coverage(
    pools: tuple[tuple[Array, Array], tuple[Array, Array]], draws: int, seed: int
) -> float:
    """Measure the same for the gap in ROC areas, drawing patients with replacement.

    Parameters
    ----------
    pools
        Per group the probabilities of those with disease and of those without.
    """
    rng = np.random.default_rng(seed)
    truth = _area(*pools[0])[0] - _area(*pools[1])[0]
    hits = 0
    for _ in range(draws):
        (a, around_a), (b, around_b) = (_drawn_area(pool, rng) for pool in pools)
        (low, high), _ = difference_interval(a, around_a, b, around_b)
        hits += low <= truth <= high
    return hits / draws


def _drawn_area(
    pool: tuple[Array, Array], rng: np.random.Generator
) -> tuple[float, IntervalFunction]:
    sick, well = (rng.choice(part, len(part)) for part in pool)
    area, error = _area(sick, well)
    return area, partial(auc_interval, area, error, min(len(sick), len(well)))


def _area(sick: Array, well: Array) -> tuple[float, float]:
    y = np.repeat([1.0, 0.0], [len(sick), len(well)])
    return auc(y, np.concatenate([sick, well]))


def _counts(metric: Metric, table: Array) -> Counts:
    selected, n = table[0] + table[1], table.sum()
    cell = ConfusionMatrix(np.array([*table, selected, n]), None)
    return float(cell.count(metric)), float(cell.n(metric))


def _gap(a: Counts, b: Counts) -> float:
    return a[0] / a[1] - b[0] / b[1]


Pools = dict[str, tuple[Array, Array]]
"""Group -> out-of-fold probabilities of its patients with disease and of those without."""


def group_pools(evidence: Mapping[str, Any], by: str) -> Pools:
    """Group the training patients by `sex`, by `age` or by `both`."""
    found = evidence["fairness"]["patients"]
    place = {"sex": slice(0, 1), "age": slice(1, 2), "both": slice(0, 2)}[by]
    names = {group: ", ".join(group.split(", ")[place]) for group in found}
    return {name: _pooled(found, (g for g in found if names[g] == name)) for name in names.values()}


def _pooled(found: Mapping[str, Any], groups: Iterable[str]) -> tuple[Array, Array]:
    parts = [found[group] for group in groups]
    sick, well = (np.concatenate([p[name] for p in parts]) for name in ("disease", "no disease"))
    return sick, well


def confusion_counts(pool: tuple[Array, Array]) -> Array:
    """Count TP, FP, FN and TN at the threshold in service, shape (4,)."""
    sick, well = pool
    counts = [(part >= 0.5).sum() for part in pool]
    return np.array([*counts, len(sick) - counts[0], len(well) - counts[1]], dtype=float)


def coverage_by_group(
    pools: Pools, draws: int, seed: int
) -> Iterator[tuple[str, dict[str, float | None]]]:
    """Measure each group against all others by the page's method; None = a cell under 20."""
    for name, pool in pools.items():
        others = [p for other, p in pools.items() if other != name]
        rest = (np.concatenate([p[0] for p in others]), np.concatenate([p[1] for p in others]))
        tables = confusion_counts(pool), confusion_counts(rest)
        held = coverage(tables, draws, seed, {"Newcombe": newcombe})
        found: dict[str, float | None] = {
            metric.name: held[metric.name]["Newcombe"]
            if min(_counts(metric, table)[1] for table in tables) >= MIN_GROUP_SIZE
            else None
            for metric in METRICS
            if metric is not AUC
        }
        smallest = min(len(part) for part in (*pool, *rest))
        enough = smallest >= MIN_GROUP_SIZE
        found[AUC.name] = area_coverage((pool, rest), draws, seed) if enough else None
        yield name, found


def bootstrap_ms(cells: Sequence[ConfusionMatrix], times: int = 20) -> float:
    """Return the milliseconds of CPU that both of fairlearn's differences cost, resampled."""
    rng = np.random.default_rng(0)
    start = time.process_time()
    for _ in range(times):
        demographic_parity(cells, rng)
        equalized_odds(cells, rng)
    return 1000 * (time.process_time() - start) / times


def main() -> int:
    """Measure coverage at Cleveland's group sizes and print it as a table."""
    parser = argparse.ArgumentParser(
        prog="python -m pipeline.fairness.coverage", description=(__doc__ or "").splitlines()[0]
    )
    parser.add_argument(
        "--by", choices=("sex", "age", "both"), default="sex", help="the groups (default sex)"
    )
    parser.add_argument("--draws", type=int, default=10_000, help="simulated data sets")
    parser.add_argument("--seed", type=int, default=0, help="of the draws")
    parser.add_argument("--evidence", type=Path, default=Path("var/models/evidence.json"))
    arguments = parser.parse_args()
    if arguments.draws < 1:
        parser.error("--draws must be at least 1")
    try:
        pools = group_pools(json.loads(arguments.evidence.read_text("utf-8")), arguments.by)
    except (OSError, ValueError, KeyError):
        print("coverage: there is no evidence to read: run make train", file=sys.stderr)
        return 1
    if arguments.by == "sex":
        _print_by_sex(pools, arguments.draws, arguments.seed)
    else:
        _print_by_group(pools, arguments.draws, arguments.seed)
    return 0


def _print_by_group(pools: Pools, draws: int, seed: int) -> None:
    names = [metric.name for metric in METRICS]
    print(f"{'group against all others':24}" + "".join(f"{name:>16}" for name in names))
    for group, found in coverage_by_group(pools, draws, seed):
        shares = (found[name] for name in names)
        written = ("cell under 20" if share is None else f"{share:.3f}" for share in shares)
        print(f"{group:24}" + "".join(f"{share:>16}" for share in written), flush=True)


def _print_by_sex(pools: Pools, draws: int, seed: int) -> None:
    men, women = confusion_counts(pools["male"]), confusion_counts(pools["female"])
    found = coverage((men, women), draws, seed)
    print(f"{'gap, male minus female':24}" + "".join(f"{name:>22}" for name in METHODS))
    for metric, held in found.items():
        print(f"{metric:24}" + "".join(f"{share:22.3f}" for share in held.values()))
    area = area_coverage((pools["male"], pools["female"]), draws, seed)
    print(f"{'auc':24}{area:22.3f}   (DeLong in log-odds, MOVER)")
    spent = bootstrap_ms(
        [ConfusionMatrix(np.array([*t, t[0] + t[1], t.sum()]), None) for t in (men, women)]
    )
    print(f"bootstrap of both differences, {N_DRAWS:,} draws: {spent:.1f} ms of CPU")


if __name__ == "__main__":
    sys.exit(main())
