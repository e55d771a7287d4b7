"""`make run`: the whole house on one machine; Ctrl-C or SIGTERM stops everything cleanly.

Trains the model if there is none, creates or migrates the database, starts the API and the
dashboard, sends 100 synthetic patients through the API when the log is empty, and prints where to
look.
"""

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
from contextlib import closing

from db.audit.chain import make_key_beside
from db.engine import DatabaseUnavailable
from db.migrate import migrate
from db.reader.queries import Reader
from settings import Settings, SettingsError, load_settings, url_here

_START_S = 90.0
"""Longest wait for a server: the first start of the dashboard compiles its libraries."""
_STOP_S = 35.0
"""Longest wait for a server to finish its requests, a little over the API's own 30 s."""
_SYNTHETIC = 100
_DIRECT = urllib.request.build_opener(urllib.request.ProxyHandler({}))
"""Asks our own servers without the proxy that the environment may name."""


class Stopped(Exception):
    """The house cannot start or go on; the message says why in one line."""


def stop_once() -> None:
    """Have the first SIGINT or SIGTERM raise KeyboardInterrupt, and those after it do nothing.

    `make` passes on what the terminal has sent to all; a second one must not end the ending.
    """
    stopping = False

    def stop(*_: object) -> None:
        nonlocal stopping
        if not stopping:
            stopping = True
            raise KeyboardInterrupt

    signal.signal(signal.SIGINT, stop)
    signal.signal(signal.SIGTERM, stop)


def _python(*arguments: str) -> list[str]:
    return [sys.executable, *arguments]


def _call(*arguments: str) -> None:
    if subprocess.run(_python(*arguments), check=False).returncode != 0:  # noqa: S603
        raise Stopped(f"python {' '.join(arguments)} failed; see above")


def _require_free(host: str, port: int, setting: str) -> None:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        socket.create_server((host, port), family=family).close()
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            raise Stopped(
                f"Port {port} is in use, perhaps by another run: stop that, or set {setting}_PORT"
            ) from None
        raise Stopped(
            f"Nothing can listen on port {port} of {host} ({error.strerror}): "
            f"set {setting}_HOST or {setting}_PORT"
        ) from None


def _answers(url: str) -> bool:
    try:
        with _DIRECT.open(url, timeout=2) as reply:
            return bool(reply.status == 200)
    except (OSError, urllib.error.URLError):
        return False


class House:
    """The two servers, each in a session of its own so that Ctrl-C reaches this program alone."""

    def __init__(self) -> None:
        self._servers: dict[str, subprocess.Popen[bytes]] = {}

    def start(self, name: str, health: str) -> None:
        """Start a server and wait until it is ready."""
        self._servers[name] = subprocess.Popen(_python("-m", name), start_new_session=True)  # noqa: S603
        deadline = time.monotonic() + _START_S
        while not _answers(health):
            self.check()
            if time.monotonic() > deadline:
                raise Stopped(f"The {name} is not ready after {_START_S:.0f} s ({health})")
            time.sleep(0.1)

    def check(self) -> None:
        """Raise when a server has ended by itself."""
        for name, server in self._servers.items():
            if server.poll() is not None:
                raise Stopped(f"The {name} ended with code {server.returncode}; see above")

    def stop(self) -> None:
        """End the servers, the reader before the writer, and wait for them."""
        for name, server in reversed(self._servers.items()):
            server.terminate()
            try:
                server.wait(_STOP_S)
            except subprocess.TimeoutExpired:
                print(f"The {name} did not stop and is killed", file=sys.stderr)
                server.kill()
                server.wait()


def _log_is_empty(settings: Settings) -> bool:
    with closing(Reader(settings.database_url)) as reader:
        return not reader.page(limit=1)[0]


def train_if_none(settings: Settings) -> None:
    """Train the model if there is none."""
    if not (settings.model_dir / "SHA256SUMS").exists():
        _call("-m", "pipeline.train")


def run(settings: Settings, house: House, say: Callable[[str], None]) -> None:
    """Set up what is missing, start both servers, and wait until told to stop."""
    _require_free(settings.api_host, settings.api_port, "CARDIOWATCH_API")
    _require_free(settings.dashboard_host, settings.dashboard_port, "CARDIOWATCH_DASHBOARD")
    train_if_none(settings)
    migrate(settings.database_url, say)
    if settings.log_hmac_key_file is None:
        make_key_beside(settings.database_url)
    house.start("api", f"{settings.api_url}/readyz")
    if _log_is_empty(settings):
        _call("-m", "perf.replay", "--patients", str(_SYNTHETIC))
    page = url_here(settings.dashboard_host, settings.dashboard_port)
    house.start("dashboard", f"{page}/_stcore/health")
    say(f"\nDashboard  {page}\nAPI        {settings.api_url}/docs\n\nCtrl-C stops both.")
    while True:
        house.check()
        time.sleep(0.5)


def main() -> int:
    """Run until stopped; return the exit code."""
    house = House()
    try:
        stop_once()
        run(load_settings(), house, lambda line: print(line, flush=True))
    except KeyboardInterrupt:
        return 0
    except (Stopped, SettingsError, DatabaseUnavailable, OSError) as error:
        print(error, file=sys.stderr)
        return 1
    finally:
        house.stop()
    return 0


if __name__ == "__main__":
    sys.exit(main())
