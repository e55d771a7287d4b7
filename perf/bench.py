"""Load tests: our service and what others would build, side by side: `cardiowatch bench`."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click
import uvloop

from db.audit.seal_key import create_seal_key
from db.engine import DatabaseUnavailable
from db.migrate import migrate
from db.reader.queries import Reader
from db.writer.results import add_load_test
from perf.formats.wrk import WrkResult, parse_wrk
from perf.load.environment import environment
from perf.load.http_client import PATH, encode_requests
from perf.load.open_loop_client import measure_fixed_rate
from perf.load.report import (
    Run,
    Scenario,
    closed_loop_table,
    environment_line,
    open_loop_table,
    summarise,
)
from perf.load.request_bodies import write_bodies
from perf.load.scratch import (
    require_scratch_database,
    scratch_folder,
    start_baseline,
    start_service,
)
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
    ON_UVICORN,
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
_WARM_UP = QUICK[0]
_SHARES = (0.3, 0.6)
"""Fixed rates of the open-loop test, as shares of the throughput at c=200."""

_BASELINES = {
    ECHO: "echo",
    "study project's style": "fastapi_array",
    "textbook": "fastapi_dataframe",
}
"""Name in the tables -> module of `perf.baselines`."""


@dataclass
class PartialBenchmark:
    """What was measured so far; an interrupted run keeps this much."""

    environment: dict[str, Any]
    start_s: dict[str, float] = field(default_factory=dict)
    runs: list[Run] = field(default_factory=list)
    open_loop: list[tuple[str, OpenLoop]] = field(default_factory=list)
    complete: bool = False

    def benchmark(self) -> Benchmark:
        """Return medians and ratios in the stored form."""
        return Benchmark(
            self.environment, self.start_s, summarise(self.runs), self.open_loop, self.complete
        )


def start(
    folder: Path, quick: bool, database: str | None, workers: int, stack: ExitStack
) -> dict[str, Server]:
    """Start all services; each is idle until its turn."""
    on = split_cores()[0]
    servers = {}

    def start_ours(name: str, url: str, **options: Any) -> None:
        migrate(url, lambda _: None)
        require_scratch_database(url)
        servers[name] = stack.enter_context(start_service(url, on=on, **options))

    for file in ("log.db", "uvicorn.db"):
        create_seal_key(folder / f"{file}.key")  # seals rows on SQLite, as `make run` does
    start_ours(CARDIOWATCH, f"sqlite:///{folder}/log.db")
    start_ours(ON_UVICORN, f"sqlite:///{folder}/uvicorn.db", server="uvicorn")
    if database:
        start_ours(ON_POSTGRESQL, database, api_workers=workers)
    start_ours(NO_LOG, f"sqlite:///{folder}/no-log.db", module="perf.baselines.no_log")
    for name in [ECHO] if quick else _BASELINES:
        servers[name] = stack.enter_context(start_baseline(_BASELINES[name], on))
    return servers


def wrk(server: Server, bodies: Path, scenario: Scenario) -> WrkResult:
    """Run wrk once."""
    command = [
        "wrk", f"-t{scenario.threads}", f"-c{scenario.connections}", f"-d{scenario.seconds:g}s",
        f"--timeout={scenario.timeout_s}s", "--script", str(ROOT / "perf" / "formats" /
        "predict.lua"), f"http://127.0.0.1:{server.port}{PATH}", "--", str(bodies),
    ]  # fmt: skip
    with pin_to_cores(split_cores()[1]):
        done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603
    if done.returncode != 0:
        raise ServerFailed(f"wrk failed: {done.stderr.strip() or done.stdout.strip()}")
    return parse_wrk(done.stdout)


def measure(server: Server, bodies: Path, name: str, scenario: Scenario, round_: int) -> Run:
    """Run wrk once, with the CPU and memory of the service; then wait until it is idle."""
    before = server.cpu_s()
    result = wrk(server, bodies, scenario)
    after = server.cpu_s()
    server.wait_until_idle()
    answers = sum(result.answered.values())
    known = before is not None and after is not None and answers
    cpu_us = 1e6 * (after - before) / answers if known else None  # type: ignore[operator]
    return Run(round_, name, scenario, result, cpu_us, server.memory_mb())


def run(
    servers: Mapping[str, Server],
    bodies: Path,
    scenarios: Sequence[Scenario],
    rounds: int,
    runs: list[Run],
) -> None:
    """Measure every service in every scenario, in turns, and append each run to `runs`."""
    for server in servers.values():
        wrk(server, bodies, _WARM_UP)
        server.wait_until_idle()
    for round_ in range(1, rounds + 1):
        for scenario in scenarios:
            for name, server in servers.items():
                runs.append(measure(server, bodies, name, scenario, round_))
                found = runs[-1].result
                print(
                    f"round {round_} of {rounds}, c={scenario.connections}: {name} "
                    f"{found.ok_per_s:,.0f} req/s, p99 {found.p99_ms:.1f} ms",
                    file=sys.stderr,
                )


def run_open_loop(
    server: Server, requests: Sequence[bytes], rate: float, seconds: float
) -> OpenLoop:
    """Send at a fixed rate from the clients' core; then wait until the service is idle."""
    with pin_to_cores(split_cores()[1]):
        found = uvloop.run(
            measure_fixed_rate(server.port, lambda n: requests[n % len(requests)], rate, seconds)
        )
    server.wait_until_idle()
    return found


