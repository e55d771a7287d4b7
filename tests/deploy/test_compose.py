"""The images and the compose stack in a real engine; `make test-deploy` starts what they need.

Skipped unless DEPLOY_TESTS is set, as `make test-deploy` does (the
images must be built under the names that docker-compose.yml gives them).
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.api.conftest import PATIENT
from tests.programs import ROOT, free_port

DOCKER = shutil.which("docker")
pytestmark = pytest.mark.skipif(
    "DEPLOY_TESTS" not in os.environ or DOCKER is None,
    reason="needs a container engine and built images: make test-deploy",
)


class Stack:
    """The compose stack under a project name and ports of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.api, self.dashboard = free_port(), free_port()
        ports = {"CARDIOWATCH_API_PORT": self.api, "CARDIOWATCH_DASHBOARD_PORT": self.dashboard}
        self.environment = os.environ | {name: str(port) for name, port in ports.items()}
        self.environment["COMPOSE_PROJECT_NAME"] = f"cardiowatch-test-{os.getpid()}"

    def run(self, *command: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        ended = subprocess.run(
            command, cwd=self.folder, env=self.environment, capture_output=True, text=True,
            timeout=300, check=False,
        )  # fmt: skip
        assert not check or ended.returncode == 0, ended.stderr
        return ended

    def key(self) -> dict[str, str]:
        lines = (self.folder / ".env").read_text().splitlines()
        secrets = dict(line.split("=", 1) for line in lines)
        return {"Authorization": f"Bearer {secrets['CARDIOWATCH_API_KEY']}"}

    def client(self) -> httpx.Client:
        return httpx.Client(
            base_url=f"http://127.0.0.1:{self.api}", headers=self.key(), timeout=10, trust_env=False
        )


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """The running stack, from a copy of what a server needs: its files and no source."""
    folder = tmp_path_factory.mktemp("server")
    for name in ("docker-compose.yml", "up.sh", "settings.py"):
        shutil.copy(ROOT / name, folder)
    shutil.copytree(ROOT / "api", folder / "api")
    made = Stack(folder)
    try:
        refused = made.run("docker", "compose", "up", "--detach", check=False)
        assert refused.returncode != 0
        assert "make up" in refused.stderr
        made.run("./up.sh", "--no-build")
        yield made
    finally:
        made.run("docker", "compose", "down", "--volumes", "--timeout", "5", check=False)


def test_the_secrets_are_the_owners_and_stay(stack: Stack) -> None:
    before = (stack.folder / ".env").read_bytes()
    stack.run("./up.sh", "--no-build")

    assert (stack.folder / ".env").read_bytes() == before
    assert (stack.folder / ".env").stat().st_mode & 0o777 == 0o600


def test_no_port_leaves_the_machine(stack: Stack) -> None:
    listed = stack.run("docker", "compose", "ps", "--format", "json").stdout.splitlines()
    published = [port for line in listed for port in json.loads(line)["Publishers"]]

    assert {port["URL"] for port in published if port["PublishedPort"]} == {"127.0.0.1"}


@pytest.mark.parametrize("service", ["api", "dashboard"])
def test_a_container_can_write_nowhere_but_its_scratch(stack: Stack, service: str) -> None:
    tried = stack.run(
        "docker", "compose", "exec", "-T", service, "python", "-c",
        "import os, pathlib\n"
        "assert os.getuid() == 10001\n"
        "pathlib.Path('/tmp/a').write_text('a')\n"
        "try: pathlib.Path('/app/a').write_text('a')\n"
        "except OSError: print('refused')",
    )  # fmt: skip

    assert tried.stdout.strip() == "refused"


def test_a_caller_without_a_key_gets_nothing(stack: Stack) -> None:
    reply = httpx.post(f"http://127.0.0.1:{stack.api}/predict", json=PATIENT, trust_env=False)

    assert reply.status_code == 401


def test_the_dashboard_is_served_and_reaches_the_api(stack: Stack) -> None:
    page = httpx.get(f"http://127.0.0.1:{stack.dashboard}/", trust_env=False)
    asked = stack.run(
        "docker", "compose", "exec", "-T", "dashboard", "python", "-c",
        "from dashboard.load import client; print(client().model()['version'])",
    )  # fmt: skip

    assert page.status_code == 200
    with stack.client() as client:
        assert asked.stdout.strip() == client.get("/model").json()["version"]


def test_a_kill_under_load_loses_no_acknowledged_row(stack: Stack) -> None:
    answered: list[str] = []

    def send() -> None:
        with stack.client() as client:
            while True:
                try:
                    reply = client.post("/predict", json=PATIENT)
                except httpx.TransportError:
                    return
                assert reply.status_code == 200
                answered.append(reply.json()["id"])

    senders = [threading.Thread(target=send) for _ in range(8)]
    for sender in senders:
        sender.start()
    while len(answered) < 300:
        time.sleep(0.01)
    stack.run("docker", "compose", "kill", "-s", "SIGKILL", "api")
    for sender in senders:
        sender.join()
    stack.run("docker", "compose", "up", "--detach", "--wait", "--no-build", "api")

    with stack.client() as client:
        log = client.get("/predictions", params={"format": "jsonl"}).text.splitlines()
    assert set(answered) <= {json.loads(line)["id"] for line in log}
