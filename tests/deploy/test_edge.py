"""The proxy of the compose stack, as HAProxy runs its configuration: routes, limits, queue."""

from __future__ import annotations

import json
import os
import re
import shutil
import socket
import ssl
import subprocess
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import yaml
from starlette.testclient import TestClient

from api.app import create_app
from api.routes.predict import MAX_BATCH_BODY
from db.ids import new_id
from settings import Settings
from tests.deploy.manifests import K8S, Object
from tests.programs import ROOT, free_port

CONFIGURATION = (ROOT / "edge" / "haproxy.cfg").read_text()
INSIDE = {"/metrics", "/readyz"}
"""Calls for the cluster and Prometheus, which no caller outside reaches."""


class Backend(ThreadingHTTPServer):
    """Answers every request with 200, `/predict/batch` when it is released."""

    daemon_threads = True
    request_queue_size = 64

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Answer)
        self.released = threading.Event()
        self.slow = 0
        threading.Thread(target=self.serve_forever, daemon=True).start()


class Answer(BaseHTTPRequestHandler):
    server: Backend
    protocol_version = "HTTP/1.1"

    def log_message(self, *_: object) -> None: ...

    def do_GET(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if self.path == "/predict/batch":
            self.server.slow += 1
            self.server.released.wait(20)
        self.send_response(200)
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"{}")

    do_POST = do_PUT = do_GET  # noqa: N815


