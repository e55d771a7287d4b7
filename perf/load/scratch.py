"""Scratch folders and databases, and the services to measure."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from db.migrate import migrate
from db.reader.queries import Reader
from perf.load.server_process import ROOT, Server, ServerFailed
from settings import load_settings


@contextmanager
def scratch_folder() -> Iterator[Path]:
    """Yield a folder on the disk of the real log: the system's own may be in memory."""
    (ROOT / "var").mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(dir=ROOT / "var") as folder:
        yield Path(folder)


def require_scratch_database(url: str) -> None:
    """Raise ServerFailed if a database holds anything but load tests: it is a real log."""
    with closing(Reader(url)) as reader:
        counts = reader.sources()
    if any(count for source, count in counts.items() if source != "load-test"):
        raise ServerFailed("the database holds other predictions; name an empty one")


def start_service(url: str, *, module: str = "api", **options: object) -> Server:
    """Migrate a database and start our service on it; the options are those of `Server`."""
    migrate(url, lambda _: None)
    return Server(
        ("-m", module), health="/readyz", database_url=url, model_dir=load_settings().model_dir,
        **options,  # type: ignore[arg-type]
    )  # fmt: skip


def start_baseline(name: str, on: set[int]) -> Server:
    """Start a service of `perf.baselines` on uvicorn, on these cores."""
    command = ("-m", "uvicorn", f"perf.baselines.{name}:app", "--port", "{port}")
    quiet = ("--log-level", "warning", "--no-access-log")
    return Server((*command, *quiet), health="/openapi.json", on=on)
