"""What other people's validators say of the manifests, the images and the alerts.

They have pins of their own: `make test-deploy` installs them into .venv-deploy.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

from tests.deploy.manifests import K8S, render, stacks
from tests.deploy.promtool import PROMTOOL, needs_promtool
from tests.programs import ROOT

TOOLS = ROOT / ".venv-deploy" / "bin"
LOCAL_ONLY = "CKV_K8S_35,CKV_K8S_15,CKV_K8S_43,CKV_K8S_40"
"""Those of checkov.yaml, and a high uid: PostgreSQL's public image runs as 999."""
KUBERNETES = ("1.32", "1.37")
"""The oldest that GKE offers in its stable channel, and the newest that has a schema here."""

DEFINITIONS = ROOT.parent / "shared" / "crds"
"""As their projects publish them; not part of this repository."""
GROUPS = ("gateway.networking.k8s.io", "networking.gke.io", "monitoring.googleapis.com")

needs_tools = pytest.mark.skipif(
    "DEPLOY_TESTS" not in os.environ or shutil.which("kubectl") is None,
    reason="takes minutes, kubectl and .venv-deploy: make test-deploy",
)


def passes(*command: object) -> str:
    ended = subprocess.run(
        [str(part) for part in command], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return ended.stdout + ended.stderr


@pytest.fixture
def rendered(overlay: str, components: tuple[str, ...], tmp_path: Path) -> Path:
    path = tmp_path / "rendered.yaml"
    path.write_text(render(overlay, components))
    return path


@needs_tools
@pytest.mark.parametrize(("overlay", "components"), stacks())
@pytest.mark.parametrize("version", KUBERNETES)
def test_each_object_has_the_shape_that_kubernetes_knows(rendered: Path, version: str) -> None:
    said = passes(TOOLS / "kubernetes-validate", "--strict", "-k", version, rendered)

    known = {"Gateway", "HTTPRoute", "GCPBackendPolicy", "HealthCheckPolicy", "PodMonitoring",
             "Rules", "GlobalRules"}  # fmt: skip
    unknown = {line.split("for kind ")[1].split()[0] for line in said.splitlines()
               if "find schema" in line}  # fmt: skip
    assert unknown <= known  # Google's and the Gateway API's own kinds: the next test
    assert "deployment/cardiowatch-api" in said


needs_definitions = pytest.mark.skipif(
    not DEFINITIONS.is_dir(), reason=f"the definitions of Google's kinds are not in {DEFINITIONS}"
)


def refused(manifests: str) -> str:
    """Return what the definitions of Google's kinds refuse, and each object that they know."""
    filled = re.sub(r"\b(API|DASHBOARD)_HOST\b", "host.example", manifests)
    ended = subprocess.run(
        [TOOLS / "python", "tests/deploy/crds.py", DEFINITIONS], input=filled, cwd=ROOT,
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert ended.stdout.count("\n  ") > 0 if ended.returncode else not ended.stderr, ended.stderr
    return ended.stdout


@needs_tools
@needs_definitions
@pytest.mark.parametrize(("overlay", "components"), stacks())
def test_each_object_of_google_is_one_that_its_definition_admits(rendered: Path) -> None:
    manifests = rendered.read_text()
    ours = {f"{each['kind']}/{each['metadata']['name']}"
            for each in yaml.safe_load_all(manifests)
            if each["apiVersion"].split("/")[0] in GROUPS}  # fmt: skip

    assert set(refused(manifests).splitlines()) == ours


@needs_tools
@needs_definitions
@pytest.mark.parametrize(
    ("was", "now", "why"),
    [
        ("        portSpecification: USE_FIXED_PORT\n", "", "must be unset for portSpecification"),
        ("sessionAffinity:", "sessionAffinities:", "'sessionAffinities' was unexpected"),
        ("path: /metrics", "path: 7", "7 is not of type 'string'"),
    ],
)
def test_what_a_definition_does_not_admit_is_refused(was: str, now: str, why: str) -> None:
    manifests = render("gke")
    assert was in manifests

    assert why in refused(manifests.replace(was, now))


@needs_tools
@pytest.mark.parametrize(("overlay", "components"), stacks())
def test_checkov_finds_nothing_that_is_not_explained(rendered: Path, overlay: str) -> None:
    local = ["--skip-check", LOCAL_ONLY] if overlay == "local" else []
    passes(
        TOOLS / "checkov", "--config-file", ROOT / "tests" / "deploy" / "checkov.yaml",
        "--skip-download", "-f", rendered, *local,
    )  # fmt: skip


@needs_tools
def test_hadolint_is_content_with_the_images() -> None:
    files = ["Dockerfile.api", "Dockerfile.dashboard"]
    passes(TOOLS / "hadolint", *files)


@needs_promtool
def test_the_alerts_can_be_read_and_each_fires_when_it_should() -> None:
    alerts = K8S / "observability"
    passes(PROMTOOL, "check", "rules", alerts / "alerts.yml")
    passes(PROMTOOL, "check", "config", alerts / "prometheus.yml")
    passes(PROMTOOL, "test", "rules", ROOT / "tests" / "deploy" / "alerts_test.yml")
