"""Kill the API under load and look for acknowledged rows that are not stored."""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import click
import numpy as np
import uvloop

from db.audit.seal_key import create_seal_key, load_key
from db.migrate import migrate
from db.reader.queries import Reader
from db.verify import format_result, verify_log
from errors import NO
from perf.load.closed_loop_client import ClosedLoopClient
from perf.load.http_client import encode_requests, prediction_id
from perf.load.request_bodies import write_bodies
from perf.load.scratch import require_scratch_database, scratch_folder, start_service
from perf.load.server_process import Server

_SHORTEST_S, _LONGEST_S = 0.3, 1.0
"""Range of the random time of the kill, so that it hits every phase of a commit."""


@dataclass
class CrashCounts:
    """The requests of one kill, or of all, by what became of them.

    Attributes
    ----------
    acknowledged
        Answered with 200.
    missing
        Acknowledged, but not in the log: must be 0.
    unanswered
        In the log, but not acknowledged: the service ended between commit and answer.
    refused
        Answered with anything but 200.
    interrupted
        In flight at the end and not in the log either.
    """

    acknowledged: int = 0
    missing: int = 0
    unanswered: int = 0
    refused: int = 0
    interrupted: int = 0
    seconds: float = 0.0
    bad_exits: int = 0

    def add(self, other: CrashCounts) -> None:
        """Add another kill's numbers."""
        for name, value in vars(other).items():
            setattr(self, name, getattr(self, name) + value)


async def _kill_under_load(
    server: Server, client: ClosedLoopClient, connections: int, seconds: float, gently: bool
) -> None:
    load = asyncio.create_task(client.run(server.port, connections))
    await asyncio.sleep(seconds)
    server.terminate() if gently else server.kill()
    await asyncio.wait_for(load, 60)


def kill_once(
    server: Server, database: str, requests: Sequence[bytes], connections: int, gently: bool
) -> CrashCounts:
    """Kill a service under load and compare what it acknowledged with what is stored."""
    since = datetime.now(UTC)
    seconds = float(np.random.default_rng().uniform(_SHORTEST_S, _LONGEST_S))
    acknowledged: set[str] = set()

    def keep_id(status: int, body: bytes) -> None:
        if status == 200:
            acknowledged.add(prediction_id(body))

    client = ClosedLoopClient(requests, on_answer=keep_id)
    began = time.monotonic()
    uvloop.run(_kill_under_load(server, client, connections, seconds, gently))
    elapsed = time.monotonic() - began
    bad_exit = gently and server.exit_code() != 0
    with closing(Reader(database)) as reader:
        stored = {row["id"] for row in reader.stream(since=since, source="load-test")}
    unanswered = len(stored - acknowledged)
    return CrashCounts(
        acknowledged=len(acknowledged), missing=len(acknowledged - stored),
        unanswered=unanswered, refused=client.statuses.total() - client.statuses[200],
        interrupted=client.lost - unanswered, seconds=elapsed, bad_exits=int(bad_exit),
    )  # fmt: skip


def crash(
    database: str,
    requests: Sequence[bytes],
    kills: int,
    connections: int,
    gently: bool,
    **service: Any,
) -> CrashCounts:
    """Start the service, with the options of `start_service`, load it and kill it, repeatedly."""
    total = CrashCounts()
    for number in range(1, kills + 1):
        with start_service(database, **service) as server:
            total.add(kill_once(server, database, requests, connections, gently))
        if total.missing or number % 10 == 0 or number == kills:
            print(
                f"SIG{'TERM' if gently else 'KILL'} {number} of {kills}: {line(total)}", flush=True
            )
    return total


def line(counts: CrashCounts) -> str:
    """Return the counts in one line."""
    per_s = counts.acknowledged / counts.seconds
    return (
        f"{counts.acknowledged:,} acknowledged ({per_s:,.0f} a second), "
        f"{counts.missing} of them missing, {counts.unanswered} stored but not acknowledged, "
        f"{counts.refused} rejected, {counts.interrupted} interrupted and not stored"
    )


def failed(counts: CrashCounts, gently: bool) -> bool:
    """Return whether a promise was broken: a missing row, or a failed request after SIGTERM."""
    broken = counts.unanswered + counts.refused + counts.bad_exits if gently else 0
    return bool(counts.missing or broken or not counts.acknowledged)


def _chain_is_whole(database: str) -> bool:
    """Verify the seals of everything stored and print the result."""
    key = load_key(database, None)
    assert key is not None  # noqa: S101 - made beside the scratch file
    verdict = verify_log(database, key, ())
    print("\n".join(format_result(verdict, with_heads=False)[:1]), flush=True)
    return not verdict.findings


@click.command("crash")
@click.option(
    "--kills", type=click.IntRange(1), default=5, show_default=True, help="How often to kill."
)
@click.option(
    "--signal",
    type=click.Choice(["KILL", "TERM"]),
    default="KILL",
    show_default=True,
    help="How to end the API.",
)
@click.option("--database", help="URL of an empty PostgreSQL; default: a scratch SQLite file.")
@click.option("--workers", default=1, show_default=True, help="Processes of the API.")
@click.option("--connections", default=64, show_default=True, help="Requests in flight.")
def command(kills: int, signal: str, database: str | None, workers: int, connections: int) -> int:
    """Kill the API under load and count what is missing.

    KILL ends every process of the API at once: each row that was acknowledged must be in the log.
    TERM stops it as a cluster does in every rollout: each accepted request must also be answered
    with a 200. Exits with 1 otherwise. Neither is a power failure: what survives that is up to the
    database (synchronous=FULL, fsync) and is not measured here.
    """
    gently = signal == "TERM"
    with scratch_folder() as folder:
        url = database or f"sqlite:///{folder}/log.db"
        create_seal_key(folder / "log.db.key")
        migrate(url, lambda _: None)
        require_scratch_database(url)
        requests = encode_requests(write_bodies(folder / "bodies.jsonl"))
        total = crash(url, requests, kills, connections, gently, api_workers=workers)
        whole = database is not None or _chain_is_whole(url)
    return 0 if whole and not failed(total, gently) else NO


if __name__ == "__main__":
    from cardiowatch import deprecated

    sys.exit(deprecated("measure", "crash"))
