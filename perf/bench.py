"""Load tests: this service and what others would build, side by side, in turns.

Starts every service itself, ours on a scratch database, and runs wrk against one after the other in
each scenario, round after round, so that whatever else the machine does hits all alike. Service and
wrk run on different cores where there are two. Prints Markdown and keeps JSON in perf/results/.
"""

from __future__ import annotations

import argparse
import json
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from db.engine import DatabaseUnavailable
from db.migrate import migrate
from perf.bodies import write_bodies
from perf.client import PATH
from perf.machine import environment
from perf.openloop import OpenLoop
from perf.report import (
    ECHO,
    Run,
    Scenario,
    closed_loop_table,
    environment_line,
    open_loop_table,
    summarise,
)
from perf.servers import ROOT, Server, ServerFailed, cores, pinned, refuse_others_rows
from pipeline.loadtest import LoadTest, UnreadableOutput, parse
from settings import SettingsError, load_settings

OURS = "Cardiowatch, durable"
ON_POSTGRESQL = "Cardiowatch, durable, PostgreSQL"
NO_LOG = "Cardiowatch without its log"
SCENARIOS = (
    Scenario(32, 4, 15),
    Scenario(200, 8, 60),
    Scenario(300, 8, 60, timeout_s=1),
    Scenario(2000, 8, 30),
)
QUICK = (Scenario(8, 2, 1),)
_SHARES = (0.3, 0.6)
"""Fixed rates of the open-loop check, as shares of what c=200 reached."""


class BenchFailed(Exception):
    """Nothing can be measured; one sentence says why and what to do."""


def _uvicorn(module: str) -> tuple[str, ...]:
    server = ("-m", "uvicorn", f"perf.baselines.{module}:app", "--port", "{port}")
    return (*server, "--log-level", "warning", "--no-access-log")


_OTHERS: Mapping[str, tuple[str, ...]] = {
    ECHO: _uvicorn("echo"),
    "study project's style": _uvicorn("study"),
    "textbook": _uvicorn("textbook"),
}


def start(folder: Path, options: argparse.Namespace, stack: ExitStack) -> dict[str, Server]:
    """Start all services, which wait idle for their turns."""
    ours = {OURS: ("api", f"sqlite:///{folder}/log.db", 1)}
    if options.database:
        ours[ON_POSTGRESQL] = ("api", options.database, options.workers)
    ours[NO_LOG] = ("perf.baselines.no_log", f"sqlite:///{folder}/no-log.db", 1)
    on, model_dir = cores()[0], load_settings().model_dir
    servers = {}
    for name, (module, database, workers) in ours.items():
        migrate(database, lambda _: None)
        refuse_others_rows(database)
        settings = {"model_dir": model_dir, "database_url": database, "api_workers": workers}
        server = Server(("-m", module), health="/readyz", on=on, **settings)
        servers[name] = stack.enter_context(server)
    for name in [ECHO] if options.quick else list(_OTHERS):
        server = Server(_OTHERS[name], health="/openapi.json", on=on)
        servers[name] = stack.enter_context(server)
    return servers


def wrk(server: Server, scenario: Scenario, bodies: Path) -> LoadTest:
    """Run wrk once."""
    command = [
        "wrk", f"-t{scenario.threads}", f"-c{scenario.connections}", f"-d{scenario.seconds:g}s",
        f"--timeout={scenario.timeout_s}s", "--script", str(ROOT / "perf" / "predict.lua"),
        f"http://127.0.0.1:{server.port}{PATH}", "--", str(bodies),
    ]  # fmt: skip
    with pinned(cores()[1]):
        done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603
    if done.returncode != 0:
        raise BenchFailed(f"wrk failed: {done.stderr.strip() or done.stdout.strip()}")
    return parse(done.stdout)


def measure(server: Server, name: str, scenario: Scenario, bodies: Path, round_: int) -> Run:
    """Run wrk once and read what it cost the service."""
    server.settle()
    before = server.cpu_s()
    result = wrk(server, scenario, bodies)
    after = server.cpu_s()
    answers = sum(result.answered.values())
    known = before is not None and after is not None and answers
    cpu_us = 1e6 * (after - before) / answers if known else None  # type: ignore[operator]
    return Run(round_, name, scenario, result, cpu_us, server.memory_mb())


