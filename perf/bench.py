"""Load tests: this service and what others would build, side by side, in turns.

Starts every service itself, ours on a scratch database, and runs wrk against one after the other in
each scenario, round after round, so that other load on the machine affects all alike. Service and
wrk run on different cores if there are two. Prints Markdown and stores JSON in perf/results/ and in
the configured database, where the dashboard finds it. Ctrl-C keeps what was measured.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from db.audit.seal_key import create_seal_key
from db.engine import DatabaseUnavailable
from db.migrate import migrate
from db.reader.queries import Reader
from db.writer.results import add_load_test
from perf.formats.wrk import WrkResult, parse_wrk
from perf.load.environment import environment
from perf.load.fixed_rate_client import run_fixed_rate
from perf.load.http_client import PATH
from perf.load.program import require_scratch_database, run_program, scratch_folder, start_service
from perf.load.report import (
    Run,
    Scenario,
    closed_loop_table,
    environment_line,
    open_loop_table,
    summarise,
)
from perf.load.request_bodies import write_bodies
from perf.load.server_process import (
    ROOT,
    Server,
    ServerFailed,
    allow_connections,
    pin_to_cores,
    split_cores,
)
from pipeline.load_tests.benchmark import (
    CARDIOWATCH,
    ECHO,
    KIND,
    NO_LOG,
    ON_POSTGRESQL,
    Benchmark,
    OpenLoop,
)
from settings import load_settings

SCENARIOS = (
    Scenario(32, 4, 15),
    Scenario(200, 8, 60),
    Scenario(300, 8, 60, timeout_s=1),
    Scenario(2000, 8, 30),
)
QUICK = (Scenario(8, 2, 1),)
_SHARES = (0.3, 0.6)
"""Fixed rates of the open-loop test, as shares of the throughput at c=200."""


@dataclass(frozen=True)
class Target:
    """A running service, the request bodies that it accepts, and the path."""

    server: Server
    bodies: Path
    path: str = PATH


@dataclass
class PartialBenchmark:
    """What was measured so far; an interrupted run keeps this much."""

    environment: dict[str, Any]
    start_s: dict[str, float] = field(default_factory=dict)
    runs: list[Run] = field(default_factory=list)
    open_loop: list[tuple[str, OpenLoop]] = field(default_factory=list)
    missing: dict[str, str] = field(default_factory=dict)
    complete: bool = False

    def benchmark(self) -> Benchmark:
        """Return medians and ratios in the stored form."""
        summaries = summarise(self.runs)
        return Benchmark(
            self.environment, self.start_s, summaries, self.open_loop, self.complete, self.missing
        )


def _uvicorn(module: str) -> tuple[str, ...]:
    server = ("-m", "uvicorn", f"perf.baselines.{module}:app", "--port", "{port}")
    return (*server, "--log-level", "warning", "--no-access-log")


_OTHERS: Mapping[str, tuple[str, ...]] = {
    ECHO: _uvicorn("echo"),
    "study project's style": _uvicorn("fastapi_array"),
    "textbook": _uvicorn("fastapi_dataframe"),
}


def start(folder: Path, options: argparse.Namespace, stack: ExitStack) -> dict[str, Server]:
    """Start all services; each is idle until its turn."""
    ours = {CARDIOWATCH: ("api", f"sqlite:///{folder}/log.db", 1)}
    if options.database:
        ours[ON_POSTGRESQL] = ("api", options.database, options.workers)
    ours[NO_LOG] = ("perf.baselines.no_log", f"sqlite:///{folder}/no-log.db", 1)
    on = split_cores()[0]
    create_seal_key(folder / "log.db.key")  # seals rows on SQLite, as `make run` does
    servers = {}
    for name, (module, database, workers) in ours.items():
        migrate(database, lambda _: None)
        require_scratch_database(database)
        server = start_service(database, module=module, on=on, api_workers=workers)
        servers[name] = stack.enter_context(server)
    for name in [ECHO] if options.quick else list(_OTHERS):
        server = Server(_OTHERS[name], health="/openapi.json", on=on)
        servers[name] = stack.enter_context(server)
    return servers


def start_peers(
    folder: Path, patients: Sequence[bytes], stack: ExitStack, missing: dict[str, str]
) -> dict[str, Target]:
    """Start other model servers; `missing` receives those that fail, with the reason."""
    from perf.peers.services import PEERS, PeerFailed  # brings scikit-learn

    target = {}
    for peer in PEERS:
        print(f"starting {peer.name}", file=sys.stderr)
        bodies = folder / f"{peer.name}.jsonl"
        peer.write_bodies(patients, bodies)
        try:
            server = stack.enter_context(peer.start(split_cores()[0]))
        except PeerFailed as error:
            missing[peer.name] = str(error)
            continue
        target[peer.name] = Target(server, bodies, peer.path)
        if not wrk(target[peer.name], Scenario(8, 1, 1)).ok:
            server.kill()
            del target[peer.name]
            missing[peer.name] = "answered no patient with 200"
    return target


def wrk(target: Target, scenario: Scenario) -> WrkResult:
    """Run wrk once."""
    command = [
        "wrk", f"-t{scenario.threads}", f"-c{scenario.connections}", f"-d{scenario.seconds:g}s",
        f"--timeout={scenario.timeout_s}s", "--script", str(ROOT / "perf" / "formats" /
        "predict.lua"), f"http://127.0.0.1:{target.server.port}{target.path}", "--",
        str(target.bodies),
    ]  # fmt: skip
    with pin_to_cores(split_cores()[1]):
        done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603
    if done.returncode != 0:
        raise ServerFailed(f"wrk failed: {done.stderr.strip() or done.stdout.strip()}")
    return parse_wrk(done.stdout)


def measure(target: Target, name: str, scenario: Scenario, round_: int) -> Run:
    """Run wrk once, with the CPU and memory of the service; then wait until it is idle."""
    server = target.server
    before = server.cpu_s()
    result = wrk(target, scenario)
    after = server.cpu_s()
    server.wait_until_idle()
    answers = sum(result.answered.values())
    known = before is not None and after is not None and answers
    cpu_us = 1e6 * (after - before) / answers if known else None  # type: ignore[operator]
    return Run(round_, name, scenario, result, cpu_us, server.memory_mb())


def run(
    services: Mapping[str, Target], scenarios: Sequence[Scenario], rounds: int, runs: list[Run]
) -> None:
    """Measure every service in every scenario, in turns, and append each run to `runs`."""
    for target in services.values():
        wrk(target, Scenario(8, 1, 1))  # warm-up
        target.server.wait_until_idle()
    for round_ in range(1, rounds + 1):
        for scenario in scenarios:
            for name, target in services.items():
                runs.append(measure(target, name, scenario, round_))
                found = runs[-1].result
                print(
                    f"round {round_} of {rounds}, c={scenario.connections}: {name} "
                    f"{found.ok_per_s:,.0f} req/s, p99 {found.p99_ms:.1f} ms",
                    file=sys.stderr,
                )


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m perf.bench", description=__doc__)
    parser.add_argument(
        "--quick", action="store_true", help="a few seconds, to check that it works"
    )
    parser.add_argument("--rounds", type=int, help="default: 3, with --quick 1")
    parser.add_argument("--seconds", type=float, help="per scenario, instead of 15 to 60")
    parser.add_argument(
        "--connections",
        type=int,
        choices=[s.connections for s in SCENARIOS],
        help="run only this scenario",
    )
    parser.add_argument("--database", metavar="URL", help="also measure on this empty PostgreSQL")
    parser.add_argument("--workers", type=int, default=1, help="API processes on PostgreSQL")
    parser.add_argument(
        "--peers", action="store_true", help="also measure MLServer, LitServe, BentoML"
    )
    parser.add_argument("--no-store", action="store_true", help="store nothing in the database")
    parser.add_argument("--out", type=Path, default=ROOT / "perf" / "results", metavar="FOLDER")
    return parser.parse_args()


def bench(
    options: argparse.Namespace, folder: Path, stack: ExitStack, found: PartialBenchmark
) -> None:
    """Measure everything and add each result to `found` at once."""
    scenarios: tuple[Scenario, ...] = QUICK if options.quick else SCENARIOS
    if options.connections:
        scenarios = tuple(s for s in SCENARIOS if s.connections == options.connections)
    if options.seconds:
        scenarios = tuple(replace(s, seconds=options.seconds) for s in scenarios)
    bodies = folder / "bodies.jsonl"
    patients = write_bodies(bodies)
    servers = start(folder, options, stack)
    services = {name: Target(server, bodies) for name, server in servers.items()}
    if options.peers:
        services |= start_peers(folder, patients, stack, found.missing)
    found.start_s |= {name: round(one.server.start_s, 2) for name, one in services.items()}
    run(services, scenarios, options.rounds or (1 if options.quick else 3), found.runs)
    top = found.benchmark().nearest(CARDIOWATCH)
    assert top is not None  # noqa: S101 - ours is always among the services
    seconds = min(scenarios[0].seconds, 15)
    for share in _SHARES[:1] if options.quick else _SHARES:
        for name in (CARDIOWATCH, ECHO):
            result = run_fixed_rate(servers[name], share * top.ok_per_s, seconds, bodies)
            found.open_loop.append((name, result))
    found.complete = True


def check_database(options: argparse.Namespace) -> str | None:
    """Return the database for the summary, checked before the measurement; None = store nothing."""
    if options.no_store:
        return None
    url = load_settings().database_url
    reader = Reader(url)
    try:
        reader.load_tests(limit=1)
    except DatabaseUnavailable as error:
        raise ServerFailed(f"{error} With --no-store it runs without a database.") from error
    finally:
        reader.close()
    return url


def save(found: PartialBenchmark, out: Path, database: str | None) -> None:
    """Print the results and store them as a file and in the database, if there are any."""
    result = found.benchmark()
    if not result.closed_loop:
        return
    print(environment_line(found.environment))
    print(f"\n{closed_loop_table(result.closed_loop, result.missing)}")
    print(f"\n{open_loop_table(result.open_loop)}")
    out.mkdir(parents=True, exist_ok=True)
    file = out / f"{datetime.now(UTC):%Y%m%dT%H%M%SZ}.json"
    file.write_text(json.dumps(result.to_dict(), indent=1) + "\n", encoding="utf-8")
    print(f"\nStored in {file}", file=sys.stderr)
    if database is not None:
        add_load_test(database, KIND, result.to_dict())
        print("and in the database, for the page Load tests", file=sys.stderr)


def _bench_and_save(options: argparse.Namespace) -> int:
    if shutil.which("wrk") is None:
        raise ServerFailed("wrk is missing: apt-get install wrk (macOS: brew install wrk)")
    database = check_database(options)
    allow_connections()  # 2,000 at once
    with scratch_folder() as folder:
        found = PartialBenchmark(environment(folder))
        found.environment["workers_on_postgresql"] = options.workers
        try:
            with ExitStack() as stack:
                bench(options, folder, stack, found)
        finally:
            save(found, options.out, database)
    return 0


def main() -> int:
    """Measure; return 0 if everything was measured and stored."""
    options = _parse()
    return run_program(lambda: _bench_and_save(options), "The load test cannot run")


if __name__ == "__main__":
    sys.exit(main())
