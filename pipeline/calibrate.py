"""Measure the drift test: how often clean windows alarm, and which changes are seen.

Draws thousands of windows, unchanged and changed in the ways of `pipeline.drift.scenarios`, and
counts alarms of ours and of the rivals, each rival at the limit that makes it exactly 5 % on clean
windows of the same size. Writes `pipeline/drift/calibration.json` and the tables of docs/drift.md.
Finished chunks are kept beside the other data, so that a stopped run goes on where it was.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Iterator
from concurrent.futures import FIRST_COMPLETED, ProcessPoolExecutor, wait
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path

import numpy as np
from threadpoolctl import threadpool_limits

from pipeline.data import HEART_CSV, DataError, read
from pipeline.drift import compare
from pipeline.drift.calibration import DOCS, RESULT, Record, summarise, write_tables
from pipeline.drift.rivals import rival_statistics
from pipeline.drift.scenarios import CLEAN, HALVES, SCENARIOS, Source, by_name

CHUNK = 25  # windows; some seconds of work
SEED = 414_213  # no window of it was looked at while the weights were chosen
SIZES = (100, 500)
REFERENCE = 303
LARGE_REFERENCE = 5_000
TREES_EVERY = 5  # windows; boosted trees cost ten times as much as all others together


@dataclass(frozen=True)
class Plan:
    """How many windows are drawn."""

    clean: int
    """A cell in which nothing changes."""
    large: int
    """The same against a large reference, or the halves; dearer, and no rival needs them."""
    power: int
    """A cell with a change."""
    trees: bool
    """Boosted trees too: they cost more than all others together."""
    seed: int = SEED


FULL = Plan(clean=5_000, large=5_000, power=500, trees=True)
QUICK = Plan(clean=400, large=100, power=75, trees=False)


@dataclass(frozen=True)
class Chunk:
    """Some windows of one cell of the table; the unit of work and of what is kept."""

    scenario: str
    n: int
    n_reference: int
    first: int
    count: int
    seed: int
    trees: bool

    @property
    def key(self) -> str:
        """Name of the chunk in the file of finished ones."""
        return f"{self.scenario}|{self.n}|{self.n_reference}|{self.first}|{self.count}|{self.seed}"


def chunks(plan: Plan) -> list[Chunk]:
    """List the work, every cell in step, so that a run that is stopped has some of each."""
    cells = [(CLEAN, n, REFERENCE, plan.clean) for n in SIZES]
    cells += [(CLEAN, n, LARGE_REFERENCE, plan.large) for n in SIZES]
    cells.append((HALVES, 152, 151, plan.large))
    cells += [(s.name, n, REFERENCE, plan.power) for n in SIZES for s in SCENARIOS]
    found = [
        Chunk(name, n, m, first, min(CHUNK, windows - first), plan.seed, plan.trees)
        for name, n, m, windows in cells
        for first in range(0, windows, CHUNK)
    ]
    # By the share of its cell that a chunk begins at; the sort keeps the cells' order.
    wanted = {(name, n, m): windows for name, n, m, windows in cells}
    return sorted(found, key=lambda c: c.first / wanted[c.scenario, c.n, c.n_reference])


def measure(chunk: Chunk) -> list[Record]:
    """Draw the windows of a chunk and test each; the same windows whatever else runs."""
    patients = read(HEART_CSV)
    if patients.features is None or patients.disease is None:
        raise DataError(f"{HEART_CSV.name} has no coding or no label")
    source = Source(patients.features.to_numpy(float), patients.disease.to_numpy(float))
    with threadpool_limits(1):
        return [_window(chunk, i, source) for i in range(chunk.first, chunk.first + chunk.count)]


def _window(chunk: Chunk, index: int, source: Source) -> Record:
    name = sum(chunk.scenario.encode())  # the same windows when scenarios are added
    random = np.random.default_rng([chunk.seed, name, chunk.n, chunk.n_reference, index])
    if chunk.scenario == HALVES:
        order = random.permutation(len(source.rows))
        reference, current = source.rows[order[:151]], source.rows[order[151:]]
    else:
        reference = source.draw(chunk.n_reference, random)
        current = by_name(chunk.scenario).draw(source, chunk.n, random)
    result = compare(reference, current, seed=index)
    rivals: dict[str, float] = {}
    if chunk.n_reference == REFERENCE:
        trees = chunk.trees and index % TREES_EVERY == 0
        rivals = rival_statistics(reference, current, random, trees=trees)
    pairs = tuple((pair.a, pair.b) for pair in result.pairs if pair.drift)
    return Record(result.drift, result.p_value, result.drifted, pairs, rivals)


def main() -> int:
    """Run the calibration from the command line."""
    arguments = _arguments()
    plan = QUICK if arguments.quick else FULL
    work = chunks(plan)
    store = Path(arguments.keep) if arguments.keep else HEART_CSV.parent.parent / "var"
    path = store / f"calibrate-{'quick' if arguments.quick else 'full'}-{plan.seed}.jsonl"
    try:
        done = _kept(path) if not arguments.fresh else {}
        if arguments.fresh:
            path.unlink(missing_ok=True)
        _run([c for c in work if c.key not in done], done, path, arguments)
        if not any(c.key in done for c in work):
            print("calibrate: nothing was measured; give it more minutes", file=sys.stderr)
            return 1
        records = [(c, done[c.key]) for c in work if c.key in done]
        summary = summarise(
            [(c.scenario, c.n, c.n_reference, r) for c, rs in records for r in rs], asdict(plan)
        )
        if not arguments.dry:
            RESULT.write_text(json.dumps(summary, indent=1) + "\n")
            write_tables(DOCS, summary)
    except (DataError, OSError) as error:
        print(f"calibrate: {error}", file=sys.stderr)
        return 1
    for line in summary["targets"]:
        print(f"{'met   ' if line['met'] else 'MISSED'} {line['text']}")
    return 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m pipeline.calibrate", description=(__doc__ or "").splitlines()[0]
    )
    parser.add_argument("--quick", action="store_true", help="fewer windows, no boosted trees")
    parser.add_argument("--minutes", type=float, help="stop then, and report what there is")
    parser.add_argument("--processes", type=int, default=2, help="at once (default: 2)")
    parser.add_argument("--fresh", action="store_true", help="forget what an earlier run measured")
    parser.add_argument("--dry", action="store_true", help="print only, write no tables")
    parser.add_argument("--keep", metavar="FOLDER", help="of finished chunks (default: var)")
    return parser.parse_args()


def _kept(path: Path) -> dict[str, list[Record]]:
    """Read the finished chunks; a line that a kill cut off is measured again."""
    found: dict[str, list[Record]] = {}
    if not path.exists():
        return found
    for line in path.read_text().splitlines():
        try:
            kept = json.loads(line)
        except json.JSONDecodeError:
            continue
        found[kept["key"]] = [Record.from_list(values) for values in kept["records"]]
    return found


def _run(
    work: list[Chunk], done: dict[str, list[Record]], path: Path, arguments: argparse.Namespace
) -> None:
    """Measure the chunks in processes of their own, writing each down when it is finished."""
    started, already = time.monotonic(), len(done)
    os.environ["OPENBLAS_NUM_THREADS"] = "1"  # read when a worker imports numpy
    path.parent.mkdir(parents=True, exist_ok=True)
    rest: Iterator[Chunk] = iter(work)
    with ProcessPoolExecutor(arguments.processes) as pool, path.open("a") as file:
        running = {pool.submit(measure, c): c for c in islice(rest, arguments.processes)}
        while running:
            finished, _ = wait(running, return_when=FIRST_COMPLETED)
            for future in finished:
                chunk = running.pop(future)
                records = future.result()
                done[chunk.key] = records
                kept = {"key": chunk.key, "records": [r.to_list() for r in records]}
                file.write(json.dumps(kept) + "\n")
                file.flush()
                late = arguments.minutes and time.monotonic() - started > 60 * arguments.minutes
                following = None if late else next(rest, None)
                if following is not None:
                    running[pool.submit(measure, following)] = following
            _progress(len(done) - already, len(work), time.monotonic() - started)
    print(file=sys.stderr)


def _progress(done: int, of: int, seconds: float) -> None:
    """Draw the bar; all cells go in step, so that the first chunks tell how long it takes."""
    filled = int(30 * done / of)
    left = seconds / done * (of - done) / 60
    bar = "#" * filled + "." * (30 - filled)
    print(
        f"\rcalibrate: [{bar}] {done} of {of} chunks, about {left:.0f} min left ",
        end="",
        file=sys.stderr,
        flush=True,
    )


if __name__ == "__main__":
    sys.exit(main())
