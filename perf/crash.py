"""Kills the service under load, repeatedly, and looks for acknowledged rows that are not stored.

`--signal KILL` (the default) ends every process of the service at once: each row that was
acknowledged must be in the log. `--signal TERM` stops it as a cluster does in every rollout: each
accepted request must also be answered with a 200. Neither is a power failure: what survives that is
up to the database (`synchronous=FULL`, `fsync`) and is not measured here.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import time
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime

import numpy as np
import uvloop

from db.audit.seal_key import create_seal_key, load_key
from db.migrate import migrate
from db.reader.queries import Reader
from db.verify import format_result, verify_log
from perf.load.closed_loop_client import ClosedLoopClient
from perf.load.http_client import encode_requests, prediction_id
from perf.load.program import require_scratch_database, run_program, scratch_folder, start_service
from perf.load.request_bodies import write_bodies
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
    server: Server, database: str, requests: Sequence[bytes], options: argparse.Namespace
) -> CrashCounts:
    """Kill a service under load and compare what it acknowledged with what is stored."""
    since = datetime.now(UTC)
    gently = options.signal == "TERM"
    seconds = float(np.random.default_rng().uniform(_SHORTEST_S, _LONGEST_S))
    acknowledged: set[str] = set()

    def keep_id(status: int, body: bytes) -> None:
        if status == 200:
            acknowledged.add(prediction_id(body))

    client = ClosedLoopClient(requests, on_answer=keep_id)
    began = time.monotonic()
    uvloop.run(_kill_under_load(server, client, options.connections, seconds, gently))
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
    database: str, options: argparse.Namespace, requests: Sequence[bytes], *, service: str = "api"
) -> CrashCounts:
    """Start the service, load it and kill it, `--kills` times."""
    total = CrashCounts()
    for number in range(1, options.kills + 1):
        with start_service(database, module=service, api_workers=options.workers) as server:
            total.add(kill_once(server, database, requests, options))
        if total.missing or number % 10 == 0 or number == options.kills:
            print(f"SIG{options.signal} {number} of {options.kills}: {line(total)}", flush=True)
    return total


def line(counts: CrashCounts) -> str:
    """Return the counts in one line."""
    per_s = counts.acknowledged / counts.seconds
    return (
        f"{counts.acknowledged:,} acknowledged ({per_s:,.0f} a second), "
        f"{counts.missing} of them missing, {counts.unanswered} stored but not acknowledged, "
        f"{counts.refused} rejected, {counts.interrupted} interrupted and not stored"
    )


def failed(counts: CrashCounts, signal: str) -> bool:
    """Return whether a promise was broken: a missing row, or a failed request after SIGTERM."""
    broken = counts.unanswered + counts.refused + counts.bad_exits if signal == "TERM" else 0
    return bool(counts.missing or broken or not counts.acknowledged)


def _chain_is_whole(database: str) -> bool:
    """Verify the seals of everything stored and print the result."""
    key = load_key(database, None)
    assert key is not None  # noqa: S101 - made beside the scratch file
    verdict = verify_log(database, key, ())
    print("\n".join(format_result(verdict, with_heads=False)[:1]), flush=True)
    return not verdict.findings


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m perf.crash", description=__doc__)
    parser.add_argument("--kills", type=int, default=5, metavar="N")
    parser.add_argument("--signal", choices=["KILL", "TERM"], default="KILL")
    parser.add_argument("--database", metavar="URL", help="an empty PostgreSQL; default: SQLite")
    parser.add_argument("--workers", type=int, default=1, help="processes of the API")
    parser.add_argument("--connections", type=int, default=64)
    options = parser.parse_args()
    if options.kills < 1:
        parser.error("--kills must be at least 1")
    return options


def _measure(options: argparse.Namespace) -> int:
    with scratch_folder() as folder:
        database = options.database or f"sqlite:///{folder}/log.db"
        create_seal_key(folder / "log.db.key")
        migrate(database, lambda _: None)
        require_scratch_database(database)
        requests = encode_requests(write_bodies(folder / "bodies.jsonl"))
        total = crash(database, options, requests)
        whole = options.database is not None or _chain_is_whole(database)
    return 0 if whole and not failed(total, options.signal) else 1


def main() -> int:
    """Kill; return 0 only if nothing acknowledged is missing."""
    options = _parse()
    return run_program(lambda: _measure(options), "The crash test cannot run")


if __name__ == "__main__":
    sys.exit(main())
