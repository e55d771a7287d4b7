"""What the measuring programs share: a scratch folder, our service, and an orderly end."""

from __future__ import annotations

import signal
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from db.engine import DatabaseUnavailable
from db.migrate import migrate
from db.reader.queries import Reader
from db.writer.file_lock import LogLocked
from db.writer.writer import LogUnavailable
from perf.formats.wrk import UnreadableOutput
from perf.load.server_process import ROOT, Server, ServerFailed
from pipeline.model import ModelError
from settings import SettingsError, load_settings

_FAILURES = (
    ServerFailed, SettingsError, DatabaseUnavailable, LogLocked, LogUnavailable, ModelError,
    UnreadableOutput, OSError, RuntimeError,
)  # fmt: skip


def run_program(work: Callable[[], int], failure: str) -> int:
    """Run a program's work; return its exit code, 1 if it cannot run.

    Parameters
    ----------
    work
        Returns the exit code.
    failure
        Begins the line that says why it cannot run.
    """
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that everything started is stopped
    try:
        return work()
    except KeyboardInterrupt:
        return 1
    except _FAILURES as error:
        print(f"{failure}: {error}", file=sys.stderr)
        return 1


def exit_code(broken: list[str]) -> int:
    """Print the broken promises; return 0 if there are none."""
    for promise in broken:
        print(f"Broken: {promise}", file=sys.stderr)
    return 1 if broken else 0


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
