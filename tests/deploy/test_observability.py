"""The Grafana dashboard asks for what there is, in expressions that Prometheus can read."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from starlette.testclient import TestClient

from api.app import create_app
from db.schema import SOURCES
from settings import Settings
from tests.api.conftest import PATIENT
from tests.api.test_monitoring_gauges import REPORT, add
from tests.deploy.manifests import K8S
from tests.deploy.promtool import PROMTOOL, needs_promtool
from tests.programs import ROOT

FOLDER = K8S / "observability"
DASHBOARD: dict[str, Any] = json.loads((FOLDER / "dashboard.json").read_text())
PANELS = [panel for panel in DASHBOARD["panels"] if panel["type"] != "row"]
EXPRESSIONS = [target["expr"] for panel in PANELS for target in panel["targets"]]
ALERTS = (FOLDER / "alerts.yml").read_text()
_NO_METRIC = {"by", "or", "le"}
CLUSTERS = ("kubelet_", "node_")


def metrics_in(expression: str) -> set[str]:
    """Return the metric names of an expression: words that are no function and no label."""
    bare = re.sub(r"\{[^}]*\}|\[[^]]*\]|\bby \([^)]*\)", " ", expression)
    words = re.findall(r"\b([a-z_]+)\b(?!\s*\()", bare)
    return set(words) - _NO_METRIC


@pytest.fixture
def exported(sqlite_url: str, model_dir: Path) -> set[str]:
    """The names at /metrics after a prediction, a refusal and a pass with outcomes."""
    add(
        sqlite_url,
        REPORT | {"accuracy": {name: {"accuracy": 0.8} for name in ("estimated", "true")}},
    )
    app = create_app(Settings(database_url=sqlite_url, model_dir=model_dir))
    with TestClient(app, base_url="http://127.0.0.1") as client:
        client.post("/predict", json=PATIENT)
        client.post("/predict", json={})
        text = client.get("/metrics").text
    return set(re.findall(r"^([a-z_]+)", text, re.MULTILINE))


def test_each_panel_asks_for_metrics_that_there_are(exported: set[str]) -> None:
    rules = yaml.safe_load(ALERTS)["groups"][0]["rules"]
    # Of the cluster: no program of ours exports them, and the alerts are tested with them.
    clusters = {n for rule in rules for n in metrics_in(rule["expr"]) if n.startswith(CLUSTERS)}
    known = exported | clusters | {"up"}

    assert len(EXPRESSIONS) >= 20
    for expression in EXPRESSIONS:
        found = metrics_in(expression)
        assert found, expression
        assert found <= known, expression


def test_each_alert_asks_for_metrics_that_there_are(exported: set[str]) -> None:
    for rule in yaml.safe_load(ALERTS)["groups"][0]["rules"]:
        ours = {name for name in metrics_in(rule["expr"]) if not name.startswith(CLUSTERS)}
        assert ours <= exported | {"up", "absent"}, rule["alert"]


def test_each_alert_that_a_panel_names_exists_and_each_is_named() -> None:
    said = " ".join(panel.get("description", "") for panel in PANELS)
    alerts = {rule["alert"] for rule in yaml.safe_load(ALERTS)["groups"][0]["rules"]}

    # Refusals have one panel with every status in it.
    assert set(re.findall(r"\bCardiowatch[A-Z]\w+", said)) == alerts - {
        "CardiowatchLogRefused", "CardiowatchStrangers",
    }  # fmt: skip


def test_the_sources_to_choose_from_are_those_that_are_watched() -> None:
    (variable,) = [v for v in DASHBOARD["templating"]["list"] if v["name"] == "source"]

    assert set(variable["query"].split(",")) <= set(SOURCES)
    assert variable["current"]["value"] == "live"


def test_panels_have_ids_of_their_own_and_do_not_lie_on_each_other() -> None:
    cells = [
        (x, y)
        for panel in DASHBOARD["panels"]
        for at in [panel["gridPos"]]
        for x in range(at["x"], at["x"] + at["w"])
        for y in range(at["y"], at["y"] + at["h"])
    ]

    assert len({panel["id"] for panel in DASHBOARD["panels"]}) == len(DASHBOARD["panels"])
    assert len(cells) == len(set(cells))
    assert max(x for x, _ in cells) < 24


@needs_promtool
def test_prometheus_can_read_every_expression(tmp_path: Path) -> None:
    filled = [e.replace("$__rate_interval", "1m").replace("$source", "live") for e in EXPRESSIONS]
    rules = [{"record": f"panel:{number}", "expr": e} for number, e in enumerate(filled)]
    path = tmp_path / "rules.yml"
    path.write_text(yaml.safe_dump({"groups": [{"name": "dashboard", "rules": rules}]}))

    checked = subprocess.run(
        [str(PROMTOOL), "check", "rules", path],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )

    assert checked.returncode == 0, checked.stderr
    assert "$" not in "".join(filled)
