"""Measure the drift test: `cardiowatch calibrate`.

Draws thousands of windows, unchanged and changed in the ways of
`pipeline.dataset.heart`, and counts alarms of ours and of the baseline tests, each
at the limit that gives it exactly 5 % on clean windows of the same size. Writes
`pipeline/drift/calibration/calibration.json` and the tables of docs/drift.md.
"""

from __future__ import annotations

import json
import os
import sys
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import asdict, dataclass, replace
from signal import SIG_DFL, SIGINT, signal
from typing import Any

import click
import numpy as np
from threadpoolctl import threadpool_limits

from pipeline.dataset.heart import (
    NO_DRIFT,
    RANDOM_HALVES,
    SCENARIOS,
    PatientSource,
    scenario_by_name,
    training_source,
)
from pipeline.drift.calibration.baseline_tests import TREES, baseline_statistics
from pipeline.drift.calibration.summary import (
    ALPHA,
    DOCS,
    MAX_POWER_DEFICIT,
    RESULT,
    WindowResult,
    summarise,
    write_tables,
)
from pipeline.drift.contingency_tables import Array, tables_from_rows, to_steps
from pipeline.drift.hypothesis_tests.permutation import permute_labels
from pipeline.drift.verdict import verdict

CHUNK = 25  # windows; some seconds of work
SEED = 271_828  # no window of it was looked at while the weights were chosen
SIZES = (100, 500)
REFERENCE = 303
LARGE_REFERENCE = 5_000
TREES_EVERY = {True: 5, False: 10}  # clean and changed windows; they cost more than all others
BASELINE_CLEAN_WINDOWS = (
    2_000  # clean windows of a cell; their limits are then known to half a point
)


@dataclass(frozen=True)
class Plan:
    """How many windows are drawn."""

    clean: int
    """A cell in which nothing changes."""
    large: int
    """The same against a large reference, or the halves; slower, and no baseline needs them."""
    power: int
    """A cell with a change."""
    trees: bool
    """Boosted trees too: they cost more than all others together."""
    seed: int = SEED


FULL = Plan(clean=5_000, large=5_000, power=500, trees=True)
QUICK = Plan(clean=400, large=100, power=75, trees=False)


@dataclass(frozen=True)
class Chunk:
    """Some windows of one cell of the table; the unit of work."""

    scenario: str
    n: int
    n_reference: int
    first: int
    count: int
    seed: int
    trees: bool
    all_trees: bool = False
    """Boosted trees on every window."""


def chunks(plan: Plan) -> list[Chunk]:
    """List the work, cell by cell."""
    cells = [(NO_DRIFT, n, REFERENCE, plan.clean) for n in SIZES]
    cells += [(NO_DRIFT, n, LARGE_REFERENCE, plan.large) for n in SIZES]
    cells.append((RANDOM_HALVES, 152, 151, plan.large))
    cells += [(s.name, n, REFERENCE, plan.power) for n in SIZES for s in SCENARIOS]
    return [
        Chunk(name, n, m, first, min(CHUNK, windows - first), plan.seed, plan.trees)
        for name, n, m, windows in cells
        for first in range(0, windows, CHUNK)
    ]


def measure(chunk: Chunk) -> list[WindowResult]:
    """Draw the windows of a chunk and test each; the same windows whatever else runs."""
    source = training_source()
    with threadpool_limits(1):
        return [_window(chunk, i, source) for i in range(chunk.first, chunk.first + chunk.count)]