def open_loop(server: Server, rate: float, seconds: float, bodies: Path) -> OpenLoop:
    """Ask at a fixed rate, from a process of its own on the clients' core."""
    command = [
        sys.executable, "-m", "perf.openloop", "--port", str(server.port),
        "--rate", f"{rate:.0f}", "--seconds", f"{seconds:g}", "--bodies", str(bodies),
    ]  # fmt: skip
    server.settle()
    with pinned(cores()[1]):
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)  # noqa: S603
    if not done.stdout:
        raise BenchFailed(f"the open-loop check failed: {done.stderr.strip().splitlines()[-1:]}")
    return OpenLoop(**json.loads(done.stdout))


def run(
    servers: Mapping[str, Server], scenarios: Sequence[Scenario], rounds: int, bodies: Path
) -> list[Run]:
    """Measure every service in every scenario, in turns."""
    for server in servers.values():
        wrk(server, Scenario(8, 1, 1), bodies)  # warm: nobody's first requests are measured
    runs = []
    for round_ in range(1, rounds + 1):
        for scenario in scenarios:
            for name, server in servers.items():
                runs.append(measure(server, name, scenario, bodies, round_))
                found = runs[-1].result
                print(
                    f"round {round_} of {rounds}, c={scenario.connections}: {name} "
                    f"{found.ok_per_s:,.0f} req/s, p99 {found.p99_ms:.1f} ms",
                    file=sys.stderr,
                )
    return runs


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m perf.bench", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="seconds, to see that it works")
    parser.add_argument("--rounds", type=int, help="default: 3, with --quick 1")
    parser.add_argument("--seconds", type=float, help="of every scenario, instead of 15 to 60")
    parser.add_argument("--database", metavar="URL", help="an empty PostgreSQL, measured as well")
    parser.add_argument("--workers", type=int, default=1, help="processes of our API on it")
    parser.add_argument("--out", type=Path, default=ROOT / "perf" / "results", metavar="FOLDER")
    return parser.parse_args()


def bench(options: argparse.Namespace, folder: Path, stack: ExitStack) -> dict[str, Any]:
    """Measure everything and return what is kept."""
    scenarios: tuple[Scenario, ...] = QUICK if options.quick else SCENARIOS
    if options.seconds:
        scenarios = tuple(replace(s, seconds=options.seconds) for s in scenarios)
    found = environment(folder)
    bodies = folder / "bodies.jsonl"
    write_bodies(bodies)
    servers = start(folder, options, stack)
    rounds = options.rounds or (1 if options.quick else 3)
    summaries = summarise(run(servers, scenarios, rounds, bodies))
    ours = [summary for summary in summaries if summary.service == OURS]
    top = min(ours, key=lambda summary: abs(summary.connections - 200)).ok_per_s
    seconds = min(scenarios[0].seconds, 15)
    fixed = [
        (name, open_loop(servers[name], share * top, seconds, bodies))
        for share in (_SHARES[:1] if options.quick else _SHARES)
        for name in (OURS, ECHO)
    ]
    print(environment_line(found))
    print(f"\n{closed_loop_table(summaries)}\n\n{open_loop_table(fixed)}")
    return {
        "environment": {**found, "workers_on_postgresql": options.workers},
        "start_s": {name: round(server.start_s, 2) for name, server in servers.items()},
        "closed_loop": [asdict(summary) for summary in summaries],
        "open_loop": [{"service": name, **asdict(result)} for name, result in fixed],
    }  # fmt: skip


def main() -> int:
    """Measure; return 0 when everything was measured."""
    options = _parse()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # ends what was started, too
    try:
        if shutil.which("wrk") is None:
            raise BenchFailed("wrk is missing: apt-get install wrk (macOS: brew install wrk)")
        _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(most, 65536), most))  # 2,000 connections
        # Beside the log of every day, not in a folder that the system may keep in memory.
        (ROOT / "var").mkdir(exist_ok=True)
        with tempfile.TemporaryDirectory(dir=ROOT / "var") as folder, ExitStack() as stack:
            results = bench(options, Path(folder), stack)
    except KeyboardInterrupt:
        return 1
    except (BenchFailed, ServerFailed, UnreadableOutput, SettingsError,
            DatabaseUnavailable) as error:  # fmt: skip
        print(f"The load test cannot run: {error}", file=sys.stderr)
        return 1
    options.out.mkdir(parents=True, exist_ok=True)
    kept = options.out / f"{datetime.now(UTC):%Y%m%dT%H%M%SZ}.json"
    kept.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    print(f"\nKept in {kept}", file=sys.stderr)
    return 0


if __name__ == "__main__":
    sys.exit(main())
