"""A network between service and database that can be partitioned without closing connections."""

from __future__ import annotations

import os
import subprocess
from contextlib import suppress


class NetworkNamespaces:
    """Two network namespaces: a router, and behind it one for the database. Needs root.

    A router that stops forwarding drops packets in both directions silently: neither kernel
    notices. The addresses are from 198.18.0.0/15, reserved for such tests (RFC 2544).
    """

    def __init__(self) -> None:
        tag = f"cw{os.getpid()}"
        self._router, self._inner = f"{tag}r", f"{tag}d"
        net = f"198.18.{os.getpid() % 256}"
        self.address = f"{net}.6"
        self.callers = f"{net}.0/24"
        self.wrapper = ("ip", "netns", "exec", self._inner)
        router = ("ip", "-n", self._router)
        inner = ("ip", "-n", self._inner)
        try:
            _run("ip", "netns", "add", self._router)
            _run("ip", "netns", "add", self._inner)
            near, far = (f"{tag}a", f"{tag}b"), (f"{tag}c", f"{tag}d")
            _run("ip", "link", "add", near[0], "type", "veth",
                 "peer", near[1], "netns", self._router)  # fmt: skip
            _run(*router, "link", "add", far[0], "type", "veth",
                 "peer", far[1], "netns", self._inner)  # fmt: skip
            ends = (
                (("ip",), near[0], 1),
                (router, near[1], 2),
                (router, far[0], 5),
                (inner, far[1], 6),
            )
            for where, device, host in ends:
                _run(*where, "address", "add", f"{net}.{host}/30", "dev", device)
                _run(*where, "link", "set", device, "up")
            _run("ip", "route", "add", f"{net}.4/30", "via", f"{net}.2")
            _run(*inner, "route", "add", "default", "via", f"{net}.5")
            self.heal()
        except BaseException:
            self.remove()
            raise

    def partition(self) -> None:
        """Drop every packet from now on."""
        self._forward("0")

    def heal(self) -> None:
        """Forward again."""
        self._forward("1")

    def _forward(self, value: str) -> None:
        switch = f"echo {value} > /proc/sys/net/ipv4/ip_forward"
        _run("ip", "netns", "exec", self._router, "sh", "-c", switch)

    def remove(self) -> None:
        """Delete the namespaces; their links and routes go with them."""
        for name in (self._inner, self._router):
            with suppress(subprocess.CalledProcessError):
                _run("ip", "netns", "delete", name)


def _run(*command: str) -> None:
    subprocess.run(command, check=True, capture_output=True)
