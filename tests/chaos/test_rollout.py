"""An update under load: nobody notices. All waits are those of `k8s/base/api.yaml`."""

from __future__ import annotations

import asyncio
import os
import tempfile
import threading
import time
from contextlib import ExitStack, closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import httpx
import pytest
import uvloop
import yaml

from db.migrate import migrate
from db.reader.queries import Reader
from perf.load.open_loop_client import OpenLoopClient
from perf.load.server_process import ROOT, Server, ServerFailed, allow_connections
from tests.chaos.clients import numbered_request, patient_number, patients_with_status
from tests.chaos.load_balancer import LoadBalancer, LoadBalancerNotFound, balancer_program
from tests.postgres import Cluster

MANIFEST = ROOT / "k8s" / "base" / "api.yaml"
ENDPOINT_LAG_S = 1.5
"""Until a load balancer follows a change of endpoints (docs/operations.md)."""
PROCESSES, RATE = 2, 100
ROLLOUTS = 20 if os.environ.get("SOAK") else 1
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
    """The requests of all rollouts by what became of them; processes that ended badly."""

    answered: int
    failed: int
    missing: int
    killed: int
    longest_s: float


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


def rollouts(number: int, pod: Pod, cluster: Cluster, model_dir: Path) -> RolloutResult:
    """Roll out an update `number` times under load, on a new database."""
    allow_connections()
    database = cluster.url(cluster.new_database())
    migrate(database, lambda _: None)
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))  # a short path
        balancer = LoadBalancer(folder)
        stack.callback(balancer.close)
        deployment = Deployment(
            balancer, pod, database_url=database, model_dir=model_dir, log_timeout_s=_LOG_TIMEOUT_S
        )
        stack.callback(deployment.close)
        deployment.start()
        traffic = OpenLoopClient(balancer.port, RATE, numbered_request)
        uvloop.run(_roll_under_load(deployment, number, traffic))
        with closing(Reader(database)) as reader:
            stored = {patient_number(row) for row in reader.stream(source="load-test")}
    acknowledged = patients_with_status(traffic.answers, "stored")
    found = RolloutResult(
        answered=len(acknowledged),
        failed=traffic.sent - len(acknowledged),
        missing=len(acknowledged - stored),
        killed=deployment.killed,
        longest_s=max((answer.at - answer.due for answer in traffic.answers), default=0.0),
    )
    print(f"{number} rollouts: {found}")
    return found


async def _roll_under_load(deployment: Deployment, number: int, traffic: OpenLoopClient) -> None:
    end = asyncio.Event()
    asking = asyncio.create_task(traffic.run(end))
    for _ in range(number):
        await asyncio.to_thread(deployment.roll)
    end.set()
    await asking


@pytest.fixture
def _haproxy() -> None:
    try:
        balancer_program()
    except LoadBalancerNotFound as missing:
        if os.environ.get("CI") == "true":
            pytest.fail(str(missing))
        pytest.skip(str(missing))


@pytest.mark.slow
@pytest.mark.usefixtures("_haproxy")
def test_no_request_fails_while_an_update_is_rolled_out(
    model_dir: Path, postgres_server: Cluster
) -> None:
    found = rollouts(ROLLOUTS, Pod.from_manifest(MANIFEST), postgres_server, model_dir)

    assert found.answered
    assert (found.failed, found.missing, found.killed) == (0, 0, 0)


@pytest.mark.slow
@pytest.mark.usefixtures("_haproxy")
def test_without_the_wait_before_sigterm_requests_fail(
    model_dir: Path, postgres_server: Cluster
) -> None:
    hasty = replace(Pod.from_manifest(MANIFEST), pre_stop_s=0.0)

    assert rollouts(1, hasty, postgres_server, model_dir).failed > 0


def test_the_wait_before_sigterm_is_longer_than_a_load_balancer_takes() -> None:
    pod = Pod.from_manifest(MANIFEST)

    assert ENDPOINT_LAG_S < pod.pre_stop_s < pod.grace_s
    assert pod.probe_path == "/readyz"
