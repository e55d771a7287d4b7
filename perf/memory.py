"""Memory over many requests, and the time to ready: `cardiowatch measure memory`. Linux only."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import click
import uvloop

from perf.load.http_client import encode_requests
from perf.load.open_loop_client import send_all
from perf.load.postgres_cluster import Cluster
from perf.load.request_bodies import write_bodies
from perf.load.scratch import PromiseBroken, scratch_folder, start_service
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
        uvloop.run(send_all(server.port, bodies, until - done, 64))
        done = until
        yield sample(server, done)


def growth_mb(samples: Sequence[Sample]) -> float:
    """Return how much the largest process grew in the second half of the requests, MB."""
    half = next(s for s in samples if s.requests >= samples[-1].requests / 2)
    return samples[-1].rss_mb[0] - half.rss_mb[0]


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


@click.command("memory")
@click.option(
    "--requests", type=click.IntRange(100), default=1_000_000, show_default=True, help="How many."
)
@click.option(
    "--workers", default=1, show_default=True, help="More than one starts a PostgreSQL server."
)
@click.option("--starts", default=10, show_default=True, help="Timed starts.")
def command(requests: int, workers: int, starts: int) -> None:
    """Measure the memory of the API over a million requests.

    RSS of every process, and PSS, which divides shared pages among processes; then the time from
    start to ready, which depends on the machine and is only shown. Exits with 1 above 120 MB per
    worker, or if the second half of the requests adds more than 2 MB. Linux only.
    """
    broken = []
    with scratch_folder() as folder, database(folder, workers) as url:
        bodies = encode_requests(write_bodies(folder / "bodies.jsonl"))
        samples = []
        with start_service(url, api_workers=workers) as server:
            print(
                "| requests | largest process, RSS MB | its PSS MB | processes | PSS of all, MB |"
            )
            print("|---:|---:|---:|---:|---:|", flush=True)
            for found in memory_by_requests(server, bodies, requests):
                samples.append(found)
                print(line(found), flush=True)
        ready, cpu = [], []
        for _ in range(starts):
            with start_service(url, api_workers=workers) as server:
                ready.append(server.start_s)
                cpu.append(server.cpu_s() or 0.0)
    added, most = growth_mb(samples), max(found.rss_mb[0] for found in samples)
    print(f"\nThe second half of the requests added {added:+.1f} MB; at most {most:.1f} MB.")
    if starts:
        print(f"Ready after {median(ready):.2f} s, median of {starts} "
              f"({min(ready):.2f}-{max(ready):.2f}), {median(cpu):.2f} s of CPU.")  # fmt: skip
    if most > MAX_MB:
        broken.append(f"{most:.1f} MB is more than {MAX_MB:g}")
    if added > MAX_GROWTH_MB:
        broken.append(f"{added:.1f} MB growth is more than {MAX_GROWTH_MB:g}")
    if broken:
        raise PromiseBroken(broken)
