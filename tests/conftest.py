"""What several folders of tests share: a trained model and the data beside the repository."""

from __future__ import annotations

import contextlib
import hashlib
import logging
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from xdist.scheduler import LoadScopeScheduling

import logs
from db.audit.seal_key import SealKey, create_seal_key

ROOT = Path(__file__).resolve().parent.parent

pytest_plugins = ["tests.postgres"]


_POSTGRES = {"postgres", "postgresql", "postgres_server", "postgres_url", "mortal_server"}
"""Fixtures that start a server, and what tests on both databases call it."""
_DASHBOARD = {"address", "served"}
"""Fixtures that start a dashboard, or an API behind it, for a test."""


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Mark tests by their folder and what they start; begin with the longest files."""
    for item in items:
        folder, *below = item.path.relative_to(ROOT / "tests").parts
        if folder in ("browser", "deploy"):
            item.add_marker(folder)
        if (folder, *below[:1]) == ("dashboard", "pages"):  # half a second each: a page is run
            item.add_marker("slow")
        needs = set(item.fixturenames)  # type: ignore[attr-defined]
        if hasattr(item, "callspec"):
            needs |= {value for value in item.callspec.params.values() if isinstance(value, str)}
        if needs & _POSTGRES:
            item.add_marker("postgres")
        if needs & _DASHBOARD:
            item.add_marker("slow")
    if hasattr(config, "workerinput"):  # one of several processes: no long file is left for the end
        slow = {item.path for item in items if item.get_closest_marker("slow")}
        items.sort(key=lambda i: (not i.get_closest_marker("browser"), i.path not in slow))


class _Shared(LoadScopeScheduling):  # type: ignore[misc] # xdist's own is not typed
    """Shares the tests between processes in their order: most of them wait."""

    def _split_scope(self, nodeid: str) -> str:
        """Return what runs in one process: a file, or all tests that open a browser."""
        path = nodeid.partition("::")[0]
        return "browser" if path.startswith("tests/browser/") else path


def pytest_xdist_make_scheduler(config: pytest.Config, log: object) -> LoadScopeScheduling:
    """Share the tests between the processes of `-n` by what they have in common."""
    config.option.loadscopereorder = False
    return _Shared(config, log)


@pytest.fixture(scope="session", autouse=True)
def _no_settings_of_this_machine() -> None:
    for name in [name for name in os.environ if name.startswith("CARDIOWATCH_")]:
        del os.environ[name]


@pytest.fixture(autouse=True)
def _errors_on_standard_error() -> Iterator[None]:
    """Print what a command logs: beside pytest's handlers logging leaves that to nobody."""
    assert logging.lastResort is not None
    logs.program.addHandler(logging.lastResort)
    yield
    logs.program.removeHandler(logging.lastResort)


@pytest.fixture(scope="session")
def model_dir() -> Path:
    """The model as `make train` makes it, kept for as long as what makes it is unchanged."""
    made_from = hashlib.sha256()
    for source in (*sorted(ROOT.glob("pipeline/**/*.py")), ROOT / "data" / "heart.csv"):
        made_from.update(source.read_bytes())
    folder = ROOT / "var" / "test-models" / made_from.hexdigest()[:12]
    if not folder.exists():
        folder.parent.mkdir(parents=True, exist_ok=True)
        part = Path(tempfile.mkdtemp(dir=folder.parent))
        command = [
            sys.executable,
            "-m",
            "cardiowatch",
            "train",
            "--seeds",
            "3",
            "--model-dir",
            str(part),
        ]
        subprocess.run(command, check=True, cwd=ROOT, capture_output=True)
        with contextlib.suppress(OSError):  # another worker was faster
            part.rename(folder)
    return folder


@pytest.fixture
def key(tmp_path: Path) -> SealKey:
    """A new key for a log: beside the file of `sqlite_url`, where programs look for it."""
    path = tmp_path / "log.db.key"
    create_seal_key(path)
    return SealKey(bytes.fromhex(path.read_text().strip()), path)
