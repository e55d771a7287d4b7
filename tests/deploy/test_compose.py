"""The images and the compose stack in a real engine; `make test-deploy` starts what they need.

Skipped unless DEPLOY_TESTS is set, as `make test-deploy` does (the
images must be built under the names that docker-compose.yml gives them).
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import ssl
import subprocess
import threading
import time
import urllib.parse
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import httpx
import pytest
import yaml
from playwright.sync_api import expect, sync_playwright

from tests.api.conftest import PATIENT
from tests.browser.conftest import FLAGS, chromium_path, new_context, settled
from tests.db.test_restore import HEADS, commands
from tests.programs import ROOT, free_port, run

DOCKER = shutil.which("docker")
pytestmark = pytest.mark.skipif(
    "DEPLOY_TESTS" not in os.environ or DOCKER is None,
    reason="needs a container engine and built images: make test-deploy",
)


LOGIN = """
[auth]
redirect_uri = "https://localhost/oauth2callback"
cookie_secret = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
client_id = "cardiowatch"
client_secret = "not used here: nobody logs in"
server_metadata_url = "https://login.example/.well-known/openid-configuration"
[cardiowatch]
claim = "groups"
[cardiowatch.groups]
ward-3 = "clinician"
"""


class Stack:
    """The compose stack under a project name and ports of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.api, self.dashboard = free_port(), free_port()
        self.prometheus, self.https, self.https_api = free_port(), free_port(), free_port()
        ports = {
            "CARDIOWATCH_HTTPS_PORT": self.https,
            "CARDIOWATCH_HTTPS_API_PORT": self.https_api,
            "CARDIOWATCH_API_PORT": self.api,
            "CARDIOWATCH_DASHBOARD_PORT": self.dashboard,
            "PROMETHEUS_PORT": self.prometheus,
        }
        self.environment = os.environ | {name: str(port) for name, port in ports.items()}
        self.environment["COMPOSE_PROJECT_NAME"] = f"cardiowatch-test-{os.getpid()}"

    def run(self, *command: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        ended = subprocess.run(
            command, cwd=self.folder, env=self.environment, capture_output=True, text=True,
            timeout=300, check=False,
        )  # fmt: skip
        assert not check or ended.returncode == 0, ended.stderr
        return ended

    def env(self) -> dict[str, str]:
        lines = (self.folder / ".env").read_text().splitlines()
        return dict(line.split("=", 1) for line in lines)

    def key(self) -> str:
        return self.env()["CARDIOWATCH_API_KEY"]

    def client(self) -> httpx.Client:
        return httpx.Client(
            base_url=f"http://127.0.0.1:{self.api}",
            headers={"Authorization": f"Bearer {self.key()}"},
            timeout=10,
            trust_env=False,
        )

    def states(self) -> dict[str, tuple[str, str]]:
        """Return the state and the health of each service that runs."""
        listed = self.run("docker", "compose", "ps", "--format", "json").stdout.splitlines()
        found = [json.loads(line) for line in listed]
        return {one["Service"]: (one["State"], one["Health"]) for one in found}

    def ready(self) -> None:
        """Wait until the API is ready again."""
        deadline = time.monotonic() + 120
        while time.monotonic() < deadline:
            with contextlib.suppress(httpx.TransportError), self.client() as client:
                if client.get("/readyz").status_code == 200:
                    return
            time.sleep(0.2)
        raise AssertionError(f"not ready after two minutes: {self.states()}")

    def ids(self) -> set[str]:
        """Return the ids of everything in the log."""
        with self.client() as client:
            log = client.get("/predictions", params={"format": "jsonl"}).text.splitlines()
        return {json.loads(line)["id"] for line in log}


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """The running stack, from a copy of what a server needs: its files and no source."""
    folder = tmp_path_factory.mktemp("server")
    for name in ("docker-compose.yml", "up.sh", "errors.py"):
        shutil.copy(ROOT / name, folder)
    for part in ("api", "edge", "k8s/observability"):
        shutil.copytree(ROOT / part, folder / part)
    made = Stack(folder)
    try:
        refused = made.run("docker", "compose", "up", "--detach", check=False)
        assert refused.returncode != 0
        assert "make up" in refused.stderr
        began = time.monotonic()
        made.run("./up.sh", "--no-build")
        print(f"every service healthy after {time.monotonic() - began:.1f} s")
        yield made
    finally:
        made.run("docker", "compose", "down", "--volumes", "--timeout", "5", check=False)


def test_the_secrets_are_the_owners_and_stay(stack: Stack) -> None:
    before = (stack.folder / ".env").read_bytes()
    stack.run("./up.sh", "--no-build")

    assert (stack.folder / ".env").read_bytes() == before
    assert (stack.folder / ".env").stat().st_mode & 0o777 == 0o600
    assert (stack.folder / "var" / "private").stat().st_mode & 0o777 == 0o700


def test_every_service_runs_and_what_has_a_health_check_is_healthy(stack: Stack) -> None:
    assert stack.states() == {
        "postgres": ("running", "healthy"), "api": ("running", "healthy"),
        "dashboard": ("running", "healthy"), "monitor": ("running", "healthy"),
        "edge": ("running", "healthy"),
    }  # fmt: skip


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
        "from dashboard.shared.data_access import client; print(client().model()['version'])",
    )  # fmt: skip

    assert page.status_code == 200
    with stack.client() as client:
        assert asked.stdout.strip() == client.get("/model").json()["version"]


