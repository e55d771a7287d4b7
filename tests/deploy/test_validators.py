"""What other people's validators say of the manifests, the images and the alerts.

They have pins of their own: `make test-deploy` installs them into .venv-deploy.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.deploy.manifests import K8S, render, stacks
from tests.deploy.promtool import PROMTOOL, needs_promtool
from tests.programs import ROOT

TOOLS = ROOT / ".venv-deploy" / "bin"
LOCAL_ONLY = "CKV_K8S_35,CKV_K8S_15,CKV_K8S_43,CKV_K8S_40"
"""Those of checkov.yaml, and a high uid: PostgreSQL's public image runs as 999."""
KUBERNETES = ("1.32", "1.37")
"""The oldest that GKE offers in its stable channel, and the newest that has a schema here."""

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
             "Rules"}  # fmt: skip
    unknown = {line.split("for kind ")[1].split()[0] for line in said.splitlines()
               if "find schema" in line}  # fmt: skip
    assert unknown <= known  # Google's and the Gateway API's own kinds
    assert "deployment/cardiowatch-api" in said


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
