"""What one drift verdict costs: `cardiowatch measure drift-cost`."""

from __future__ import annotations

import time
import tracemalloc
from collections.abc import Callable, Iterator

import click
import numpy as np
from threadpoolctl import threadpool_limits

from pipeline.dataset.heart.drift_scenarios import training_source
from pipeline.dataset.synthetic import smoothed_bootstrap
from pipeline.drift import MAX_PERMUTATION_ROWS, compare, compare_counts
from pipeline.drift.contingency_tables import Array
from pipeline.schema import NAMES

_REPEATS = 5
_PART = 100_000  # patients drawn at once while a log of millions is counted

Counts = dict[str, dict[float | None, int]]


def value_counts(real: Array, n: int) -> tuple[Counts, Array]:
    """Draw a log of `n` patients; return its value counts and a sample of it."""
    counts: Counts = {name: {} for name in NAMES}
    for start in range(0, n, _PART):
        rows = smoothed_bootstrap(real, min(_PART, n - start), seed=start)
        for i, name in enumerate(NAMES):
            known = rows[~np.isnan(rows[:, i]), i]
            for value, count in zip(*np.unique(known, return_counts=True), strict=True):
                counts[name][float(value)] = counts[name].get(float(value), 0) + int(count)
            missing = len(rows) - len(known)
            counts[name][None] = counts[name].get(None, 0) + missing
    return counts, smoothed_bootstrap(real, min(n, MAX_PERMUTATION_ROWS), seed=n + 1)


def cases(real: Array) -> Iterator[tuple[str, Callable[[], object]]]:
    """List what is measured."""
    reference = smoothed_bootstrap(real, len(real), seed=1)
    for n in (100, 500, 5_000):
        window = smoothed_bootstrap(real, n, seed=2)
        yield f"{n} rows against 303", lambda w=window: compare(reference, w)  # type: ignore[misc]
    window = smoothed_bootstrap(real, 500, seed=3)
    window[:, NAMES.index("chol")] *= 2
    daily = 0.05 / 30
    yield (
        "500 rows against 303, alarm at alpha / 30",
        lambda: compare(reference, window, alpha=daily),
    )
    before, _ = value_counts(real, len(real))
    for n in (10_000, 1_000_000):
        now, sample = value_counts(real, n)
        yield (
            f"{n:,} rows from counts against 303",
            lambda c=now, s=sample: compare_counts(  # type: ignore[misc]
                before, c, reference_sample=reference, sample=s
            ),
        )


@click.command("drift-cost")
def command() -> None:
    """Measure CPU seconds and memory of one drift verdict, for small and for large windows."""
    print("| verdict | CPU, median of 5 | memory at its peak |\n|---|---|---|")
    with threadpool_limits(1):  # threads that wait for each other count as CPU time
        for name, verdict in cases(training_source().rows):
            verdict()
            seconds = []
            for _ in range(_REPEATS):
                started = time.process_time()
                verdict()
                seconds.append(time.process_time() - started)
            tracemalloc.start()
            verdict()
            peak = tracemalloc.get_traced_memory()[1] / 2**20
            tracemalloc.stop()
            print(f"| {name} | {np.median(seconds):.2f} s | {peak:.0f} MB |", flush=True)