class Edge:
    """HAProxy over a backend that stands for both servers."""

    def __init__(self, folder: Path, backend: Backend) -> None:
        self.folder = folder
        self.dashboard, self.api = free_port(), free_port()
        here = f"127.0.0.1:{backend.server_port}"
        subprocess.run(
            ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256",
             "-nodes", "-subj", "/CN=localhost", "-keyout", "tls.pem.key", "-out", "tls.pem"],
            cwd=folder, check=True, capture_output=True,
        )  # fmt: skip
        configuration = CONFIGURATION
        for was, now in (
            ("/run/tls/", f"{folder}/tls.pem"), (":8443", f"127.0.0.1:{self.dashboard}"),
            (":9443", f"127.0.0.1:{self.api}"), ("api:8000", here), ("dashboard:8501", here),
            ("http-request 10s", "http-request 1s"), ("maxconn 256", "maxconn 2"),
        ):  # fmt: skip
            assert was in configuration
            configuration = configuration.replace(was, now)
        (folder / "haproxy.cfg").write_text(configuration)
        program = shutil.which("haproxy", path=f"{os.environ['PATH']}:/usr/sbin")
        assert program
        self.command = [program, "-f", str(folder / "haproxy.cfg")]
        self.process = subprocess.Popen(
            self.command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            env=os.environ | {"HTTPS_ADDRESS": "127.0.0.1"},
        )  # fmt: skip

    def ask(self, path: str, *options: str, port: int | None = None) -> tuple[int, str, str]:
        """Return status, HTTP version and the response with its headers, as curl has them."""
        ended = subprocess.run(
            ["curl", "--insecure", "--silent", "--include", "--noproxy", "*", "--max-time", "30",
             "--write-out", "\n%{http_code} %{http_version}", *options,
             f"https://localhost:{port or self.api}{path}"],
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        text, _, last = ended.stdout.rpartition("\n")
        status, version = last.split()
        return int(status), version, text


@pytest.fixture(scope="module")
def backend() -> Iterator[Backend]:
    found = Backend()
    yield found
    found.released.set()
    found.shutdown()
    found.server_close()


@pytest.fixture(scope="module")
def edge(tmp_path_factory: pytest.TempPathFactory, backend: Backend) -> Iterator[Edge]:
    missing = [name for name in ("haproxy", "curl", "openssl")
               if not shutil.which(name, path=f"{os.environ['PATH']}:/usr/sbin")]  # fmt: skip
    if missing:
        if os.environ.get("CI") == "true":
            pytest.fail(f"missing: {missing}")
        pytest.skip(f"needs {', '.join(missing)}: tests/parts.sh")
    found = Edge(tmp_path_factory.mktemp("edge"), backend)
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        try:
            socket.create_connection(("127.0.0.1", found.api), 1).close()
            break
        except OSError:
            time.sleep(0.05)
    yield found
    found.process.terminate()
    found.process.communicate(timeout=20)


@pytest.fixture(scope="module")
def paths(model_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[str]]:
    """The methods of every path that the OpenAPI document has, ids filled in."""
    url = f"sqlite:///{tmp_path_factory.mktemp('log')}/log.db"
    app = create_app(Settings(database_url=url, model_dir=model_dir))
    with TestClient(app, base_url="http://127.0.0.1") as client:
        document: dict[str, Any] = client.get("/openapi.json").json()
    found = {re.sub(r"\{\w+\}", new_id(), path): [method.upper() for method in methods]
             for path, methods in document["paths"].items()}  # fmt: skip
    return found | {"/docs": ["GET"], "/docs/assets/swagger-ui.css": ["GET"],
                    "/openapi.json": ["GET"]}  # fmt: skip


def gateway_routes(path: str) -> bool:
    """Return whether GKE's gateway sends a path to the API."""
    objects: list[Object] = list(
        yaml.safe_load_all((K8S / "overlays" / "gke" / "gateway.yaml").read_text())
    )
    route = next(each for each in objects if each["metadata"]["name"] == "cardiowatch-api"
                 and each["kind"] == "HTTPRoute")  # fmt: skip
    for match in route["spec"]["rules"][0]["matches"]:
        value, kind = match["path"]["value"], match["path"]["type"]
        if path == value or (kind == "PathPrefix" and path.startswith(f"{value}/")):
            return True
    return False


def test_both_proxies_route_what_the_description_has_and_nothing_for_the_inside(
    edge: Edge, paths: dict[str, list[str]], backend: Backend
) -> None:
    backend.released.set()
    assert set(paths) >= INSIDE
    for path, methods in paths.items():
        for method in methods:
            status, _, text = edge.ask(path, "--request", method)
            assert status == (404 if path in INSIDE else 200), (method, path, text)
        assert gateway_routes(path) is (path not in INSIDE), path
    for path in ("/", "/metrics/", "/Metrics", "/predictx", "/_stcore/health", "//metrics"):
        assert edge.ask(path)[0] == 404
        assert not gateway_routes(path)


def test_outside_it_speaks_http_2_and_1_over_tls_only(edge: Edge) -> None:
    for port in (edge.api, edge.dashboard):
        assert edge.ask("/healthz", "--http2", port=port)[:2] == (200, "2")
        assert edge.ask("/healthz", "--http1.1", port=port)[:2] == (200, "1.1")
        plain = subprocess.run(
            ["curl", "--silent", "--noproxy", "*", f"http://localhost:{port}/healthz"],
            check=False, capture_output=True,
        )  # fmt: skip
        assert plain.returncode != 0
    assert "strict-transport-security" not in edge.ask("/healthz")[2]
    named = edge.ask("/healthz", "--header", "Host: api.example")[2]
    assert "strict-transport-security: max-age=31536000" in named


def sent(port: int, start: bytes) -> bytes:
    """Send the start of a request over TLS, and return the answer up to its end."""
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    with (
        socket.create_connection(("127.0.0.1", port), 20) as plain,
        context.wrap_socket(plain, server_hostname="localhost") as connection,
    ):
        connection.sendall(start)
        answer = b""
        while part := connection.recv(4096):
            answer += part
        return answer


def test_large_and_slow_requests_end_at_the_proxy(edge: Edge) -> None:
    def post(path: str, length: int, body: int) -> bytes:
        head = f"POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {length}\r\n\r\n"
        return head.encode() + b" " * body

    large = sent(edge.api, post("/predict/batch", MAX_BATCH_BODY + 1, 16_000))
    assert large.startswith(b"HTTP/1.1 413 ")
    assert b"urn:cardiowatch:problem:too-large" in large
    larger = post("/_stcore/upload_file/a/b", (8 << 20) + 1, 16_000)
    assert sent(edge.dashboard, larger).startswith(b"HTTP/1.1 413 ")
    # Headers and bodies that stop coming: cut off after the time for a request (1 s here).
    for start in (post("/predict", 9, 1), b"POST /predict HTTP/1.1\r\nHost: loc"):
        for port in (edge.api, edge.dashboard):
            assert sent(port, start).startswith(b"HTTP/1.1 408 ")


def test_what_one_process_does_not_take_waits_and_is_told_to_come_again(
    edge: Edge, backend: Backend
) -> None:
    backend.released.clear()
    backend.slow = 0
    told: list[tuple[int, str, str]] = []
    callers = [threading.Thread(target=lambda: told.append(edge.ask("/predict/batch")))
               for _ in range(3)]  # fmt: skip
    for caller in callers:
        caller.start()
    deadline = time.monotonic() + 20
    while not told and time.monotonic() < deadline:
        time.sleep(0.05)
    assert backend.slow == 2  # its maxconn here
    ((status, _, text),) = told
    assert status == 503
    assert "retry-after: 1" in text
    assert json.loads(text.split("\n\n")[-1])["status"] == 503
    backend.released.set()
    for caller in callers:
        caller.join()
    assert sorted(each[0] for each in told) == [200, 200, 503]


@pytest.mark.parametrize(
    ("address", "login", "starts"),
    [("127.0.0.1", "", True), ("0.0.0.0", "", False), ("0.0.0.0", "login.toml", True)],  # noqa: S104
)
def test_others_are_let_in_only_where_there_is_a_login(
    edge: Edge, address: str, login: str, starts: bool
) -> None:
    checked = subprocess.run(
        [*edge.command, "-c"], check=False, capture_output=True, text=True,
        env=os.environ | {"HTTPS_ADDRESS": address, "LOGIN_FILE": login},
    )  # fmt: skip
    assert (checked.returncode == 0) is starts
    assert ("CARDIOWATCH_LOGIN_FILE names no login" in checked.stderr) is not starts


def test_the_limits_are_those_of_the_servers() -> None:
    toml = (ROOT / ".streamlit" / "config.toml").read_text()
    upload = int(re.findall(r"maxUploadSize = (\d+)", toml)[0])
    body, batch = (int(each) for each in re.findall(r"req.body_size gt (\d+)", CONFIGURATION))

    assert body > upload << 20
    assert batch == MAX_BATCH_BODY
