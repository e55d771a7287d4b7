"""What several folders of tests share: a trained model and the data beside the repository."""

from __future__ import annotations

import fcntl
import hashlib
import logging
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from xdist.scheduler import LoadFileScheduling

import logs
from db.audit.seal_key import SealKey, create_seal_key

ROOT = Path(__file__).resolve().parent.parent

pytest_plugins = ["tests.postgres"]


_POSTGRES = {"postgres", "postgresql", "postgres_server", "mortal_server"}
"""Fixtures that start a server, and what tests on both databases call it."""
_DASHBOARD = {"address", "served", "signed", "unsigned"}
"""Fixtures that start a dashboard, or an API behind it, for a test."""


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Mark tests by their folder and what they start; begin with the longest files."""
    of_the_model, long = set(), set()
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
        if item.get_closest_marker("browser") or item.get_closest_marker("slow"):
            long.add(item.path)
        if "model_dir" in needs:
            of_the_model.add(item.path)
    if hasattr(config, "workerinput"):  # one of several processes: no long file is left for the end
        trains = min(of_the_model - long, default=None)  # while the others need no model yet
        items.sort(
            key=lambda item: (
                not item.get_closest_marker("browser"),
                item.path not in long,
                item.path != trains,
                item.path in of_the_model,
            )
        )


def pytest_xdist_make_scheduler(config: pytest.Config, log: object) -> LoadFileScheduling:
    """Share the files between the processes of `-n` in their order."""
    config.option.loadscopereorder = False
    return LoadFileScheduling(config, log)


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
    for logger in (logging.getLogger(), logs.program, logs.access, logs.chain_heads):
        for handler in logger.handlers[:]:  # what `logs.configure` left
            if isinstance(handler, logs.SplitStreamHandler) or isinstance(
                handler.formatter, logs.TextFormatter | logs.JsonFormatter
            ):
                logger.removeHandler(handler)
        logger.propagate = True


@pytest.fixture(scope="session")
def model_dir() -> Path:
    """The model that `make train` makes, with evidence from fewer repetitions.

    It is kept for as long as what makes it is unchanged.
    """
    made_from = hashlib.sha256()
    for source in (
        *sorted(ROOT.glob("pipeline/**/*.py")), ROOT / "data" / "heart.csv", Path(__file__)
    ):  # fmt: skip
        made_from.update(source.read_bytes())
    folder = ROOT / "var" / "test-models" / made_from.hexdigest()[:12]
    folder.parent.mkdir(parents=True, exist_ok=True)
    with (folder.parent / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # another worker may be making it
        if not folder.exists():
            part = tempfile.mkdtemp(dir=folder.parent)
            less = "from pipeline import train; train.GATE_SPLITS = 10; train.command()"
            command = [sys.executable, "-c", less, "--seeds", "3", "--model-dir", part]
            subprocess.run(command, check=True, cwd=ROOT, capture_output=True)
            Path(part).rename(folder)
    return folder


@pytest.fixture
def key(tmp_path: Path) -> SealKey:
    """A new key for a log: beside the file of `sqlite_url`, where programs look for it."""
    path = tmp_path / "log.db.key"
    create_seal_key(path)
    return SealKey(bytes.fromhex(path.read_text().strip()), path)