def require_results_table(url: str) -> None:
    """Raise ServerFailed unless the summary can be stored there after the measurement."""
    try:
        with closing(Reader(url)) as reader:
            reader.load_tests(limit=1)
    except DatabaseUnavailable as error:
        raise ServerFailed(f"{error} With --no-store it runs without a database.") from error


def save(found: PartialBenchmark, out: Path, database: str | None) -> None:
    """Print the results and store them as a file and in the database, if there are any."""
    result = found.benchmark()
    if not result.closed_loop:
        return
    print(environment_line(found.environment))
    print(f"\n{closed_loop_table(result.closed_loop)}")
    print(f"\n{open_loop_table(result.open_loop)}")
    out.mkdir(parents=True, exist_ok=True)
    file = out / f"{datetime.now(UTC):%Y%m%dT%H%M%SZ}.json"
    file.write_text(json.dumps(result.to_dict(), indent=1) + "\n", encoding="utf-8")
    print(f"\nStored in {file}", file=sys.stderr)
    if database is not None:
        add_load_test(database, KIND, result.to_dict())
        print("and in the database, for the page Load tests", file=sys.stderr)


@click.command("bench")
@click.option("--quick", is_flag=True, help="A few seconds, to check that it works.")
@click.option("--rounds", type=click.IntRange(1), help="Default: 3, with --quick 1.")
@click.option(
    "--seconds",
    type=click.FloatRange(min=0, min_open=True),
    help="Per scenario, instead of 15 to 60.",
)
@click.option(
    "--connections",
    type=click.Choice([scenario.connections for scenario in SCENARIOS]),
    help="Run only this scenario.",
)
@click.option("--database", help="URL of an empty PostgreSQL to measure, too.")
@click.option("--workers", default=1, show_default=True, help="API processes on PostgreSQL.")
@click.option("--no-store", is_flag=True, help="Store nothing in the database.")
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    default=ROOT / "perf" / "results",
    show_default="perf/results",
    help="Folder for the results.",
)
def command(
    quick: bool,
    rounds: int | None,
    seconds: float | None,
    connections: int | None,
    database: str | None,
    workers: int,
    no_store: bool,
    out: Path,
) -> None:
    """Load-test the API beside the baselines.

    Starts every service itself, ours on a scratch database, and runs wrk against one after the
    other in each scenario, round after round, so that other load on the machine affects all alike.
    Service and wrk run on different cores if there are two. Prints Markdown and stores JSON in
    perf/results/ and in the configured database, where the page Load tests finds it. Ctrl-C keeps
    what was measured.
    """
    if shutil.which("wrk") is None:
        raise ServerFailed("wrk is missing: apt-get install wrk (macOS: brew install wrk)")
    results = None if no_store else load_settings().database_url
    if results is not None:
        require_results_table(results)
    scenarios: Sequence[Scenario] = QUICK if quick else SCENARIOS
    if connections:
        scenarios = [one for one in SCENARIOS if one.connections == connections]
    if seconds:
        scenarios = [replace(one, seconds=seconds) for one in scenarios]
    allow_connections()  # 2,000 at once
    with scratch_folder() as folder, ExitStack() as stack:
        found = PartialBenchmark(environment(folder))
        found.environment["workers_on_postgresql"] = workers
        stack.callback(lambda: save(found, out, results))
        bodies = folder / "bodies.jsonl"
        requests = encode_requests(write_bodies(bodies))
        servers = start(folder, quick, database, workers, stack)
        found.start_s |= {name: round(server.start_s, 2) for name, server in servers.items()}
        run(servers, bodies, scenarios, rounds or (1 if quick else 3), found.runs)
        top = found.benchmark().nearest(CARDIOWATCH)
        assert top is not None  # noqa: S101 - ours is always among the services
        for share in _SHARES[:1] if quick else _SHARES:
            for name in (CARDIOWATCH, ECHO):
                result = run_open_loop(
                    servers[name], requests, share * top.ok_per_s, min(scenarios[0].seconds, 15)
                )
                found.open_loop.append((name, result))
        found.complete = True


if __name__ == "__main__":
    from cardiowatch import deprecated

    sys.exit(deprecated("bench"))
