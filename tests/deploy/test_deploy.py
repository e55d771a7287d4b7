"""`k8s/deploy.sh`: what it refuses, and what it applies in which order."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from tests.deploy.api_server import Cluster
from tests.deploy.manifests import K8S, OVERLAYS, objects

pytestmark = pytest.mark.skipif(
    shutil.which("kubectl") is None, reason="needs kubectl: https://kubernetes.io/docs/tasks/tools"
)
FILLED = {
    "PROJECT_ID": "project", "REGION": "europe-west3", "CLOUD_SQL_INSTANCE": "log",
    "API_HOST": "api.example", "DASHBOARD_HOST": "heart.example", "IAP_CLIENT_ID": "x.apps",
    "API_DIGEST": "a" * 64, "DASHBOARD_DIGEST": "b" * 64, "TAG": "one",
}  # fmt: skip
SECRETS = ("cardiowatch-database", "cardiowatch-keys", "cardiowatch-seal", "cardiowatch-dashboard")
KUBECTL = """#!/bin/sh
# Renders as kubectl does; of a cluster it writes down what it is asked. $FAILS fails.
[ "$1" != kustomize ] || exec "$KUBECTL" "$@"
[ "$1" != --namespace ] || shift 2
echo "$*" >>"$ASKED"
case "$* " in
*"$FAILS"*) exit 1 ;;
*status.succeeded*) echo 1 ;;
esac
"""


def deploy(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [K8S / "deploy.sh", *arguments], env=os.environ | environment, check=False,
        capture_output=True, text=True,
    )  # fmt: skip


def test_a_dry_run_prints_what_would_be_applied_with_nothing_left_to_fill_in() -> None:
    printed = deploy("gke", "--dry-run", **FILLED).stdout

    assert next(yaml.safe_load_all(printed))["kind"] == "Namespace"
    for name in (*FILLED, "RELEASE"):
        assert not re.search(rf"\b{name}\b", printed)
    assert f"api@sha256:{'a' * 64}" in printed
    assert "0" * 64 not in printed


@pytest.mark.parametrize("name", FILLED)
def test_what_is_missing_or_odd_is_named_and_nothing_is_printed(name: str) -> None:
    for value in ("", "a b", "a/b"):
        overlay = "local" if name == "TAG" else "gke"
        ended = deploy(overlay, "--dry-run", **(FILLED | {name: value}))

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
    [
        ("gke", "cardiowatch-iap"),
        ("gke-1-to-3", "cardiowatch-iap"),
        *((overlay, each) for overlay in OVERLAYS for each in SECRETS),
    ],
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
        "apply --selector !cardiowatch -f -", "apply --selector cardiowatch=serve -f -",
        "apply --selector cardiowatch=route -f -",
    ][: 2 + (overlay != "local")]  # fmt: skip
    assert asked[-1].startswith("apply ") is (overlay != "local")


def test_where_the_login_is_refused_nothing_lets_callers_in(tmp_path: Path) -> None:
    code, asked = asked_of_a_cluster(tmp_path, "gke", "apply --selector !cardiowatch")

    assert code != 0
    assert not any("cardiowatch=route" in line for line in asked)


STAGES = {
    "Gateway": "route", "HTTPRoute": "route", "Deployment": "serve", "CronJob": "serve",
}  # fmt: skip


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_what_runs_a_version_comes_after_its_migration_and_routes_come_last(overlay: str) -> None:
    """For deploy.sh by a label, for Argo CD by a wave; the migration is a hook of the first."""
    for each in objects(overlay):
        stage = STAGES.get(each["kind"])
        found = each["metadata"]
        wave = found.get("annotations", {}).get("argocd.argoproj.io/sync-wave")
        assert found.get("labels", {}).get("cardiowatch") == stage, found["name"]
        assert wave == {None: None, "serve": "1", "route": "2"}[stage], found["name"]
        if each["kind"] == "Job":
            assert found["annotations"]["argocd.argoproj.io/hook"] == "Sync"


@pytest.fixture
def cluster(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Cluster]:
    """A stand-in cluster to which kubectl points, with the secrets and version `one` in it."""
    found = Cluster()
    for name in SECRETS:
        found.objects["secrets", name] = {"metadata": {"name": name}}
    (tmp_path / "kubectl").write_text(
        f'#!/bin/sh\n[ "$1" != apply ] || set -- "$@" --validate=false\n'
        f'exec {shutil.which("kubectl")} --server={found.url} "$@"\n'
    )
    (tmp_path / "kubectl").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    monkeypatch.setenv("HOME", str(tmp_path))  # kubectl's cache of what a server knows
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "none"))
    first = deploy("local", TAG="one")
    assert first.returncode == 0, first.stderr
    yield found
    found.shutdown()
    found.server_close()


def test_a_version_is_migrated_first_and_then_served(cluster: Cluster) -> None:
    assert cluster.written.index("jobs/cardiowatch-migrate-one") < cluster.written.index(
        "deployments/cardiowatch-api"
    )
    assert deploy("local", TAG="two").returncode == 0
    assert cluster.serving("cardiowatch-api") == {"cardiowatch-api:two"}
    assert cluster.serving("cardiowatch-dashboard") == {"cardiowatch-dashboard:two"}


def test_a_migration_that_fails_is_shown_and_nothing_else_changes(cluster: Cluster) -> None:
    cluster.broken_migrations = {"cardiowatch-api:two"}
    ended = deploy("local", TAG="two")

    assert ended.returncode == 1
    assert "the migration fails" in ended.stderr
    assert "log of cardiowatch-migrate-two-x" in ended.stderr
    assert "Job cardiowatch-migrate-two has failed pods" in ended.stderr
    assert "No Deployment was changed: the previous pods serve" in ended.stderr
    assert cluster.image("cardiowatch-api") == "cardiowatch-api:one"
    assert cluster.serving("cardiowatch-api") == {"cardiowatch-api:one"}
    # The same version again, once the cause is gone.
    cluster.broken_migrations = set()
    assert deploy("local", TAG="two").returncode == 0
    assert cluster.serving("cardiowatch-api") == {"cardiowatch-api:two"}


@pytest.mark.parametrize("image", ["api", "dashboard"])
def test_an_image_that_cannot_be_pulled_is_named_and_the_old_pods_serve(
    cluster: Cluster, image: str
) -> None:
    cluster.event("an older warning")
    cluster.broken_images = {f"cardiowatch-{image}:two"}
    ended = deploy("local", TAG="two")

    assert ended.returncode == 1
    assert "ImagePullBackOff" in ended.stderr
    assert f"Failed to pull image cardiowatch-{image}:two" in ended.stderr
    assert cluster.serving(f"cardiowatch-{image}") == {f"cardiowatch-{image}:one"}
    if image == "dashboard":  # the API's image is that of the migration too: nothing has changed
        assert "rollout undo deployment/cardiowatch-dashboard" in ended.stderr
    # A broken pod of an earlier try does not stop the version that mends it.
    cluster.broken_images = set()
    assert deploy("local", TAG="three").returncode == 0


def test_the_manifests_can_be_applied_twice_and_across_upgrades(cluster: Cluster) -> None:
    def applied(manifests: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["kubectl", "apply", "-f", "-"], input=manifests, check=False,
            capture_output=True, text=True,
        )  # fmt: skip

    for tag in ("two", "two", "three"):
        assert applied(deploy("local", "--dry-run", TAG=tag).stdout).returncode == 0
    assert {name for kind, name in cluster.objects if kind == "jobs"} == {
        f"cardiowatch-migrate-{tag}" for tag in ("one", "two", "three")
    }
    # The stand-in refuses what a cluster would.
    stale = deploy("local", "--dry-run", TAG="four").stdout.replace("migrate-four", "migrate-three")
    assert "field is immutable" in applied(stale).stderr


def test_on_gke_any_other_text_is_another_release() -> None:
    def job(**changed: str) -> str:
        printed = deploy("gke", "--dry-run", **(FILLED | changed)).stdout
        return re.findall(r"cardiowatch-migrate-\d+", printed)[0]

    assert job() == job()
    assert len({job(), job(API_DIGEST="c" * 64), job(DASHBOARD_DIGEST="c" * 64)}) == 3
