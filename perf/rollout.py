"""Roll out updates behind a load balancer and count failed requests: `cardiowatch measure rollout`.

All waits are read from `k8s/base/api.yaml`, so that the test measures what is deployed.
"""

from __future__ import annotations

import asyncio
import sys
import tempfile
import threading
import time
from contextlib import ExitStack, closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import click
import httpx
import uvloop
import yaml

from db.migrate import migrate
from db.reader.queries import Reader
from errors import NO
from perf.chaos.load_balancer import LoadBalancer
from perf.chaos.postgres_cluster import Cluster
from perf.load.open_loop_client import OpenLoopClient, patient_number, patients_with_status
from perf.load.server_process import ROOT, Server, ServerFailed, allow_connections
from settings import load_settings

MANIFEST = ROOT / "k8s" / "base" / "api.yaml"
ENDPOINT_LAG_S = 1.5
"""Until a load balancer follows a change of endpoints (docs/operations.md)."""
PROCESSES = 2
_LOG_TIMEOUT_S = 10.0
"""Instead of 2 s, so that a pause of a busy disk does not count as a failed rollout."""


@dataclass(frozen=True)
class Pod:
    """How a cluster starts and stops the service; seconds."""

    pre_stop_s: float
    grace_s: float
    probe_every_s: float
    probe_timeout_s: float
    probe_path: str

    @classmethod
    def from_manifest(cls, manifest: Path) -> Pod:
        """Read the Deployment of a manifest."""
        found = {each["kind"]: each for each in yaml.safe_load_all(manifest.read_text("utf-8"))}
        spec: dict[str, Any] = found["Deployment"]["spec"]["template"]["spec"]
        (container,) = spec["containers"]
        probe = container["readinessProbe"]
        program, seconds = container["lifecycle"]["preStop"]["exec"]["command"]
        if program != "sleep":
            raise ServerFailed(
                f"{manifest.name}: preStop is {program}, but only sleep is supported"
            )
        return cls(
            pre_stop_s=float(seconds),
            grace_s=spec["terminationGracePeriodSeconds"],
            probe_every_s=probe["periodSeconds"],
            probe_timeout_s=probe["timeoutSeconds"],
            probe_path=probe["httpGet"]["path"],
        )


@dataclass(frozen=True)
class RolloutResult:
    """The requests of all rollouts by what became of them."""

    rollouts: int
    answered: int
    failed: int
    missing: int
    killed: int
    longest_s: float

    @property
    def clean(self) -> bool:
        """Whether no request failed and nothing acknowledged is missing."""
        return bool(self.answered) and not (self.failed or self.missing or self.killed)

    def line(self) -> str:
        """Return the result in one line."""
        return (
            f"{self.rollouts} rollouts of {PROCESSES} processes: {self.answered:,} requests "
            f"answered with 200, {self.failed} failed, {self.missing} acknowledged rows missing, "
            f"{self.killed} processes killed or ended badly, longest answer {self.longest_s:.2f} s"
        )


class Deployment:
    """Processes behind the load balancer, replaced as Kubernetes replaces pods."""

    def __init__(self, balancer: LoadBalancer, pod: Pod, **settings: object) -> None:
        self._balancer, self._pod, self._settings = balancer, pod, settings
        self._processes: list[Server] = []
        self.killed = 0

    def start(self) -> None:
        """Start the first processes and add them to the load balancer."""
        for _ in range(PROCESSES):
            server = self._ready()
            self._balancer.add(server.port)

    def close(self) -> None:
        """Kill all processes."""
        for server in self._processes:
            server.kill()

    def roll(self) -> None:
        """Replace every process, one after the other, without reducing their number."""
        for old in list(self._processes):
            new = self._ready()
            told = threading.Timer(ENDPOINT_LAG_S, self._update_balancer, (new, old))
            told.start()
            time.sleep(self._pod.pre_stop_s)
            old.terminate()
            self._end(old)
            told.join()  # so that this one is known before the next is replaced

    def _ready(self) -> Server:
        """Start a process and wait for it as a readiness probe does."""
        server = Server(("-m", "api"), health="/healthz", on=set(), **self._settings)  # type: ignore[arg-type]
        self._processes.append(server)
        url = f"http://127.0.0.1:{server.port}{self._pod.probe_path}"
        while httpx.get(url, timeout=self._pod.probe_timeout_s, trust_env=False).status_code != 200:
            time.sleep(self._pod.probe_every_s)
        return server

    def _update_balancer(self, new: Server, old: Server) -> None:
        self._balancer.add(new.port)
        self._balancer.remove(old.port)

    def _end(self, old: Server) -> None:
        self._processes.remove(old)
        try:
            self.killed += old.exit_code(self._pod.grace_s - self._pod.pre_stop_s) != 0
        except ServerFailed:
            self.killed += 1
            old.kill()