def test_patients_are_answered_looked_over_and_shown(stack: Stack, tmp_path: Path) -> None:
    sent = run(
        "-m", "cardiowatch", "replay", "--patients", "200", "--out", str(tmp_path),
        api_url=f"http://127.0.0.1:{stack.api}", api_key=stack.key(),
    )  # fmt: skip
    assert sent.returncode == 0, sent.stderr
    watched = stack.run("docker", "compose", "exec", "-T", "monitor", "cardiowatch", "monitor")
    lines = [json.loads(line) for line in (watched.stdout + watched.stderr).splitlines()]
    assert any("synthetic patients" in line["message"] for line in lines)

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium_path(), args=FLAGS)
        page = new_context(browser).new_page()
        page.goto(f"http://127.0.0.1:{stack.dashboard}/")
        expect(page.get_by_role("heading", name="Scoring latency")).to_be_visible(timeout=120_000)
        settled(page)
        (ROOT / "var").mkdir(exist_ok=True)
        page.screenshot(path=ROOT / "var" / "compose-dashboard.png")
        shown = page.get_by_test_id("stMain").inner_text()
        browser.close()
    assert "200" in shown
    assert "synthetic" in shown


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

    assert set(answered) <= stack.ids()


def test_a_service_that_ends_is_started_again(stack: Stack) -> None:
    before = stack.ids()
    # Its first process is asked to end; the engine starts it again. On TERM PostgreSQL would wait
    # until everybody has left.
    for service, asked in (("api", "TERM"), ("postgres", "INT")):
        stack.run("docker", "compose", "exec", "-T", service, "sh", "-c", f"kill -{asked} 1")
        time.sleep(2)
        stack.ready()

    assert stack.ids() == before
    with stack.client() as client:
        assert client.post("/predict", json=PATIENT).status_code == 200


@pytest.mark.parametrize(("service", "path"), [("api", "readyz"), ("dashboard", "_stcore/health")])
def test_a_container_that_is_started_again_is_ready(
    stack: Stack, service: Literal["api", "dashboard"], path: str
) -> None:
    stack.run("docker", "compose", "stop", service)
    began, status = time.monotonic(), 0
    stack.run("docker", "compose", "start", service)
    while status != 200 and time.monotonic() < began + 60:
        time.sleep(0.05)
        with contextlib.suppress(httpx.TransportError):
            url = f"http://127.0.0.1:{getattr(stack, service)}/{path}"
            status = httpx.get(url, trust_env=False).status_code

    assert status == 200
    print(f"{service}: ready {time.monotonic() - began:.1f} s after its start")


