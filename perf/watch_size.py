"""Measure drift and monitoring over large logs: `python -m perf.watch_size --rows 10000 1000000`.

For each size it fills a scratch log with thirty days, rolls it up with the rollup worker and, in a
separate process, reads the window, computes a drift verdict and a whole monitoring run. Prints a
table row for each size: CPU seconds, median of five, and the process's peak memory.
"""

from __future__ import annotations

import argparse
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import closing
from datetime import UTC, datetime, timedelta
from itertools import islice
from pathlib import Path
from statistics import median
from typing import TypeVar

from db.audit.seals import NO_SEAL
from db.engine import DatabaseUnavailable, open_engine, transaction
from db.migrate import migrate
from db.reader.queries import Reader
from db.rollups.dirty_buckets import DirtyBuckets
from db.writer.inserts import prediction_inserter
from pipeline import drift
from pipeline.model import ModelError, load
from pipeline.monitoring.monitoring_run import Window, run
from pipeline.monitoring.schedule import load_reference
from pipeline.schema import NAMES
from settings import SettingsError, load_settings

REPEATS = 5
PER_TRANSACTION = 100_000  # rows; nothing waits for these commits
TABLE_HEADER = """\
| rows logged | in the window | counts | sample | verdict | total | monitoring run | peak memory |
|---:|---:|---:|---:|---:|---:|---:|---:|"""

Result = TypeVar("Result")


def fill(url: str, number: int) -> None:
    """Write a history with the log's own INSERT and marks, many rows in a transaction."""
    # Imported here, because it brings the writer, which must not be in the memory measured.
    from perf.load.log_history import history_rows

    engine = open_engine(url)
    insert, marks, history = prediction_inserter(engine), DirtyBuckets(), history_rows(number)
    while part := list(islice(history, PER_TRANSACTION)):
        with transaction(engine) as connection:
            insert(connection, part, [NO_SEAL] * len(part))
            marks.mark_rows(connection, part)
    engine.dispose()


def prepare(url: str, number: int) -> None:
    """Write a log of a given size, roll it up and print how long that took."""
    from perf.load.log_history import roll_up

    migrate(url, lambda _: None)
    began = time.perf_counter()
    fill(url, number)
    filled = time.perf_counter() - began
    buckets, seconds = roll_up(url)
    print(
        f"{number:,} rows written in {filled:,.0f} s, {buckets:,} buckets rolled up in"
        f" {seconds:,.0f} s",
        file=sys.stderr,
        flush=True,
    )


def timed(work: Callable[[], Result]) -> tuple[Result, float]:
    """Return the result of `work` and the median CPU seconds of `REPEATS` runs after a warm-up."""
    result, seconds = work(), []
    for _ in range(REPEATS):
        began = time.process_time()
        work()
        seconds.append(time.process_time() - began)
    return result, median(seconds)


def measure(url: str, number: int) -> str:
    """Time a verdict and a monitoring run over the last 29 days of a log; return a table row."""
    folder = load_settings().model_dir
    model = load(folder)
    reference = load_reference(model, folder)
    until = datetime.now(UTC).replace(minute=0, second=0, microsecond=0) - timedelta(hours=2)
    since = until - timedelta(days=29)
    with closing(Reader(url)) as reader:
        counts, counted = timed(lambda: reader.counts(since=since, until=until, source="live"))
        rows, sampled = timed(
            lambda: reader.sample(since=since, until=until, source="live", n=counts.n)
        )
        values = [row[1 : 1 + len(NAMES)] for row in rows]
        _, judged = timed(
            lambda: drift.compare_counts(
                reference.counts, counts.values, reference_sample=reference.rows, sample=values
            )
        )
        of_verdict = _peak()
        _, passed = timed(lambda: run(reader, Window("live", since, until), model, reference))
    return (
        f"| {number:,} | {counts.n:,} | {counted:.3f} s | {sampled:.3f} s | {judged:.3f} s |"
        f" **{counted + sampled + judged:.2f} s** | {passed:.2f} s |"
        f" {of_verdict:.0f} MB; {_peak():.0f} MB with the run |"
    )


def _peak() -> float:
    """Return the most memory that this process has held, in MB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def _measured_apart(url: str, number: int) -> int:
    command = [sys.executable, "-m", "perf.watch_size", "--rows", str(number), "--measure", url]
    return subprocess.run(command, check=False).returncode  # noqa: S603 - ourselves


def main() -> int:
    """Measure; return the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m perf.watch_size", description=(__doc__ or "").splitlines()[0]
    )
    parser.add_argument(
        "--rows", type=int, nargs="+", default=[10_000, 1_000_000], help="sizes of the logs"
    )
    parser.add_argument("--keep", metavar="FOLDER", help="keep the logs there and reuse them")
    parser.add_argument("--measure", metavar="URL", help=argparse.SUPPRESS)
    options = parser.parse_args()
    try:
        if options.measure:
            print(measure(options.measure, options.rows[0]), flush=True)
            return 0
        with tempfile.TemporaryDirectory() as scratch:
            logs = {n: Path(options.keep or scratch) / f"log-{n}.db" for n in options.rows}
            for number, file in logs.items():
                if not file.exists():
                    prepare(f"sqlite:///{file}", number)
            print(TABLE_HEADER, flush=True)
            return max(_measured_apart(f"sqlite:///{file}", n) for n, file in logs.items())
    except (DatabaseUnavailable, ModelError, SettingsError) as error:
        print(error, file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
