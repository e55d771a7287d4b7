"""What a prediction costs on PostgreSQL: CPU of service and database, commits, bytes.

`python -m perf.footprint` starts one process of the service on its own PostgreSQL, with fsync on,
and sends requests over 1, 16, 64 and 256 connections. Rows that arrive together share a commit, so
more concurrency means fewer commits per row. docs/capacity.md uses the results.
"""

from __future__ import annotations

import argparse
import signal
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple

import uvloop

from db.engine import DatabaseUnavailable
from db.migrate import migrate
from perf.chaos.postgres_cluster import Cluster, PostgresNotFound
from perf.load.closed_loop_client import ClosedLoopClient
from perf.load.http_client import encode_requests
from perf.load.request_bodies import write_bodies
from perf.load.server_process import Server, ServerFailed, pin_to_cores, split_cores
from settings import SettingsError, load_settings

_CONNECTIONS = (1, 16, 64, 256)
_PROBE = (
    "SELECT pg_current_xact_id()::text::bigint, pg_current_wal_lsn() - '0/0',"
    " (SELECT sum(pg_total_relation_size(relid)) FROM pg_partition_tree('predictions')),"
    " pg_database_size(current_database())"
)


class Meter(NamedTuple):
    """The totals at one moment; CPU in seconds, sizes in bytes."""

    service_s: float
    database_s: float
    commits: int
    wal: int
    table: int
    everything: int

    @classmethod
    def read(cls, server: Server, cluster: Cluster, database: str) -> Meter:
        """Read the totals; the reading itself is one transaction."""
        numbers = [int(cell) for cell in cluster.query(database, _PROBE).split("|")]
        service_s = server.cpu_s()
        if service_s is None:
            raise ServerFailed("the CPU of a process can be read on Linux only")
        return cls(service_s, cluster.cpu_s(), *numbers)


def measure(
    server: Server, cluster: Cluster, database: str, requests: list[bytes], number: int
) -> str:
    """Send requests over each number of connections; return a Markdown table."""
    lines = [
        "| connections | service CPU us | PostgreSQL CPU us | requests per commit | WAL bytes |",
        "| ---: | ---: | ---: | ---: | ---: |",
    ]
    first = Meter.read(server, cluster, database)
    for connections in _CONNECTIONS:
        server.wait_until_idle()
        before = Meter.read(server, cluster, database)
        client = ClosedLoopClient(requests, number)
        with pin_to_cores(split_cores()[1]):
            uvloop.run(client.run(server.port, connections))
        client.require(200)
        after = Meter.read(server, cluster, database)
        spent = [b - a for a, b in zip(before, after, strict=True)]
        lines.append(
            f"| {connections} | {1e6 * spent[0] / number:.0f} | {1e6 * spent[1] / number:.0f} "
            f"| {number / max(spent[2], 1):.1f} | {spent[3] / number:,.0f} |"
        )
        print(lines[-1], file=sys.stderr)
    rows, last = number * len(_CONNECTIONS), Meter.read(server, cluster, database)
    table, everything = last.table - first.table, last.everything - first.everything
    return "\n".join(
        [
            *lines,
            "",
            f"Stored for each of {rows:,} rows: {table / rows:,.0f} bytes in `predictions` and its "
            f"indexes, {everything / rows:,.0f} in the whole database.",
        ]
    )


def run(number: int) -> str:
    """Start a database and the service, measure, and return the table."""
    with ExitStack() as stack:
        cluster = stack.enter_context(Cluster())
        database = cluster.new_database()
        migrate(cluster.url(database), lambda _: None)
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        requests = encode_requests(write_bodies(folder / "bodies.jsonl"))
        server = stack.enter_context(
            Server(("-m", "api"), health="/readyz", on=split_cores()[0],
                   database_url=cluster.url(database), model_dir=load_settings().model_dir,
                   log_timeout_s=10)
        )  # fmt: skip
        uvloop.run(ClosedLoopClient(requests, 500).run(server.port, 16))  # warm-up
        return measure(server, cluster, database, requests, number)


def main() -> int:
    """Measure; return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m perf.footprint", description=__doc__)
    parser.add_argument("--requests", type=int, default=10_000, help="per row of the table")
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that everything started is stopped
    try:
        print(run(options.requests))
    except KeyboardInterrupt:
        return 1
    except (ServerFailed, SettingsError, DatabaseUnavailable, PostgresNotFound, OSError) as error:
        print(f"The footprint cannot be measured: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