def rollouts(number: int, pod: Pod, rate: float, folder: Path) -> RolloutResult:
    """Roll out an update `number` times under load, on a new database."""
    with ExitStack() as stack:
        cluster = stack.enter_context(Cluster(folder / "pg"))
        database = cluster.url(cluster.new_database())
        migrate(database, lambda _: None)
        balancer = LoadBalancer(folder)
        stack.callback(balancer.close)
        deployment = Deployment(
            balancer, pod, database_url=database, model_dir=load_settings().model_dir,
            log_timeout_s=_LOG_TIMEOUT_S,
        )  # fmt: skip
        stack.callback(deployment.close)
        deployment.start()
        traffic = OpenLoopClient(balancer.port, rate)
        uvloop.run(_roll_under_load(deployment, number, traffic))
        with closing(Reader(database)) as reader:
            stored = {patient_number(row) for row in reader.stream(source="load-test")}
    acknowledged = patients_with_status(traffic.answers, "stored")
    return RolloutResult(
        rollouts=number,
        answered=len(acknowledged),
        failed=traffic.sent - len(acknowledged),
        missing=len(acknowledged - stored),
        killed=deployment.killed,
        longest_s=max((answer.at - answer.due for answer in traffic.answers), default=0.0),
    )


async def _roll_under_load(deployment: Deployment, number: int, traffic: OpenLoopClient) -> None:
    end = asyncio.Event()
    asking = asyncio.create_task(traffic.run(end))
    for done in range(1, number + 1):
        await asyncio.to_thread(deployment.roll)
        print(f"rollout {done} of {number}: {len(traffic.answers):,} answered", file=sys.stderr)
    end.set()
    await asking


@click.command("rollout")
@click.option(
    "--rollouts", "number", type=click.IntRange(1), default=2, show_default=True, help="How many."
)
@click.option(
    "--rate",
    type=click.FloatRange(min=0, min_open=True),
    default=100,
    show_default=True,
    help="Requests per second.",
)
@click.option("--pre-stop", type=float, help="Seconds, instead of the manifest's.")
def command(number: int, rate: float, pre_stop: float | None) -> int:
    """Count the requests lost while the API is replaced.

    Two processes on one PostgreSQL run behind HAProxy under steady load. A rollout replaces one
    after the other as Kubernetes does: a new process starts; when its readiness probe succeeds, the
    old one's preStop begins, followed by SIGTERM; the load balancer learns of both 1.5 s later. All
    waits are the manifest's. Exits with 1 unless every request was answered with a 200 and every
    answer is in the log.
    """
    allow_connections()
    pod = Pod.from_manifest(MANIFEST)
    if pre_stop is not None:
        pod = replace(pod, pre_stop_s=pre_stop)
    with tempfile.TemporaryDirectory(prefix="roll") as folder:
        Path(folder).chmod(0o755)  # PostgreSQL runs as a user of its own
        (Path(folder) / "pg").mkdir()
        found = rollouts(number, pod, rate, Path(folder))
    print(found.line())
    return 0 if found.clean else NO
