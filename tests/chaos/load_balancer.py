"""HAProxy as the load balancer of a cluster: it sends requests to the endpoints it knows.

It runs no health checks and retries nothing, so that a request to a process that is gone fails here
as it would there. It keeps connections open and reuses them for any client (`http-reuse always`),
as Google's load balancer does.
"""

from __future__ import annotations

import shutil
import socket
import subprocess
import time
from contextlib import closing, suppress
from pathlib import Path

from perf.load.server_process import ServerFailed, free_port

_CONFIG = """
global
  stats socket {socket} level admin
  nbthread 1
defaults
  mode http
  retries 0
  http-reuse always
  timeout connect 2s
  timeout client 30s
  timeout server 30s
frontend callers
  bind 127.0.0.1:{port}
  default_backend api
backend api
  balance roundrobin
"""
_SLOTS = 3
"""Two processes, and the new one of a rollout."""
_START_S = 10.0


class LoadBalancerNotFound(ServerFailed):
    """HAProxy is not installed; the message names the command that installs it."""


def balancer_program() -> str:
    """Return the path of HAProxy; Debian's folder is not on every user's path."""
    program = shutil.which("haproxy") or shutil.which("haproxy", path="/usr/sbin")
    if program is None:
        raise LoadBalancerNotFound("HAProxy is missing: apt-get install haproxy")
    return program


class LoadBalancer:
    """A running HAProxy, without endpoints until `add`.

    Parameters
    ----------
    folder
        For its configuration and socket; a short path.

    Raises
    ------
    LoadBalancerNotFound
        HAProxy is not installed.
    """

    def __init__(self, folder: Path) -> None:
        program = balancer_program()
        self.port = free_port()
        self._socket = folder / "admin"
        self._slots: dict[int, int] = {}
        places = [f"  server pod{slot} 127.0.0.1:1 disabled\n" for slot in range(_SLOTS)]
        config = _CONFIG.format(socket=self._socket, port=self.port) + "".join(places)
        (folder / "haproxy.cfg").write_text(config)
        self._process = subprocess.Popen([program, "-db", "-q", "-f", str(folder / "haproxy.cfg")])
        self._wait()

    def close(self) -> None:
        """Stop HAProxy."""
        self._process.kill()
        self._process.wait()

    def add(self, port: int) -> None:
        """Add a process as an endpoint."""
        slot = next(slot for slot in range(_SLOTS) if slot not in self._slots.values())
        self._slots[port] = slot
        self._tell(f"set server api/pod{slot} addr 127.0.0.1 port {port}")
        self._tell(f"set server api/pod{slot} state ready")

    def remove(self, port: int) -> None:
        """Send no new requests to a process; those in flight continue."""
        self._tell(f"set server api/pod{self._slots.pop(port)} state maint")

    def _tell(self, command: str) -> str:
        with closing(socket.socket(socket.AF_UNIX)) as admin:
            admin.settimeout(5)
            admin.connect(str(self._socket))
            admin.sendall(command.encode() + b"\n")
            return admin.recv(4096).decode()

    def _wait(self) -> None:
        deadline = time.monotonic() + _START_S
        while time.monotonic() < deadline and self._process.poll() is None:
            with suppress(OSError):
                self._tell("show info")
                return
            time.sleep(0.02)
        self._process.kill()
        raise ServerFailed("HAProxy did not start")
