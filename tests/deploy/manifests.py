"""The manifests as a cluster would receive them: every overlay, alone and with every component."""

from __future__ import annotations

import os
import subprocess
import tempfile
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any

import yaml

from tests.programs import ROOT

K8S = ROOT / "k8s"
OVERLAYS = sorted(folder.name for folder in (K8S / "overlays").iterdir())
COMPONENTS = sorted(folder.name for folder in (K8S / "components").iterdir())

Object = dict[str, Any]


def stacks() -> list[tuple[str, tuple[str, ...]]]:
    """Return each overlay alone, and with every component that it does not name itself."""
    found = []
    for overlay in OVERLAYS:
        base = overlay.split("-")[0]  # of an example overlay
        named = (K8S / "overlays" / base / "kustomization.yaml").read_text()
        free = tuple(name for name in COMPONENTS if f"components/{name}" not in named)
        found += [(overlay, ()), (overlay, free)]
    return found


@lru_cache
def render(overlay: str, components: tuple[str, ...] = ()) -> str:
    """Return the YAML of an overlay with components added."""
    with tempfile.TemporaryDirectory() as folder:
        up = os.path.relpath(K8S, Path(folder).resolve())
        kustomization = {
            "resources": [f"{up}/overlays/{overlay}"],
            "components": [f"{up}/components/{name}" for name in components],
            "sortOptions": {"order": "legacy"},
        }
        (Path(folder) / "kustomization.yaml").write_text(yaml.safe_dump(kustomization))
        command = ["kubectl", "kustomize", folder]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout


@lru_cache
def objects(overlay: str, components: tuple[str, ...] = ()) -> list[Object]:
    """Return the objects of an overlay in the order in which they are applied; do not change."""
    return list(yaml.safe_load_all(render(overlay, components)))


def of_kind(found: list[Object], kind: str) -> dict[str, Object]:
    """Return the objects of a kind by name."""
    return {each["metadata"]["name"]: each for each in found if each["kind"] == kind}


def pods(found: list[Object]) -> Iterator[tuple[str, Object]]:
    """Yield the name and the pod spec of everything that runs."""
    for each in found:
        spec = each.get("spec", {})
        if each["kind"] == "CronJob":
            spec = spec["jobTemplate"]["spec"]
        if each["kind"] in ("Deployment", "StatefulSet", "Job", "CronJob"):
            yield each["metadata"]["name"], spec["template"]["spec"]


def ours(pod: Object) -> Object:
    """Return the container of a pod that is not its helper."""
    container: Object = pod["containers"][0]
    return container


def settings_of(pod: Object) -> dict[str, Any]:
    """Return the environment of a pod: a text, or where it comes from."""
    return {e["name"]: e.get("value", e.get("valueFrom")) for e in ours(pod).get("env", [])}
