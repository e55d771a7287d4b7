"""Memory over a million requests, and the time from start to ready.

Starts the service on a scratch database, sends a number of requests and reads the memory of every
process: RSS, and PSS, which divides shared pages among processes. Then starts it repeatedly and
waits for `/readyz`. Promised: at most 120 MB per worker, without growth. Exits with 1 otherwise;
the time to ready depends on the machine and is only shown. Linux only.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import numpy as np
import uvloop

from perf.chaos.postgres_cluster import Cluster
from perf.load.closed_loop_client import ClosedLoopClient
from perf.load.http_client import encode_requests
from perf.load.program import exit_code, run_program, scratch_folder, start_service
from perf.load.request_bodies import write_bodies
from perf.load.server_process import Server

MAX_MB = 120.0
MAX_GROWTH_MB = 2.0
"""Allowed in the second half of the requests; the first fills caches and counts a bucket."""

_STEPS = (0.01, 0.02, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0)


@dataclass(frozen=True)
class Sample:
    """Memory of the service's processes after a number of requests, MB, largest RSS first."""

    requests: int
    rss_mb: Sequence[float]
    pss_mb: Sequence[float]


def sample(server: Server, requests: int) -> Sample:
    """Return the memory of every process of a service."""
    held = []
    for process in server.processes():
        lines = Path(f"/proc/{process}/smaps_rollup").read_text().splitlines()[1:]
        kb = {line.split(":")[0]: int(line.split()[1]) for line in lines}
        held.append((kb["Rss"] * 1024 / 1e6, kb["Pss"] * 1024 / 1e6))
    held.sort(reverse=True)
    return Sample(requests, [rss for rss, _ in held], [pss for _, pss in held])


def memory_by_requests(server: Server, bodies: Sequence[bytes], total: int) -> Iterator[Sample]:
    """Send requests; yield a sample before the first one and at each step.

    Raises
    ------
    ServerFailed
        A request was not answered with 200.
    """
    yield sample(server, 0)
    done = 0
    for until in [round(share * total) for share in _STEPS]:
        client = ClosedLoopClient(bodies, until - done)
        uvloop.run(client.run(server.port, 64))
        client.require(200)
        done = until
        yield sample(server, done)


def growth_mb(samples: Sequence[Sample]) -> float:
    """Return how much the largest process grew in the second half of the requests, MB."""
    return samples[-1].rss_mb[0] - _second_half(samples)[0].rss_mb[0]


def slope_mb(samples: Sequence[Sample]) -> float:
    """Return the growth per million requests, MB: a line fitted to the second half."""
    late = _second_half(samples)
    x, y = [s.requests / 1e6 for s in late], [s.rss_mb[0] for s in late]
    return float(np.polyfit(x, y, 1)[0])


def _second_half(samples: Sequence[Sample]) -> list[Sample]:
    return [s for s in samples if s.requests >= samples[-1].requests / 2]


def line(found: Sample) -> str:
    """Return a row of the Markdown table."""
    return (
        f"| {found.requests:,} | {found.rss_mb[0]:.1f} | {found.pss_mb[0]:.1f} "
        f"| {len(found.rss_mb)} | {sum(found.pss_mb):.1f} |"
    )


@contextmanager
def database(folder: Path, workers: int) -> Iterator[str]:
    """Yield a scratch database: SQLite for one worker, our own PostgreSQL for several."""
    if workers == 1:
        yield f"sqlite:///{folder}/log.db"
        return
    with Cluster() as cluster:
        yield cluster.url(cluster.new_database())


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m perf.memory", description=__doc__)
    parser.add_argument("--requests", type=int, default=1_000_000, metavar="N")
    parser.add_argument("--workers", type=int, default=1, help="more than one needs PostgreSQL")
    parser.add_argument("--starts", type=int, default=10, help="number of timed starts; 0 = none")
    options = parser.parse_args()
    if options.requests < 100:
        parser.error("--requests must be at least 100")
    return options


def measure(options: argparse.Namespace) -> list[str]:
    """Measure, print, and return the broken promises."""
    broken = []
    with scratch_folder() as folder, database(folder, options.workers) as url:
        bodies = encode_requests(write_bodies(folder / "bodies.jsonl"))
        samples = []
        with start_service(url, api_workers=options.workers) as server:
            print(
                "| requests | largest process, RSS MB | its PSS MB | processes | PSS of all, MB |"
            )
            print("|---:|---:|---:|---:|---:|", flush=True)
            for found in memory_by_requests(server, bodies, options.requests):
                samples.append(found)
                print(line(found), flush=True)
        starts, cpu = [], []
        for _ in range(options.starts):
            with start_service(url, api_workers=options.workers) as server:
                starts.append(server.start_s)
                cpu.append(server.cpu_s() or 0.0)
    added, most = growth_mb(samples), max(found.rss_mb[0] for found in samples)
    print(f"\nThe second half of the requests added {added:+.1f} MB, {slope_mb(samples):+.2f} MB "
          f"per million requests; at most {most:.1f} MB.")  # fmt: skip
    if starts:
        print(f"Ready after {median(starts):.2f} s, median of {len(starts)} "
              f"({min(starts):.2f}-{max(starts):.2f}), {median(cpu):.2f} s of CPU.")  # fmt: skip
    if most > MAX_MB:
        broken.append(f"{most:.1f} MB is more than {MAX_MB:g}")
    if added > MAX_GROWTH_MB:
        broken.append(f"{added:.1f} MB growth is more than {MAX_GROWTH_MB:g}")
    return broken


def main() -> int:
    """Measure; return 0 if the memory is small and does not grow."""
    options = _parse()
    return run_program(lambda: exit_code(measure(options)), "The memory cannot be measured")


if __name__ == "__main__":
    sys.exit(main())
