"""`k8s/deploy.sh`: what it refuses, and what it applies in which order."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

from tests.deploy.manifests import K8S, OVERLAYS, objects

pytestmark = pytest.mark.skipif(
    shutil.which("kubectl") is None, reason="needs kubectl: https://kubernetes.io/docs/tasks/tools"
)
FILLED = {
    "PROJECT_ID": "project", "REGION": "europe-west3", "CLOUD_SQL_INSTANCE": "log",
    "API_HOST": "api.example", "DASHBOARD_HOST": "heart.example", "IAP_CLIENT_ID": "x.apps",
    "API_DIGEST": "a" * 64, "DASHBOARD_DIGEST": "b" * 64,
}  # fmt: skip
SECRETS = ("cardiowatch-database", "cardiowatch-keys", "cardiowatch-seal", "cardiowatch-dashboard")
KUBECTL = """#!/bin/sh
# Renders as kubectl does; of a cluster it writes down what it is asked. $FAILS fails.
[ "$1" != kustomize ] || exec "$KUBECTL" "$@"
echo "$*" >>"$ASKED"
case "$*" in *"$FAILS"*) exit 1 ;; esac
"""


def deploy(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [K8S / "deploy.sh", *arguments], env=os.environ | environment, check=False,
        capture_output=True, text=True,
    )  # fmt: skip


def test_a_dry_run_prints_what_would_be_applied_with_nothing_left_to_fill_in() -> None:
    printed = deploy("gke", "--dry-run", **FILLED).stdout

    assert next(yaml.safe_load_all(printed))["kind"] == "Namespace"
    for name in FILLED:
        assert not re.search(rf"\b{name}\b", printed)
    assert f"api@sha256:{'a' * 64}" in printed
    assert "0" * 64 not in printed


@pytest.mark.parametrize("name", FILLED)
def test_what_is_missing_or_odd_is_named_and_nothing_is_printed(name: str) -> None:
    for value in ("", "a b", "a/b"):
        ended = deploy("gke", "--dry-run", **(FILLED | {name: value}))

        assert ended.returncode != 0
        assert name in ended.stderr
        assert ended.stdout == ""


@pytest.mark.parametrize("name", ["API_DIGEST", "DASHBOARD_DIGEST"])
@pytest.mark.parametrize("value", ["a" * 63, "z" + "0" * 63, "A" * 64])
def test_what_is_no_digest_is_refused(name: str, value: str) -> None:
    ended = deploy("gke", "--dry-run", **(FILLED | {name: value}))

    assert (ended.returncode, ended.stdout) == (1, "")
    assert "64 hex digits" in ended.stderr


def asked_of_a_cluster(folder: Path, overlay: str, fails: str) -> tuple[int, list[str]]:
    """Deploy to a cluster that refuses something; return the exit code and what it was asked."""
    (folder / "kubectl").write_text(KUBECTL)
    (folder / "kubectl").chmod(0o755)
    ended = deploy(
        overlay, PATH=f"{folder}:{os.environ['PATH']}", KUBECTL=str(shutil.which("kubectl")),
        ASKED=str(folder / "asked"), FAILS=fails, **FILLED,
    )  # fmt: skip
    return ended.returncode, (folder / "asked").read_text().splitlines()


@pytest.mark.parametrize(
    ("overlay", "missing"),
    [("gke", "cardiowatch-iap"), *((overlay, each) for overlay in OVERLAYS for each in SECRETS)],
)
def test_nothing_is_touched_while_a_secret_is_missing(
    tmp_path: Path, overlay: str, missing: str
) -> None:
    code, asked = asked_of_a_cluster(tmp_path, overlay, f"get secret {missing} ")

    assert code == 1
    assert all(line.startswith("get secret ") for line in asked)


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_routes_are_applied_last(tmp_path: Path, overlay: str) -> None:
    code, asked = asked_of_a_cluster(tmp_path, overlay, "nothing")
    applied = [line for line in asked if line.startswith("apply ")]

    assert code == 0
    assert applied == [
        "apply --selector !cardiowatch -f -", "apply --selector cardiowatch=route -f -",
    ][: 1 + (overlay == "gke")]  # fmt: skip
    assert asked[-1].startswith("apply ") is (overlay == "gke")


def test_where_the_login_is_refused_nothing_lets_callers_in(tmp_path: Path) -> None:
    code, asked = asked_of_a_cluster(tmp_path, "gke", "apply --selector !cardiowatch")

    assert code != 0
    assert not any("cardiowatch=route" in line for line in asked)


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_what_lets_callers_in_and_nothing_else_has_the_label_of_a_route(overlay: str) -> None:
    for each in objects(overlay):
        labels = each["metadata"].get("labels", {})
        route = each["kind"] in ("Gateway", "HTTPRoute")
        assert labels.get("cardiowatch") == ("route" if route else None), each["metadata"]["name"]
