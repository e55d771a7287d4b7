"""Starts a service on chosen cores, stops or kills it, and reads its CPU and memory."""

from __future__ import annotations

import http.client
import os
import resource
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence, Set
from contextlib import ExitStack, closing, contextmanager, suppress
from pathlib import Path

from errors import CardiowatchError

ROOT = Path(__file__).resolve().parents[2]
_PROC = Path("/proc")
_START_S = 180.0
"""Longest wait for an answer; importing scikit-learn alone takes seconds on a busy machine."""


class ServerFailed(CardiowatchError):
    """A service did not start, stop or answer as expected; the message says which."""


def split_cores() -> tuple[set[int], set[int]]:
    """Return the cores for the service and for its clients; empty sets = any."""
    if not hasattr(os, "sched_getaffinity"):
        return set(), set()
    *service, client = sorted(os.sched_getaffinity(0))
    return (set(service), {client}) if service else (set(), set())


@contextmanager
def pin_to_cores(to: Set[int]) -> Iterator[None]:
    """Run everything started inside the block on these cores only."""
    if not to:
        yield
        return
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, to)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def allow_connections() -> None:
    """Raise the limit of open files for this process and its children, as far as permitted."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(most, 65536), most))


def free_port() -> int:
    """Return a free port."""
    with closing(socket.socket()) as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


class Server:
    """A running service in its own session, so that all its processes can be found.

    Parameters
    ----------
    arguments
        Arguments of Python; `{port}` in them is replaced.
    health
        Path that answers 200 once the service is ready.
    on
        Cores to run on; empty = any.
    log
        File for its output; default: our own output.
    settings
        The project's settings, as `database_url=...`.
    """

    def __init__(
        self,
        arguments: Sequence[str],
        *,
        health: str,
        on: Set[int] = frozenset(),
        log: Path | None = None,
        **settings: object,
    ) -> None:
        self.port = free_port()
        own = {f"CARDIOWATCH_{name.upper()}": str(value) for name, value in settings.items()}
        own["CARDIOWATCH_API_PORT"] = str(self.port)
        environment = os.environ | own
        command = [sys.executable, *(a.format(port=self.port) for a in arguments)]
        began = time.monotonic()
        with pin_to_cores(on), ExitStack() as stack:
            output = stack.enter_context(log.open("wb")) if log else None
            self._process = subprocess.Popen(  # noqa: S603
                command, cwd=ROOT, env=environment, start_new_session=True,
                stdout=output, stderr=output,
            )  # fmt: skip
        try:
            self._wait_for(health)
        except BaseException:
            self.kill()
            raise
        self.start_s = time.monotonic() - began

    def __enter__(self) -> Server:
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()

    def kill(self) -> None:
        """SIGKILL every process of the service at once, and wait."""
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()

    @property
    def process_id(self) -> int:
        """The service's first process."""
        return self._process.pid

    def terminate(self) -> None:
        """Send SIGTERM, as a cluster does, without waiting."""
        self._process.terminate()

    def exit_code(self, within_s: float = 40.0) -> int:
        """Wait until the service has stopped; return its exit code.

        Raises
        ------
        ServerFailed
            It did not stop in time.
        """
        try:
            return self._process.wait(within_s)
        except subprocess.TimeoutExpired:
            raise ServerFailed(f"the service did not stop within {within_s:g} s") from None

    def cpu_s(self) -> float | None:
        """Return the CPU seconds of all its processes so far; None without /proc."""
        if not _PROC.exists():
            return None
        # utime, stime and those of ended children, in clock ticks
        ticks = sum(int(field) for stat in self._stats().values() for field in stat[11:15])
        return ticks / os.sysconf("SC_CLK_TCK")

    def memory_mb(self) -> float | None:
        """Return the resident memory of all its processes, MB; None without /proc."""
        if not _PROC.exists():
            return None
        pages = sum(int(stat[21]) for stat in self._stats().values())
        return pages * os.sysconf("SC_PAGE_SIZE") / 1e6

    def processes(self) -> list[int]:
        """Return the ids of all its processes; empty without /proc."""
        return list(self._stats())

    def _stats(self) -> dict[int, list[str]]:
        """Return the fields after the name in /proc/ID/stat of each process of its session."""
        found = {}
        for folder in _PROC.glob("[0-9]*"):
            with suppress(OSError):  # ended meanwhile
                fields = (folder / "stat").read_text().rpartition(")")[2].split()
                if int(fields[3]) == self._process.pid:
                    found[int(folder.name)] = fields
        return found

    def wait_until_idle(self) -> None:
        """Wait until abandoned requests are finished: the next service shares the core."""
        deadline = time.monotonic() + 120
        before = self.cpu_s()
        while before is not None and time.monotonic() < deadline:
            time.sleep(0.25)
            now = self.cpu_s()
            if now is None or now - before <= 0.02:
                return
            before = now

    def _wait_for(self, health: str) -> None:
        deadline = time.monotonic() + _START_S
        while time.monotonic() < deadline:
            if self._process.poll() is not None:
                raise ServerFailed(f"a service exited with code {self._process.returncode}")
            asked = http.client.HTTPConnection("127.0.0.1", self.port, timeout=5)
            with closing(asked), suppress(OSError, http.client.HTTPException):
                asked.request("GET", health)
                if asked.getresponse().status == 200:
                    return
            time.sleep(0.02)
        raise ServerFailed(f"a service was not ready after {_START_S:g} s")
