"""Both servers on one machine: `cardiowatch run`, which is `make run`."""

from __future__ import annotations

import errno
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from contextlib import closing, suppress
from functools import partial
from pathlib import Path

import click

from db.audit.chain import create_default_key
from db.migrate import migrate
from db.reader.queries import Reader
from errors import CardiowatchError
from settings import Settings, load_settings, local_url

_START_S = 90.0
"""Longest wait for a server: the first start of the dashboard compiles its libraries."""
_STOP_S = 35.0
"""Longest wait for a server to finish its requests, a little over the API's own 30 s."""
_SYNTHETIC = 100
_MONITOR_EVERY_S = 3600.0
"""A run whose windows all have their report ends at once."""
_DIRECT = urllib.request.build_opener(urllib.request.ProxyHandler({}))
"""Calls our own servers without the proxy that the environment may name."""


class StartupError(CardiowatchError):
    """The servers cannot start or have stopped; the message says why in one line."""


def interrupt_once() -> None:
    """Make the first SIGINT or SIGTERM raise KeyboardInterrupt and ignore later ones.

    `make` repeats the signal that the terminal sends; the second must not interrupt the cleanup.
    """
    stopping = False

    def stop(*_: object) -> None:
        nonlocal stopping
        if not stopping:
            stopping = True
            raise KeyboardInterrupt

    signal.signal(signal.SIGINT, stop)
    signal.signal(signal.SIGTERM, stop)


def _cardiowatch(*arguments: str) -> list[str]:
    return [sys.executable, str(Path(__file__).with_name("cardiowatch.py")), *arguments]


def _call(*arguments: str) -> None:
    if subprocess.run(_cardiowatch(*arguments), check=False).returncode != 0:  # noqa: S603
        raise StartupError(f"cardiowatch {' '.join(arguments)} failed; see above")


def _require_free(host: str, port: int, setting: str) -> None:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        socket.create_server((host, port), family=family).close()
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            raise StartupError(
                f"Port {port} is in use, perhaps by another make run: stop it or set {setting}_PORT"
            ) from None
        raise StartupError(
            f"Cannot listen on port {port} of {host} ({error.strerror}): "
            f"set {setting}_HOST or {setting}_PORT"
        ) from None


def require_free_ports(settings: Settings) -> None:
    """Raise StartupError unless both servers can listen."""
    _require_free(settings.api_host, settings.api_port, "CARDIOWATCH_API")
    _require_free(settings.dashboard_host, settings.dashboard_port, "CARDIOWATCH_DASHBOARD")


def _is_healthy(url: str) -> bool:
    try:
        with _DIRECT.open(url, timeout=2) as reply:
            return bool(reply.status == 200)
    except (OSError, urllib.error.URLError):
        return False


class Supervisor:
    """Servers and monitor, each in its own session, so that Ctrl-C reaches only this program."""

    def __init__(self) -> None:
        self._servers: dict[str, subprocess.Popen[bytes]] = {}
        self._monitor: subprocess.Popen[bytes] | None = None
        self._monitor_due = time.monotonic()

    def start(self, name: str, health: str) -> None:
        """Start a server and wait until it is ready."""
        self._servers[name] = _start(name)
        deadline = time.monotonic() + _START_S
        while not _is_healthy(health):
            self.check()
            if time.monotonic() > deadline:
                raise StartupError(f"The {name} is not ready after {_START_S:.0f} s ({health})")
            time.sleep(0.1)

    def check(self) -> None:
        """Raise StartupError if a server has exited."""
        for name, server in self._servers.items():
            if server.poll() is not None:
                raise StartupError(f"The {name} exited with code {server.returncode}; see above")

    def monitor_when_due(self) -> None:
        """Start a monitoring run every hour; a failed one stops nothing."""
        if time.monotonic() >= self._monitor_due and (
            self._monitor is None or self._monitor.poll() is not None
        ):
            self._monitor_due = time.monotonic() + _MONITOR_EVERY_S
            self._monitor = _start("monitor")

    def stop(self) -> None:
        """Stop the programs, the readers before the writer, and wait for them."""
        if self._monitor is not None:
            self._servers["monitor"] = self._monitor
        for name, server in reversed(self._servers.items()):
            server.terminate()
            try:
                server.wait(_STOP_S)
            except subprocess.TimeoutExpired:
                print(f"The {name} did not stop and was killed", file=sys.stderr)
                server.kill()
                server.wait()


def _start(name: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen(_cardiowatch(name), start_new_session=True)  # noqa: S603


def _log_is_empty(settings: Settings) -> bool:
    with closing(Reader(settings.database_url)) as reader:
        return not reader.page(limit=1)[0]


def train_if_missing(settings: Settings) -> None:
    """Train the model if there is none."""
    if not (settings.model_dir / "SHA256SUMS").exists():
        _call("train")


def run(settings: Settings, report: Callable[[str], None]) -> None:
    """Set up what is missing, start both servers, and stop them when a signal comes.

    Raises
    ------
    StartupError
        A server cannot start, or has ended by itself.
    """
    supervisor = Supervisor()
    try:
        require_free_ports(settings)
        train_if_missing(settings)
        migrate(settings.database_url, report)
        if settings.log_hmac_key_file is None:
            create_default_key(settings.database_url)
        supervisor.start("api", f"{settings.api_url}/readyz")
        if _log_is_empty(settings):
            _call("replay", "--patients", str(_SYNTHETIC))
        page = local_url(settings.dashboard_host, settings.dashboard_port)
        supervisor.start("dashboard", f"{page}/_stcore/health")
        report(f"\nDashboard  {page}\nAPI        {settings.api_url}/docs\n\nCtrl-C stops both.")
        while True:
            supervisor.check()
            supervisor.monitor_when_due()
            time.sleep(0.5)
    finally:
        supervisor.stop()


@click.command("run")
def command() -> None:
    """Start the API and the dashboard; set up what is missing.

    Trains the model if there is none, creates or updates the database, starts both servers, sends
    100 synthetic patients through the API if the log is empty, prints the addresses, and runs the
    monitor every hour. Ctrl-C or SIGTERM stops everything.
    """
    interrupt_once()
    with suppress(KeyboardInterrupt):
        run(load_settings(), partial(print, flush=True))
