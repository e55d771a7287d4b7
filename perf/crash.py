"""Kills the service under load, again and again, and looks for answered rows that are not stored.

`--signal KILL` (the default) ends every process of the service at once: each row that was
acknowledged must be in the log. `--signal TERM` asks it to end, as a cluster does in every rollout:
each request that it accepted must moreover be answered with a 200. Neither cuts the power: what
survives that is the database's promise (`synchronous=FULL`, `fsync`), not measured here.
"""

from __future__ import annotations

import argparse
import asyncio
import signal
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import uvloop

from db.audit.seals import key_for, make_key
from db.engine import DatabaseUnavailable
from db.migrate import migrate
from db.reader.queries import Reader
from db.verify import report, verify
from perf.load.http_client import Connection, as_requests, connect
from perf.load.request_bodies import write_bodies
from perf.load.server_process import ROOT, Server, ServerFailed, refuse_others_rows
from settings import SettingsError, load_settings

_SHORTEST_S, _LONGEST_S = 0.3, 1.0
"""The kill comes at a random moment between these, so that it meets every phase of a commit."""


@dataclass
class Tally:
    """What became of the requests of one kill, or of all.

    Attributes
    ----------
    acknowledged
        Answered with 200.
    missing
        Acknowledged, but not in the log: must be 0.
    unanswered
        In the log, but never acknowledged: the service ended between commit and answer.
    refused
        Answered with anything but 200.
    cut
        Under way at the end and not in the log either.
    """

    acknowledged: int = 0
    missing: int = 0
    unanswered: int = 0
    refused: int = 0
    cut: int = 0
    seconds: float = 0.0
    bad_exits: int = 0

    def add(self, other: Tally) -> None:
        """Add another kill's numbers."""
        for name, value in vars(other).items():
            setattr(self, name, getattr(self, name) + value)


@dataclass
class Load:
    """Connections that ask again as soon as they are answered, and what they were told."""

    requests: Sequence[bytes]
    ids: list[str] = field(default_factory=list)
    refused: int = 0
    under_way: int = 0
    _open: int = 0
    _sent: int = 0

    async def run(self, port: int, connections: int, seconds: float, end: asyncio.Event) -> None:
        """Ask for some time, set `end`, and go on until the last connection is closed."""
        self._closed = asyncio.Event()
        self._open = connections
        for connection in await connect(port, connections, self._on_answer, self._on_loss):
            self._ask(connection)
        await asyncio.sleep(seconds)
        end.set()
        await asyncio.wait_for(self._closed.wait(), 60)

    def _ask(self, connection: Connection) -> None:
        self._sent += 1
        connection.send(self.requests[self._sent % len(self.requests)])

    def _on_answer(self, connection: Connection, status: int, body: bytes) -> None:
        if status == 200:
            self.ids.append(body[7:43].decode())  # {"id":"...": a fast look at a known form
        else:
            self.refused += 1
        if not connection.ending:
            self._ask(connection)

    def _on_loss(self, connection: Connection) -> None:
        self.under_way += connection.waiting
        self._open -= 1
        if not self._open:
            self._closed.set()


async def _kill_under_load(
    server: Server, load: Load, connections: int, seconds: float, gently: bool
) -> None:
    end = asyncio.Event()
    asking = asyncio.create_task(load.run(server.port, connections, seconds, end))
    waiting = asyncio.create_task(end.wait())
    await asyncio.wait([asking, waiting], return_when=asyncio.FIRST_COMPLETED)
    waiting.cancel()
    server.terminate() if gently else server.kill()
    await asking