def test_prometheus_reads_the_api_and_holds_every_alert(stack: Stack) -> None:
    observe = ("docker", "compose", "--profile", "observe")
    written = yaml.safe_load((ROOT / "k8s/observability/alerts.yml").read_text())
    alerts = {rule["alert"] for group in written["groups"] for rule in group["rules"]}

    disk = next(rule["expr"] for group in written["groups"] for rule in group["rules"]
                if rule["alert"] == "CardiowatchDisk")  # fmt: skip

    def asked(what: str) -> Any:
        url = f"http://127.0.0.1:{stack.prometheus}/api/v1/{what}"
        return httpx.get(url, trust_env=False).json()["data"]

    with stack.client() as client:  # its counters begin at its start
        assert client.post("/predict", json=PATIENT).status_code == 200
    stack.run(*observe, "up", "--detach", "--no-build", "prometheus", "node-exporter")
    seen: dict[str, str] = {}
    targets, answered, free = [], [], []
    try:
        deadline = time.monotonic() + 120
        while time.monotonic() < deadline and not (
            answered and free and set(seen.values()) == {"ok"}
        ):
            time.sleep(1)  # it reads the API and evaluates its rules every 15 s
            with contextlib.suppress(httpx.TransportError, KeyError):
                rules = [rule for group in asked("rules")["groups"] for rule in group["rules"]]
                seen = {rule["name"]: rule["health"] for rule in rules}
                targets = [target["health"] for target in asked("targets")["activeTargets"]]
                answered = asked("query?query=sum(prediction_latency_seconds_count)")["result"]
                left = urllib.parse.quote(disk.partition("<")[0])
                free = asked(f"query?query={left}")["result"]
    finally:
        stack.run(*observe, "rm", "--stop", "--force", "prometheus", "node-exporter")
    assert seen == dict.fromkeys(alerts, "ok")
    assert targets == ["up", "up"]
    assert 0 < float(free[0]["value"][1]) < 1
    assert float(answered[0]["value"][1]) >= 1


def test_https_on_localhost_shows_the_dashboard_and_answers_with_a_key(stack: Stack) -> None:
    certificate = stack.folder / "var" / "private" / "tls.crt"
    assert (stack.folder / "var" / "private" / "tls").stat().st_mode & 0o777 == 0o755
    with httpx.Client(
        base_url=f"https://localhost:{stack.https_api}", trust_env=False, timeout=10,
        verify=ssl.create_default_context(cafile=certificate),
    ) as client:  # fmt: skip
        assert client.post("/predict", json=PATIENT).status_code == 401
        client.headers["Authorization"] = f"Bearer {stack.key()}"
        assert client.post("/predict", json=PATIENT).status_code == 200
        assert client.get("/metrics").status_code == 404
    # Another certificate is served after a signal, without closing a connection.
    before = ssl.get_server_certificate(("localhost", stack.https))
    renewed = stack.folder / "var" / "private" / "tls"
    (renewed / "localhost.pem").unlink()
    certificate.rename(certificate.with_suffix(".old"))
    made = (ROOT / "up.sh").read_text().split("openssl req", 1)[1].split("2>/dev/null")[0]
    renew = "cat $tls.crt $tls.key > $tls/renewed.pem; docker compose kill -s USR2 edge"
    stack.run("sh", "-ec", f"tls={renewed}; openssl req {made}; {renew}")
    deadline = time.monotonic() + 20
    after = before
    while after == before and time.monotonic() < deadline:
        time.sleep(0.2)
        with contextlib.suppress(OSError):
            after = ssl.get_server_certificate(("localhost", stack.https))
    assert after == certificate.read_text()
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium_path(), args=FLAGS)
        page = browser.new_context(ignore_https_errors=True).new_page()
        page.goto(f"https://localhost:{stack.https}/")
        expect(page.get_by_role("heading", name="Scoring latency")).to_be_visible(timeout=120_000)
        settled(page)  # over a WebSocket
        page.screenshot(path=ROOT / "var" / "compose-https.png")
        browser.close()


def test_a_login_file_reaches_the_dashboard_which_then_asks_for_a_login(stack: Stack) -> None:
    login = stack.folder / "var" / "private" / "login.toml"
    login.write_text(LOGIN)
    login.chmod(0o644)
    with stack.client() as client:
        assert client.post("/predict", json=PATIENT, params={"source": "synthetic"}).is_success
    up = ("docker", "compose", "up", "--detach", "--wait", "--no-build", "dashboard")
    stack.environment["CARDIOWATCH_LOGIN_FILE"] = "./var/private/login.toml"
    try:
        stack.run(*up)
        a_stranger_sees(stack, "button", "Sign in")
    finally:
        del stack.environment["CARDIOWATCH_LOGIN_FILE"]
        stack.run(*up)
    a_stranger_sees(stack, "heading", "Scoring latency")


