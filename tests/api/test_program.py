"""`python -m api`: what it refuses to start with, and how it ends."""

from __future__ import annotations

import os
import signal
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from db.migrate import migrate
from db.reader.queries import Reader
from tests.api.conftest import PATIENT
from tests.programs import free_port, run, running, wait_for

pytestmark = pytest.mark.slow


@pytest.fixture
def url(sqlite_url: str) -> str:
    return sqlite_url


def test_without_a_model_it_ends_and_names_the_command(tmp_path: Path, url: str) -> None:
    ended = run("-m", "api", model_dir=tmp_path / "none", database_url=url)

    assert ended.returncode == 4
    assert "make train" in ended.stderr
    assert len(ended.stderr.splitlines()) == 1


def test_it_listens_on_loopback_only(model_dir: Path, url: str) -> None:
    ended = run("-m", "api", model_dir=model_dir, database_url=url, api_host="192.0.2.1")

    assert ended.returncode == 4
    assert "loopback" in ended.stderr


def test_several_workers_need_postgresql(model_dir: Path, url: str) -> None:
    ended = run("-m", "api", model_dir=model_dir, database_url=url, api_workers=2)

    assert ended.returncode == 4
    assert "PostgreSQL" in ended.stderr


@pytest.mark.parametrize(
    ("name", "value"), [("api_port", "http"), ("threshold", "2"), ("log_timeout_s", "-1")]
)
def test_a_wrong_setting_is_named_in_one_line(url: str, name: str, value: str) -> None:
    ended = run("-m", "api", **{"database_url": url, name: value})

    assert ended.returncode == 4
    assert f"CARDIOWATCH_{name.upper()}" in ended.stderr
    assert len(ended.stderr.splitlines()) == 1


def test_a_second_process_on_the_same_sqlite_file_refuses_to_start(
    model_dir: Path, url: str
) -> None:
    port = free_port()
    with running("-m", "api", model_dir=model_dir, database_url=url, api_port=port) as first:
        wait_for(f"http://127.0.0.1:{port}/readyz", first)

        second = run("-m", "api", model_dir=model_dir, database_url=url, api_port=free_port())

    assert second.returncode == 4
    assert "Another process" in second.stderr
    assert "Traceback" not in second.stderr


def test_the_folder_that_workers_share_goes_with_them(
    model_dir: Path, postgres_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    migrate(postgres_url, lambda _: None)
    settings = {"model_dir": model_dir, "database_url": postgres_url, "api_workers": 2}
    port = free_port()
    with running("-m", "api", api_port=port, **settings) as service:
        wait_for(f"http://127.0.0.1:{port}/readyz", service)
        (folder,) = tmp_path.glob("cardiowatch-*")
        service.terminate()
        assert service.wait(timeout=40) == 0
    assert not folder.exists()


@contextmanager
def under_load(service: subprocess.Popen[str], port: int) -> Iterator[list[str]]:
    """Send patients from eight clients until the service is gone; yield the answered ids."""
    answered: list[str] = []

    def send() -> None:
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", trust_env=False) as client:
            while True:
                try:
                    reply = client.post("/predict", json=PATIENT)
                except httpx.TransportError:
                    return  # rejected or cut off: nothing was acknowledged
                assert reply.status_code == 200
                answered.append(reply.json()["id"])

    wait_for(f"http://127.0.0.1:{port}/readyz", service)
    senders = [threading.Thread(target=send) for _ in range(8)]
    for sender in senders:
        sender.start()
    while len(answered) < 200:
        time.sleep(0.01)
    yield answered
    for sender in senders:
        sender.join()


def logged(url: str) -> set[str]:
    return {row["id"] for row in Reader(url).stream()}


def test_on_sigterm_what_was_answered_is_logged_and_the_end_is_a_success(
    model_dir: Path, url: str
) -> None:
    port = free_port()
    with (
        running("-m", "api", model_dir=model_dir, database_url=url, api_port=port) as service,
        under_load(service, port) as answered,
    ):
        service.send_signal(signal.SIGTERM)
        assert service.wait(30) == 0

    assert set(answered) <= logged(url)


def test_what_was_answered_before_sigkill_is_in_the_log(model_dir: Path, url: str) -> None:
    port = free_port()
    with (
        running("-m", "api", model_dir=model_dir, database_url=url, api_port=port) as service,
        under_load(service, port) as answered,
    ):
        service.kill()
        service.wait(30)

    assert set(answered) <= logged(url)


def test_in_kubernetes_the_service_starts_with_postgresql_only(
    model_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(os.environ, "KUBERNETES_SERVICE_HOST", "10.0.0.1")
    ended = run("-m", "api", model_dir=model_dir)

    assert ended.returncode == 4
    assert "PostgreSQL" in ended.stderr
    assert len(ended.stderr.splitlines()) == 1
