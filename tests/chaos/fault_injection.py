"""Faults to inject below the service, each in its own real database."""

from __future__ import annotations

import os
import subprocess
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from db.engine import open_engine, transaction
from errors import CardiowatchError
from tests.chaos.network_faults import NetworkNamespaces
from tests.postgres import Cluster


class FaultUnavailable(CardiowatchError):
    """The fault cannot be injected here; the message says why."""


@dataclass(frozen=True)
class FaultTarget:
    """A database that can be broken and repaired.

    Attributes
    ----------
    url
        Of the database, not migrated yet.
    inject
        Breaks it and returns when it is broken; receives the process id of the service.
    recover
        Repairs it and returns when the database is usable again.
    method
        What breaks it, in a few words.
    """

    url: str
    inject: Callable[[int], object]
    recover: Callable[[], object]
    method: str


@contextmanager
def locked() -> Iterator[FaultTarget]:
    """SQLite, whose write lock another process holds."""
    with tempfile.TemporaryDirectory() as folder:
        url = f"sqlite:///{folder}/log.db"
        held = ExitStack()
        yield FaultTarget(
            url,
            lambda _: held.enter_context(transaction(open_engine(url))),
            held.close,
            "another process holds `BEGIN IMMEDIATE`",
        )


@contextmanager
def full_sqlite() -> Iterator[FaultTarget]:
    """SQLite on a disk that another program fills."""
    with tempfile.TemporaryDirectory() as folder, _small_disk(Path(folder), "16m"):
        filler = DiskFiller(Path(folder))
        yield FaultTarget(
            f"sqlite:///{folder}/log.db", lambda _: filler.fill(), filler.remove,
            "16 MB tmpfs, filled",
        )  # fmt: skip


@contextmanager
def stopped() -> Iterator[FaultTarget]:
    """PostgreSQL, stopped immediately and started again."""
    with Cluster() as cluster:
        url = cluster.url(cluster.new_database())
        yield FaultTarget(
            url, lambda _: cluster.stop(), cluster.start, "`pg_ctl -m immediate stop`"
        )


@contextmanager
def paused() -> Iterator[FaultTarget]:
    """PostgreSQL with all its processes suspended."""
    with Cluster() as cluster:
        url = cluster.url(cluster.new_database())
        try:
            yield FaultTarget(
                url, lambda _: cluster.pause(), cluster.resume, "SIGSTOP to all its processes"
            )
        finally:
            cluster.resume()  # so that it can be stopped


@contextmanager
def partitioned() -> Iterator[FaultTarget]:
    """PostgreSQL behind a router that drops every packet."""
    _require_root()
    with ExitStack() as stack:
        try:
            net = NetworkNamespaces()
        except (OSError, subprocess.CalledProcessError) as error:
            raise FaultUnavailable(f"no network namespaces here: {error}") from None
        stack.callback(net.remove)
        new = Cluster(settings=[f"listen_addresses={net.address}"], wrapper=net.wrapper)
        new.allow(net.callers)
        cluster = stack.enter_context(new)
        url = f"postgresql+psycopg://test@{net.address}/{cluster.new_database()}"
        yield FaultTarget(
            url, lambda _: net.partition(), net.heal, "a router drops every packet, both ways"
        )


@contextmanager
def full_postgresql() -> Iterator[FaultTarget]:
    """PostgreSQL on a disk that another program fills; restarted if that crashed it."""
    with tempfile.TemporaryDirectory(prefix="pg") as name, ExitStack() as stack:
        folder = Path(name)
        folder.chmod(0o755)
        disk = folder / "disk"
        disk.mkdir()
        stack.enter_context(_small_disk(disk, "160m"))
        sizes = ("max_wal_size=48MB", "min_wal_size=32MB")
        cluster = stack.enter_context(Cluster(disk, sizes))
        filler = DiskFiller(disk)

        def recover() -> None:
            filler.remove()
            if not cluster.running:
                cluster.start()

        url = cluster.url(cluster.new_database())
        yield FaultTarget(url, lambda _: filler.fill(), recover, "160 MB tmpfs, filled")


def _require_root() -> None:
    if os.getuid() != 0:
        raise FaultUnavailable("needs root")


@contextmanager
def _small_disk(folder: Path, size: str) -> Iterator[None]:
    _require_root()
    mount = ("mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder))
    done = subprocess.run(mount, capture_output=True, text=True, check=False)
    if done.returncode:
        raise FaultUnavailable(f"no small file system can be mounted: {done.stderr.strip()}")
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=False)


class DiskFiller:
    """Fills a disk, repeatedly: a database frees some space when it fails."""

    def __init__(self, folder: Path) -> None:
        self._file = folder / "filler"
        self._end = threading.Event()
        self._full = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def fill(self) -> None:
        """Fill the disk, keep it full, and return once it is."""
        self._thread.start()
        self._full.wait()

    def remove(self) -> None:
        """Free all space."""
        self._end.set()
        if self._thread.ident is not None:
            self._thread.join()
        self._file.unlink(missing_ok=True)

    def _run(self) -> None:
        with self._file.open("ab", 0) as file:
            while not self._end.is_set():
                for size in (1 << 20, 4096):
                    with suppress(OSError):
                        while file.write(bytes(size)):
                            pass
                self._full.set()
                self._end.wait(0.01)


@dataclass(frozen=True)
class Fault:
    """A fault: its name on the command line and in the table, and its duration."""

    name: str
    title: str
    seconds: float
    setup: Callable[[], AbstractContextManager[FaultTarget]]


ON_SQLITE = (
    Fault("locked", "SQLite: database locked", 10, locked),
    Fault("full-sqlite", "SQLite: disk full", 10, full_sqlite),
)
ON_POSTGRESQL = (
    Fault("stopped", "PostgreSQL: stopped", 10, stopped),
    Fault("frozen", "PostgreSQL: paused", 10, paused),
    Fault("cut-off", "PostgreSQL: partitioned", 60, partitioned),
    Fault("full-postgresql", "PostgreSQL: disk full", 10, full_postgresql),
)
