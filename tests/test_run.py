"""`cardiowatch run`: both servers start, have patients to show and watch, and stop cleanly."""

from __future__ import annotations

import signal
import time
from contextlib import closing
from pathlib import Path
from typing import Any

import httpx
import pytest

from db.reader.queries import Reader
from settings import load_settings
from tests.programs import free_port, run, running

pytestmark = pytest.mark.slow


@pytest.fixture
def settings(tmp_path: Path) -> dict[str, object]:
    return {
        "model_dir": tmp_path / "models",
        "database_url": f"sqlite:///{tmp_path}/log.db",
        "api_port": free_port(),
        "dashboard_port": free_port(),
    }


def first_monitoring_run(url: str) -> dict[str, Any]:
    """Wait for it: it begins when the servers have started."""
    deadline = time.monotonic() + 120
    with closing(Reader(url)) as reader:
        while not (found := reader.monitoring_runs()):
            assert time.monotonic() < deadline
            time.sleep(0.2)
    return found[0]


def test_it_starts_from_nothing_with_100_synthetic_patients_and_stops(
    settings: dict[str, object],
) -> None:
    api = f"http://127.0.0.1:{settings['api_port']}"
    page = f"http://127.0.0.1:{settings['dashboard_port']}"

    with running("-m", "cardiowatch", "run", **settings) as supervisor:
        assert supervisor.stdout is not None
        printed = ""
        while "Ctrl-C" not in printed:
            line = supervisor.stdout.readline()
            assert line, printed
            printed += line
        assert httpx.get(f"{page}/_stcore/health", trust_env=False).status_code == 200
        items = httpx.get(f"{api}/predictions?limit=1000", trust_env=False).json()["items"]
        assert first_monitoring_run(str(settings["database_url"]))["source"] == "synthetic"
        supervisor.send_signal(signal.SIGINT)
        supervisor.send_signal(signal.SIGTERM)  # at once: make passes on what all in a terminal get
        supervisor.wait(timeout=40)
        for url in (api, page):
            with pytest.raises(httpx.ConnectError):
                httpx.get(url, trust_env=False)
        printed += supervisor.stdout.read()

    assert len(items) == 100
    log = Path(str(settings["database_url"]).removeprefix("sqlite:///"))
    assert Path(f"{log}.key").stat().st_mode & 0o777 == 0o600
    verified = run("-m", "cardiowatch", "verify", "--heads", f"{log}.key.heads", **settings)
    assert verified.stdout.startswith("100 predictions, 0 outcomes and 0 responses"), verified
    assert {item["source"] for item in items} == {"synthetic"}
    assert supervisor.returncode == 0, printed
    assert page in printed
    assert api in printed
    assert "Traceback" not in printed
    assert "ERROR" not in printed


def test_a_port_that_is_taken_is_named_with_what_to_do(settings: dict[str, object]) -> None:
    import socket

    with socket.create_server(("127.0.0.1", int(str(settings["api_port"])))):
        ended = run("-m", "cardiowatch", "run", **settings)

    assert ended.returncode == 4
    assert "CARDIOWATCH_API_PORT" in ended.stderr
    assert len(ended.stderr.splitlines()) == 1


def test_an_address_that_is_not_this_machines_is_named_with_what_to_do(
    settings: dict[str, object],
) -> None:
    ended = run("-m", "cardiowatch", "run", **settings | {"api_host": "203.0.113.1"})

    assert ended.returncode == 4
    assert "203.0.113.1" in ended.stderr
    assert "CARDIOWATCH_API_HOST" in ended.stderr
    assert len(ended.stderr.splitlines()) == 1


@pytest.mark.parametrize(
    ("host", "url"),
    [
        ("127.0.0.1", "http://127.0.0.1:8010"),
        ("localhost", "http://localhost:8010"),
        ("::1", "http://[::1]:8010"),
        ("0.0.0.0", "http://127.0.0.1:8010"),  # noqa: S104
        ("::", "http://[::1]:8010"),
    ],
)
def test_the_dashboard_looks_for_the_api_where_it_listens(
    monkeypatch: pytest.MonkeyPatch, host: str, url: str
) -> None:
    monkeypatch.setenv("CARDIOWATCH_API_HOST", host)
    monkeypatch.setenv("CARDIOWATCH_API_PORT", "8010")
    assert load_settings().api_url == url
