"""Measure a monitoring pass over a large log: `python -m perf.watch_size --rows 1000000`.

Writes a history of thirty days through the log's own writer, rolls it up, and makes one pass over
all of it in a process of its own. Prints CPU seconds of each part, and the peak memory.
"""

from __future__ import annotations

import argparse
import asyncio
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TypeVar

from db.engine import DatabaseUnavailable
from db.log import LogTaken, LogUnavailable
from db.migrate import migrate
from db.queries import Reader
from perf.log_size import DAYS, roll_up, write
from pipeline import drift
from pipeline.model import ModelError, load
from pipeline.monitor import training
from pipeline.passes import Window, look
from pipeline.schema import NAMES
from settings import SettingsError, load_settings

T = TypeVar("T")


def timed(what: str, work: Callable[[], T]) -> T:
    """Do it twice, print the CPU seconds of the second time, return what it gave."""
    work()
    began = time.process_time()
    result = work()
    print(f"{what}: {time.process_time() - began:.3f} s of CPU", flush=True)
    return result


def measure(url: str) -> None:
    """Time the parts of a pass over the last thirty days."""
    folder = load_settings().model_dir
    model = load(folder)
    trained = training(model, folder)
    until = datetime.now(UTC).replace(minute=0, second=0, microsecond=0) - timedelta(hours=2)
    since = until - timedelta(days=DAYS - 1)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with closing(Reader(url)) as reader:
        counts = timed("counts", lambda: reader.counts(since=since, until=until, source="live"))
        print(f"{counts.n:,} rows in the window, {'exact' if counts.exact else 'a sample'}")
        rows = timed(
            "sample", lambda: reader.sample(since=since, until=until, source="live", n=counts.n)
        )
        values = [row[1 : 1 + len(NAMES)] for row in rows]
        timed(
            "drift verdict on counts, sample in hand",
            lambda: drift.compare_counts(
                trained.counts, counts.values, reference_sample=trained.rows, sample=values
            ),
        )
        timed(
            "drift verdict on counts alone",
            lambda: drift.compare_counts(trained.counts, counts.values),
        )
        timed("whole pass", lambda: look(reader, Window("live", since, until), model, trained))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    print(f"peak memory {peak / 1024:,.0f} MB, {(peak - before) / 1024:,.0f} MB of it for the pass")


def main() -> int:
    """Measure; return the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m perf.watch_size", description=(__doc__ or "").splitlines()[0]
    )
    parser.add_argument("--rows", type=int, default=1_000_000, help="to write; 0 = as it is")
    parser.add_argument("--database", help="URL of a scratch database; default: a temporary file")
    parser.add_argument("--measure", metavar="URL", help=argparse.SUPPRESS)
    options = parser.parse_args()
    try:
        if options.measure:
            measure(options.measure)
            return 0
        with tempfile.TemporaryDirectory() as folder:
            url = options.database or f"sqlite:///{Path(folder) / 'log.db'}"
            migrate(url, lambda _: None)
            if options.rows:
                asyncio.run(write(url, options.rows))
            buckets, seconds = roll_up(url)
            print(f"{buckets:,} buckets rolled up in {seconds:,.0f} s", flush=True)
            command = [sys.executable, "-m", "perf.watch_size", "--measure", url]
            return subprocess.run(command, check=False).returncode  # noqa: S603 - ourselves
    except (
        DatabaseUnavailable, LogTaken, LogUnavailable, ModelError, SettingsError
    ) as error:  # fmt: skip
        print(error, file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
