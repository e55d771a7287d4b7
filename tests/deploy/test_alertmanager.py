"""From a killed service to a message: the real Prometheus, Alertmanager and rules."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
import yaml

from db.migrate import migrate
from tests.alert_receiver import running_receiver
from tests.programs import ROOT, free_port, running, wait_for

PROGRAMS = ROOT / "var" / "promtool" / "usr" / "bin"
TEMPLATES = Path("/usr/share/prometheus/alertmanager/default.tmpl")
OBSERVABILITY = ROOT / "k8s" / "observability"

pytestmark = pytest.mark.skipif(
    not (PROGRAMS / "prometheus-alertmanager").exists() or not TEMPLATES.exists(),
    reason="needs Prometheus and Alertmanager: tests/parts.sh fetches them on Debian",
)


@contextmanager
def program(name: str, ready: str, *arguments: str) -> Iterator[None]:
    """Run one of Debian's programs until the block ends."""
    process = subprocess.Popen(
        [PROGRAMS / name, *arguments, "--log.level=error"],
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip
    try:
        wait_for(ready, process)
        yield
    finally:
        process.terminate()
        process.communicate(timeout=20)


def prometheus_files(folder: Path, api: int, alertmanager: int) -> Path:
    """Write the shipped configuration with this test's ports and rules that wait 1 s."""
    rules = yaml.safe_load((OBSERVABILITY / "alerts.yml").read_text())
    for rule in rules["groups"][0]["rules"]:
        rule["for"] = "1s"
    (folder / "alerts.yml").write_text(yaml.safe_dump(rules))
    config = yaml.safe_load((OBSERVABILITY / "prometheus.yml").read_text())
    config["global"] = {"scrape_interval": "1s", "evaluation_interval": "1s"}
    config["scrape_configs"][0]["static_configs"][0]["targets"] = [f"127.0.0.1:{api}"]
    managers = config["alerting"]["alertmanagers"][0]["static_configs"][0]
    managers["targets"] = [f"127.0.0.1:{alertmanager}"]
    (folder / "prometheus.yml").write_text(yaml.safe_dump(config))
    return folder / "prometheus.yml"


def alertmanager_file(folder: Path, url: str) -> Path:
    """Write the shipped configuration with an integration and short pauses."""
    config = yaml.safe_load((OBSERVABILITY / "alertmanager.yml").read_text())
    config["route"] |= {"group_wait": "1s", "group_interval": "1s"}
    config["receivers"][0]["webhook_configs"] = [{"url": url}]
    (folder / "alertmanager.yml").write_text(yaml.safe_dump(config))
    return folder / "alertmanager.yml"


def test_a_killed_service_is_told_once_and_so_is_its_return(
    tmp_path: Path, model_dir: Path
) -> None:
    url = f"sqlite:///{tmp_path}/log.db"
    migrate(url, lambda _: None)
    api, prometheus, alertmanager = free_port(), free_port(), free_port()
    settings = {"api_port": api, "database_url": url, "model_dir": model_dir}
    with (
        running_receiver() as receiver,
        program(
            "prometheus-alertmanager",
            f"http://127.0.0.1:{alertmanager}/-/ready",
            f"--config.file={alertmanager_file(tmp_path, receiver.url)}",
            f"--storage.path={tmp_path}/alertmanager",
            f"--web.listen-address=127.0.0.1:{alertmanager}",
            "--cluster.listen-address=",
        ),
        running("-m", "api", **settings) as service,
    ):
        wait_for(f"http://127.0.0.1:{api}/readyz", service)
        with program(
            "prometheus",
            f"http://127.0.0.1:{prometheus}/-/ready",
            f"--config.file={prometheus_files(tmp_path, api, alertmanager)}",
            f"--storage.tsdb.path={tmp_path}/prometheus",
            f"--web.listen-address=127.0.0.1:{prometheus}",
        ):
            wait_until_up(prometheus)
            assert receiver.got == []
            service.kill()
            wait_until_told(receiver.got, 1)
            with running("-m", "api", **settings) as again:
                wait_for(f"http://127.0.0.1:{api}/readyz", again)
                wait_until_told(receiver.got, 2)
    told = [(one["status"], one["groupLabels"]["alertname"]) for one in receiver.got]
    assert told == [("firing", "CardiowatchDown"), ("resolved", "CardiowatchDown")]


def wait_until_up(prometheus: int) -> None:
    """Wait until the service is scraped."""
    wanted = 'up{job="cardiowatch-api"} == 1'
    deadline = time.monotonic() + 60
    while True:
        answer = httpx.get(
            f"http://127.0.0.1:{prometheus}/api/v1/query", params={"query": wanted}, trust_env=False
        )
        if answer.json()["data"]["result"]:
            return
        assert time.monotonic() < deadline
        time.sleep(0.2)


def wait_until_told(got: list[dict[str, object]], number: int) -> None:
    deadline = time.monotonic() + 60
    while len(got) < number:
        assert time.monotonic() < deadline, got
        time.sleep(0.1)