def one_kill(server: Server, database: str, load: Load, options: argparse.Namespace) -> Tally:
    """End a running service under load and compare what it said with what is stored."""
    since = datetime.now(UTC)
    gently = options.signal == "TERM"
    seconds = float(np.random.default_rng().uniform(_SHORTEST_S, _LONGEST_S))
    began = time.monotonic()
    uvloop.run(_kill_under_load(server, load, options.connections, seconds, gently))
    elapsed = time.monotonic() - began
    bad_exit = gently and server.exit_code() != 0
    with closing(Reader(database)) as reader:
        stored = {row["id"] for row in reader.stream(since=since, source="load-test")}
    acknowledged = set(load.ids)
    unanswered = len(stored - acknowledged)
    return Tally(
        acknowledged=len(acknowledged), missing=len(acknowledged - stored),
        unanswered=unanswered, refused=load.refused, cut=load.under_way - unanswered,
        seconds=elapsed, bad_exits=int(bad_exit),
    )  # fmt: skip


def crash(
    database: str, options: argparse.Namespace, requests: Sequence[bytes], *, service: str = "api"
) -> Tally:
    """Start the service, load it, end it; as often as asked."""
    model_dir = load_settings().model_dir
    total = Tally()
    for number in range(1, options.kills + 1):
        with Server(
            ("-m", service), health="/readyz", on=set(),
            model_dir=model_dir, database_url=database, api_workers=options.workers,
        ) as server:  # fmt: skip
            total.add(one_kill(server, database, Load(requests), options))
        if total.missing or number % 10 == 0 or number == options.kills:
            print(f"SIG{options.signal} {number} of {options.kills}: {line(total)}", flush=True)
    return total


def line(tally: Tally) -> str:
    """Return the tally in one line."""
    per_s = tally.acknowledged / tally.seconds
    return (
        f"{tally.acknowledged:,} acknowledged ({per_s:,.0f} a second), "
        f"{tally.missing} of them missing, {tally.unanswered} stored but not acknowledged, "
        f"{tally.refused} refused, {tally.cut} cut off and not stored"
    )


def failed(tally: Tally, signal: str) -> bool:
    """Tell whether a promise was broken: a row is missing, or after SIGTERM a request failed."""
    broken = tally.unanswered + tally.refused + tally.bad_exits if signal == "TERM" else 0
    return bool(tally.missing or broken or not tally.acknowledged)


def _chain_is_whole(database: str) -> bool:
    """Verify the seals of all that is stored, and say what came out."""
    key = key_for(database, None)
    assert key is not None  # noqa: S101 - made beside the scratch file
    verdict = verify(database, key, ())
    print("\n".join(report(verdict, with_heads=False)[:1]), flush=True)
    return not verdict.findings


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m perf.crash", description=__doc__)
    parser.add_argument("--kills", type=int, default=5, metavar="N")
    parser.add_argument("--signal", choices=["KILL", "TERM"], default="KILL")
    parser.add_argument("--database", metavar="URL", help="empty PostgreSQL; default: SQLite")
    parser.add_argument("--workers", type=int, default=1, help="processes of the API")
    parser.add_argument("--connections", type=int, default=64)
    options = parser.parse_args()
    if options.kills < 1:
        parser.error("--kills takes a number from 1")
    return options


def main() -> int:
    """Kill; return 0 only when nothing acknowledged is missing."""
    options = _parse()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # ends what was started, too
    try:
        (ROOT / "var").mkdir(exist_ok=True)
        with tempfile.TemporaryDirectory(dir=ROOT / "var") as folder:
            database = options.database or f"sqlite:///{folder}/log.db"
            make_key(Path(folder) / "log.db.key")
            migrate(database, lambda _: None)
            refuse_others_rows(database)
            requests = as_requests(write_bodies(Path(folder) / "bodies.jsonl"))
            total = crash(database, options, requests)
            whole = options.database is not None or _chain_is_whole(database)
    except KeyboardInterrupt:
        return 1
    except (ServerFailed, SettingsError, DatabaseUnavailable, OSError, TimeoutError) as error:
        print(f"The crash test cannot run: {error}", file=sys.stderr)
        return 1
    return 0 if whole and not failed(total, options.signal) else 1


if __name__ == "__main__":
    sys.exit(main())