def _window(chunk: Chunk, index: int, source: PatientSource) -> WindowResult:
    name = sum(chunk.scenario.encode())  # the same windows when scenarios are added
    random = np.random.default_rng([chunk.seed, name, chunk.n, chunk.n_reference, index])
    if chunk.scenario == RANDOM_HALVES:
        order = random.permutation(len(source.rows))
        reference, current = source.rows[order[:151]], source.rows[order[151:]]
    else:
        reference = source.draw(chunk.n_reference, random)
        current = scenario_by_name(chunk.scenario).draw(source, chunk.n, random)
    drift, p_value, named, pairs = _verdict(reference, current, index)
    rivals: dict[str, float] = {}
    if chunk.n_reference == REFERENCE and (
        chunk.scenario != NO_DRIFT or index < BASELINE_CLEAN_WINDOWS
    ):
        every = 1 if chunk.all_trees else TREES_EVERY[chunk.scenario == NO_DRIFT]
        trees = chunk.trees and index % every == 0
        rivals = baseline_statistics(reference, current, random, trees=trees)
    return WindowResult(drift, p_value, named, pairs, rivals)


def _verdict(
    reference: Array, current: Array, seed: int
) -> tuple[bool, float, tuple[str, ...], tuple[tuple[str, str], ...]]:
    """Return what `compare` would; without an alarm, skip what names the features."""
    before, now = to_steps(reference), to_steps(current)
    found = permute_labels(before, now, ALPHA, seed)
    if found.p_value > ALPHA:
        return False, found.p_value, (), ()
    tables, sizes = tables_from_rows(before, now), (len(before), len(now))
    result = verdict(tables, sizes, (before, now), found.tested(), ALPHA, seed)
    pairs = tuple((pair.a, pair.b) for pair in result.pairs if pair.drift)
    return result.drift, result.p_value, result.drifted, pairs


def chunks_to_refine(work: list[Chunk], summary: dict[str, Any]) -> list[Chunk]:
    """List the chunks to measure again: where boosted trees lead on the few windows they saw."""
    cells = {
        (row["scenario"], row["n"])
        for row in summary["power"]
        if row["best_rival"] == TREES and row["behind"] > MAX_POWER_DEFICIT
    }
    return [replace(c, all_trees=True) for c in work if (c.scenario, c.n) in cells]


def _summary(done: dict[Chunk, list[WindowResult]], plan: Plan) -> dict[str, Any]:
    """Summarise the chunks; of one measured twice, the second time."""
    looked = [(c, done.get(replace(c, all_trees=True), found)) for c, found in done.items()]
    return summarise(
        [(c.scenario, c.n, c.n_reference, r) for c, records in looked for r in records
         if not c.all_trees],
        asdict(plan),
    )  # fmt: skip


@click.command("calibrate")
@click.option("--quick", is_flag=True, help="Fewer windows, no boosted trees.")
@click.option("--processes", type=click.IntRange(1), default=2, help="Processes at once.")
@click.option("--dry", is_flag=True, help="Print the targets, write no tables.")
def command(quick: bool, processes: int, dry: bool) -> None:
    """Measure the drift test: how often clean windows alarm, and which changes it detects.

    Writes what the Drift page shows and the tables of docs/drift.md. Takes over an hour of CPU.
    """
    plan = QUICK if quick else FULL
    work = chunks(plan)
    done = _run(work, processes)
    done |= _run(chunks_to_refine(work, _summary(done, plan)), processes)
    summary = _summary(done, plan)
    if not dry:
        RESULT.write_text(json.dumps(summary, indent=1) + "\n")
        write_tables(DOCS, summary)
    for line in summary["targets"]:
        print(f"{'met   ' if line['met'] else 'MISSED'} {line['text']}")


def _run(work: list[Chunk], processes: int) -> dict[Chunk, list[WindowResult]]:
    """Measure the chunks in processes of their own."""
    os.environ["OPENBLAS_NUM_THREADS"] = "1"  # read when a worker imports numpy
    with (
        # Ctrl-C reaches the workers, too: they end without a word.
        ProcessPoolExecutor(processes, initializer=signal, initargs=(SIGINT, SIG_DFL)) as pool,
        click.progressbar(length=len(work), label="calibrate", file=sys.stderr) as bar,
    ):
        running = {pool.submit(measure, chunk): chunk for chunk in work}
        for _ in as_completed(running):
            bar.update(1)
    return {chunk: future.result() for future, chunk in running.items()}


if __name__ == "__main__":
    from cardiowatch import deprecated

    sys.exit(deprecated("calibrate"))
