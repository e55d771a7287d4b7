"""What several folders of tests share: a trained model and the data beside the repository."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
SHARED = ROOT.parent / "shared" / "data"

pytest_plugins = ["tests.postgres"]


@pytest.fixture(scope="session", autouse=True)
def _no_settings_of_this_machine() -> None:
    for name in [name for name in os.environ if name.startswith("CARDIOWATCH_")]:
        del os.environ[name]


@pytest.fixture(scope="session")
def model_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The model as `make train` makes it."""
    folder = tmp_path_factory.mktemp("models")
    command = [sys.executable, "-m", "pipeline.train", "--model-dir", str(folder)]
    subprocess.run(command, check=True, cwd=ROOT, capture_output=True)
    return folder


def shared(name: str) -> Path:
    """Return a file of the test data that are not part of the project, or skip with the reason."""
    path = SHARED / name
    if not path.exists():
        pytest.skip(f"{name} is not beside the repository (../shared/data)")
    return path
