"""Do readers slow the writes? `python -m perf.reads --rows 10000000 --keep var/reads.db`.

Fills a log with 30 days of rows, starts the service on it, and calls /predict at a fixed rate from
another process: in turns alone and while a third process runs the queries of pages and monitoring
and streams a day, without pause. The service has its own core; client and readers share the other,
where the client has priority, because its wait for a core is not the service's latency. The rest of
that wait is in the latencies, and `late` says how much. Prints p50 and p99 of every turn and the
median ratio.
"""

from __future__ import annotations

import argparse
import asyncio
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from statistics import median

from db.engine import DatabaseUnavailable, open_engine, session
from db.migrate import migrate
from db.reader.queries import Reader
from db.writer.file_lock import LogLocked
from db.writer.writer import LogUnavailable
from perf.load.fixed_rate_client import run_fixed_rate
from perf.load.log_history import VERSION, dashboard_queries, roll_up, write_history
from perf.load.request_bodies import write_bodies
from perf.load.server_process import ROOT, Server, ServerFailed, pin_to_cores, split_cores
from pipeline.load_tests.benchmark import OpenLoop
from settings import load_settings


def read_forever(url: str) -> None:
    """Run the dashboard's queries and stream a day, without pause; print a dot per turn."""
    reader = Reader(url)
    while True:
        for question in dashboard_queries(reader).values():
            question()
        for _ in reader.stream(since=datetime.now(UTC) - timedelta(days=1)):
            pass
        print(".", flush=True)


@contextmanager
def readers(url: str) -> Iterator[subprocess.Popen[bytes]]:
    """Read without pause inside the block, on the clients' core, with lower priority."""
    command = ["nice", "-n", "19", sys.executable, "-m", "perf.reads", "--read", url]
    with pin_to_cores(split_cores()[1]):
        process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE)  # noqa: S603
    assert process.stdout is not None  # noqa: S101 - asked for
    try:
        process.stdout.read(1)  # after one turn everything is in the page cache
        yield process
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


def fill(url: str, rows: int) -> None:
    """Write and roll up a history, unless the file already has one of this size."""
    migrate(url, lambda _: None)
    with session(open_engine(url)) as connection:  # all of them: a reader stops counting
        held = connection.exec_driver_sql("SELECT count(*) FROM predictions").scalar() or 0
    reader = Reader(url)
    newest, _ = reader.page(limit=1, source="live")
    reader.close()
    if any(row["model_version"] != VERSION for row in newest):
        raise ServerFailed("the file holds real predictions; name a new one")
    if held < rows:
        began = time.perf_counter()
        asyncio.run(write_history(url, rows - held))
        roll_up(url)
        print(f"{rows:,} rows after {time.perf_counter() - began:,.0f} s", file=sys.stderr)


def line(name: str, found: OpenLoop) -> str:
    """Return one turn as a row of the table."""
    return (
        f"| {name} | {found.ok} | {found.failed + found.unanswered} | {found.p50_ms:.1f} "
        f"| {found.p99_ms:.1f} | {found.late_p99_ms:.1f} |"
    )


def measure(url: str, options: argparse.Namespace, folder: Path) -> None:
    """Take turns and print the table."""
    bodies = folder / "bodies.jsonl"
    write_bodies(bodies)
    ratios: dict[str, list[float]] = {"p50": [], "p99": []}
    print("| turn | answered | not | p50 ms | p99 ms | late p99 ms |")
    print("| --- | ---: | ---: | ---: | ---: | ---: |")
    model_dir = load_settings().model_dir
    with Server(
        ("-m", "api"), health="/readyz", on=split_cores()[0], database_url=url, model_dir=model_dir
    ) as server:
        run_fixed_rate(server, options.rate, 2, bodies)  # warm
        for _ in range(options.pairs):
            alone = run_fixed_rate(server, options.rate, options.seconds, bodies)
            print(line("alone", alone))
            with readers(url):
                beside = run_fixed_rate(server, options.rate, options.seconds, bodies)
            print(line("with readers", beside), flush=True)
            if None in (alone.p50_ms, beside.p50_ms, alone.p99_ms, beside.p99_ms):
                raise ServerFailed("no request was answered")
            ratios["p50"].append((beside.p50_ms or 0) / (alone.p50_ms or 1))
            ratios["p99"].append((beside.p99_ms or 0) / (alone.p99_ms or 1))
    for name, found in ratios.items():
        each = ", ".join(f"{ratio:.2f}" for ratio in found)
        print(f"\n{name} with readers / alone: median {median(found):.2f} ({each})")


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m perf.reads", description=__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000, help="rows in the log")
    parser.add_argument("--keep", type=Path, metavar="FILE", help="fill this file once and keep it")
    parser.add_argument("--rate", type=float, default=1000, help="requests per second")
    parser.add_argument("--seconds", type=float, default=20, help="per turn")
    parser.add_argument("--pairs", type=int, default=5, help="turns of each kind")
    parser.add_argument("--read", metavar="URL", help=argparse.SUPPRESS)
    return parser.parse_args()


def main() -> int:
    """Measure; return the exit code."""
    options = _parse()
    if options.read:
        read_forever(options.read)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that everything started is stopped
    try:
        with ExitStack() as stack:
            (ROOT / "var").mkdir(exist_ok=True)
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory(dir=ROOT / "var")))
            file = options.keep.resolve() if options.keep else folder / "log.db"
            url = f"sqlite:///{file}"
            fill(url, options.rows)
            measure(url, options, folder)
    except (ServerFailed, DatabaseUnavailable, LogLocked, LogUnavailable) as error:
        print(f"Nothing can be measured: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