def a_stranger_sees(stack: Stack, role: Literal["button", "heading"], name: str) -> None:
    """Open the first page in a browser without cookies, and wait for what it shows.

    Through the proxy, which has to find the dashboard at its new address.
    """
    url = f"https://localhost:{stack.https}/"
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        with contextlib.suppress(httpx.TransportError):
            if httpx.get(url, verify=False, trust_env=False).status_code == 200:  # noqa: S501
                break
        time.sleep(0.2)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium_path(), args=FLAGS)
        page = browser.new_context(ignore_https_errors=True).new_page()
        page.goto(url)
        expect(page.get_by_role(role, name=name)).to_be_visible(timeout=60_000)
        browser.close()


def test_the_documented_password_backup_and_restore_run_as_they_stand(stack: Stack) -> None:
    password = stack.env()["POSTGRES_PASSWORD"]
    changed = stack.run("sh", "-ec", "\n".join(commands("New database password", Path(HEADS))))
    assert changed.returncode == 0
    assert stack.env()["POSTGRES_PASSWORD"] != password
    kept = stack.ids()
    backup, *restore = commands("Backup and restore", Path(HEADS))
    stack.run("sh", "-c", backup)
    assert (stack.folder / "log.dump").stat().st_mode & 0o777 == 0o600
    with stack.client() as client:
        lost = client.post("/predict", json=PATIENT).json()["id"]
    time.sleep(2.5)  # the heads are written once a second
    ended = {each: stack.run("sh", "-c", each, check=False) for each in restore}

    failed = {command: each.stderr for command, each in ended.items() if each.returncode}
    assert [command.endswith("rows are lost") for command in failed] == [True], failed
    assert "(1 written from " in (stack.folder / "lost.txt").read_text()
    assert lost not in kept
    assert stack.ids() == kept


def verified(stack: Stack) -> subprocess.CompletedProcess[str]:
    """Ask whether the log was altered, as the operations page says."""
    return stack.run(
        "docker", "compose", "exec", "-T", "api", "cardiowatch", "verify",
        "--heads", "/var/lib/cardiowatch/heads", check=False,
    )  # fmt: skip


def test_the_log_is_sealed_and_whoever_alters_it_is_found(stack: Stack) -> None:
    with stack.client() as client:
        ids = [client.post("/predict", json=PATIENT).json()["id"] for _ in range(3)]
    time.sleep(2.5)  # the heads are written once a second
    before = verified(stack)
    assert before.returncode == 0, before.stdout + before.stderr
    assert "integrity check passed" in before.stdout
    # By whoever holds the database and not the key.
    for statement in (
        f"UPDATE predictions SET probability = 0.01 WHERE id = '{ids[0]}'",  # noqa: S608
        f"DELETE FROM predictions WHERE id = '{ids[2]}'",  # noqa: S608
    ):
        stack.run("docker", "compose", "exec", "-T", "postgres",
                  "psql", "-U", "cardiowatch", "-c", statement)  # fmt: skip
    after = verified(stack)
    assert after.returncode == 1
    assert ids[0] in after.stdout
    assert "tail truncated" in after.stdout


def test_the_sbom_of_an_image_names_what_it_holds() -> None:
    images = [f"cardiowatch-{name}:local" for name in ("api", "dashboard")]
    subprocess.run(["make", "sbom", f"IMAGES={' '.join(images)}"], cwd=ROOT, check=True)
    held = {}
    for name in ("api", "dashboard"):
        listed = json.loads((ROOT / f"var/sbom/image-cardiowatch-{name}.json").read_text())
        held[name] = {component["name"] for component in listed["components"]}
    assert held["api"] >= {"fastapi", "uvicorn", "psycopg"}
    assert not held["api"] & {"scikit-learn", "streamlit", "pandas", "pip"}
    assert held["dashboard"] >= {"streamlit", "scikit-learn", "fairlearn"}
    assert not held["dashboard"] & {"shap", "numba", "llvmlite"}  # the lock has them


def test_every_line_that_a_service_of_ours_wrote_is_json(stack: Stack) -> None:
    logs = stack.run("docker", "compose", "logs", "--no-log-prefix", "api", "dashboard", "monitor")
    written = logs.stdout.replace("\x1b[2K", "").splitlines()  # Compose clears the line first

    for line in written:
        assert {"time", "level", "logger", "message"} <= json.loads(line).keys(), line
