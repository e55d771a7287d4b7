"""Three PostgreSQL nodes under Patroni, with etcd and HAProxy, whose nodes can be killed."""

from __future__ import annotations

import json
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import httpx
import yaml

from perf.load.postgres_cluster import _programs, _unprivileged_user
from tests.chaos.load_balancer import balancer_program
from tests.programs import ROOT, free_port

T = TypeVar("T")

TTL_S = 20
"""Until a node that is gone loses the lead: the least that Patroni takes."""

NODES = 3
_SETTINGS = {
    "ttl": TTL_S,
    "loop_wait": 4,
    "retry_timeout": 4,
    "synchronous_mode": True,
    "synchronous_mode_strict": True,
    # A crashed postmaster is not started again first, which may take a recovery's time.
    "primary_start_timeout": 0,
    "postgresql": {
        "parameters": {
            "max_connections": 200,
            "max_locks_per_transaction": 256,
            "shared_buffers": "32MB",
            "wal_keep_size": "64MB",
        }
    },
}
_TCP_CHECKS = """
defaults
  mode tcp
  timeout connect 2s
  timeout client 1h
  timeout server 1h
frontend primary
  bind 127.0.0.1:{port}
  default_backend primaries
backend primaries
  option httpchk GET /primary
  default-server check inter 1s fall 2 rise 1 on-marked-down shutdown-sessions
"""


class NodeNetwork:
    """A network namespace for each node, on a bridge; a port of the bridge can be closed.

    A closed port drops packets silently, both ways. Needs root and NET_ADMIN. The addresses are
    from 198.18.0.0/15, reserved for such tests (RFC 2544).
    """

    def __init__(self) -> None:
        self._tag = f"cw{os.getpid()}"
        self._net = f"198.19.{os.getpid() % 256}"
        self.address = f"{self._net}.254"
        try:
            _run("ip", "link", "add", f"{self._tag}b", "type", "bridge")
            _run("ip", "address", "add", f"{self.address}/24", "dev", f"{self._tag}b")
            _run("ip", "link", "set", f"{self._tag}b", "up")
            for number in range(NODES):
                self._add(number)
        except BaseException:
            self.remove()
            raise

    def _add(self, number: int) -> None:
        name, outer = f"{self._tag}n{number}", f"{self._tag}p{number}"
        _run("ip", "netns", "add", name)
        _run("ip", "link", "add", outer, "type", "veth", "peer", "eth0", "netns", name)
        _run("ip", "link", "set", outer, "master", f"{self._tag}b", "up")
        inside = ("ip", "-n", name)
        _run(*inside, "address", "add", f"{self.of(number)}/24", "dev", "eth0")
        _run(*inside, "link", "set", "eth0", "up")
        _run(*inside, "link", "set", "lo", "up")

    def of(self, number: int) -> str:
        """Return a node's address."""
        return f"{self._net}.{number + 1}"

    def wrapper(self, number: int) -> tuple[str, ...]:
        """Return the command that runs another one on a node."""
        return ("ip", "netns", "exec", f"{self._tag}n{number}")

    def cut(self, number: int, *, off: bool = True) -> None:
        """Cut a node off the others, or connect it again."""
        state = "0" if off else "3"  # disabled, forwarding
        _run("bridge", "link", "set", "dev", f"{self._tag}p{number}", "state", state)

    def remove(self) -> None:
        """Delete everything."""
        names = [("netns", f"{self._tag}n{number}") for number in range(NODES)]
        for kind, name in [*names, ("link", f"{self._tag}b")]:
            with suppress(subprocess.CalledProcessError):
                _run("ip", kind, "delete", name)


@dataclass
class Node:
    """One node: its Patroni, and the PostgreSQL that it runs."""

    number: int
    address: str
    folder: Path
    wrapper: Sequence[str] = ()
    port: int = field(default_factory=free_port)
    api_port: int = field(default_factory=free_port)
    process: subprocess.Popen[bytes] | None = None

    @property
    def name(self) -> str:
        """Its name in the cluster."""
        return f"node{self.number}"

    def postmaster(self) -> int:
        """Return the id of PostgreSQL's main process."""
        return int((self.folder / "data" / "postmaster.pid").read_text().split()[0])

    def kill_postmaster(self) -> None:
        """Kill PostgreSQL; Patroni stays."""
        _kill_all(self.postmaster())

    def kill(self) -> None:
        """Kill everything on the node at once."""
        if self.process is not None:
            self.process.kill()
            with suppress(OSError, ValueError, IndexError):
                self.kill_postmaster()
            self.process.wait()
            self.process = None


class PatroniCluster:
    """A running cluster; `start` begins it and waits for its primary.

    Parameters
    ----------
    patroni, etcd
        Paths of the programs.
    network
        For nodes that can be cut off; without one all are on ports of loopback.
    """

    def __init__(self, patroni: str, etcd: str, network: NodeNetwork | None = None) -> None:
        self._patroni, self._etcd, self._network = patroni, etcd, network
        self._host = network.address if network else "127.0.0.1"
        self.folder = Path(tempfile.mkdtemp(prefix="ha"))
        self.folder.chmod(0o755)
        self._user = _unprivileged_user()
        self._etcd_port, self.port = free_port(), free_port()
        self._others: list[subprocess.Popen[bytes]] = []
        self.nodes = [self._node(number) for number in range(NODES)]

    def _node(self, number: int) -> Node:
        folder = self.folder / f"node{number}"
        folder.mkdir(mode=0o755)
        if self._user:
            shutil.chown(folder, self._user)
        if self._network is None:
            return Node(number, "127.0.0.1", folder)
        return Node(number, self._network.of(number), folder, self._network.wrapper(number))

    def start(self) -> None:
        """Start everything; return when there is a primary with a synchronous standby."""
        client = f"http://{self._host}:{self._etcd_port}"
        peer = f"http://{self._host}:{free_port()}"
        self._run_beside(
            "etcd",
            [self._etcd, "--data-dir", str(self.folder / "etcd"),
             "--listen-client-urls", client, "--advertise-client-urls", client,
             "--listen-peer-urls", peer, "--initial-advertise-peer-urls", peer,
             "--initial-cluster", f"default={peer}", "--unsafe-no-fsync"],
        )  # fmt: skip
        servers = [
            f"  server {node.name} {node.address}:{node.port} check port {node.api_port}\n"
            for node in self.nodes
        ]
        (self.folder / "haproxy.cfg").write_text(
            _TCP_CHECKS.format(port=self.port) + "".join(servers)
        )
        for node in self.nodes:
            self.start_node(node)
        self._run_beside(
            "haproxy", [balancer_program(), "-db", "-q", "-f", str(self.folder / "haproxy.cfg")]
        )
        self.wait_until_whole(180)

    def _run_beside(self, name: str, command: Sequence[str]) -> None:
        with (self.folder / f"{name}.log").open("ab") as log:
            self._others.append(subprocess.Popen(command, stdout=log, stderr=log))

    def start_node(self, node: Node) -> None:
        """Start a node; it joins the others."""
        at = f"{node.address}:{node.port}"
        by_trust = {"username": "postgres"}
        config = {
            "scope": "cardiowatch",
            "name": node.name,
            "restapi": {"listen": f"{node.address}:{node.api_port}"},
            "etcd3": {"host": f"{self._host}:{self._etcd_port}"},
            "bootstrap": {"dcs": _SETTINGS, "initdb": [{"encoding": "UTF8"}, "no-sync"]},
            "postgresql": {
                "listen": at,
                "connect_address": at,
                "data_dir": str(node.folder / "data"),
                "bin_dir": str(_programs()),
                "pgpass": str(node.folder / "pgpass"),
                "authentication": {"superuser": by_trust, "replication": by_trust},
                "parameters": {"unix_socket_directories": str(node.folder)},
                "pg_hba": ["local all all trust", "host all all all trust",
                           "host replication all all trust"],
                "use_pg_rewind": True,
                "remove_data_directory_on_rewind_failure": True,
                "remove_data_directory_on_diverged_timelines": True,
            },
        }  # fmt: skip
        path = node.folder / "patroni.yml"
        path.write_text(yaml.safe_dump(config), "utf-8")
        path.chmod(0o644)
        command = [self._patroni, str(path)]
        if self._user:
            group = pwd.getpwnam(self._user).pw_gid
            drop = ("setpriv", f"--reuid={self._user}", f"--regid={group}", "--clear-groups")
            command = [*drop, *command]
        with (node.folder / "log").open("ab") as log:
            node.process = subprocess.Popen(
                [*node.wrapper, *command], stdout=log, stderr=log, cwd=node.folder,
                env={"PATH": os.environ["PATH"], "LANG": "C.UTF-8"},
            )  # fmt: skip

    def members(self) -> dict[str, dict[str, Any]]:
        """Return what a living node says of all: role, state, lag."""
        for node in self.nodes:
            with suppress(httpx.HTTPError, json.JSONDecodeError):
                url = f"http://{node.address}:{node.api_port}/cluster"
                found = httpx.get(url, timeout=3, trust_env=False).json()
                return {one["name"]: one for one in found["members"]}
        return {}

    def primary(self) -> Node:
        """Return the node that leads."""
        roles = {name: one["role"] for name, one in self.members().items()}
        return next(node for node in self.nodes if roles.get(node.name) == "leader")

    def wait_until_whole(self, seconds: float) -> None:
        """Wait until one node leads and the others follow it, one of them synchronously."""

        def whole() -> bool:
            members = self.members().values()
            healthy = all(one["state"] in ("running", "streaming") for one in members)
            roles = sorted(one["role"] for one in members)
            return healthy and roles == ["leader", "replica", "sync_standby"]

        wait_until(whole, seconds, lambda: f"{self.members()}; logs in {self.folder}")

    def url(self, database: str, *, hosts: bool = False) -> str:
        """Return the URL of a database: through HAProxy, or of all nodes."""
        if not hosts:
            return f"postgresql+psycopg://postgres@127.0.0.1:{self.port}/{database}"
        names = ",".join(node.address for node in self.nodes)
        ports = ",".join(str(node.port) for node in self.nodes)
        return (
            f"postgresql+psycopg://postgres@/{database}?host={names}&port={ports}"
            "&target_session_attrs=read-write"
        )

    def query(self, node: Node, query: str) -> str:
        """Return the result of a query on a node."""
        place = ("-h", str(node.folder), "-p", str(node.port), "-U", "postgres")
        command = [str(_programs() / "psql"), *place, "-XAt", "-c", query]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()

    def close(self) -> None:
        """Kill everything and delete it."""
        for node in self.nodes:
            node.kill()
        for process in self._others:
            process.kill()
            process.wait()
        shutil.rmtree(self.folder, ignore_errors=True)


def wait_until(true: Callable[[], bool], seconds: float, otherwise: Callable[[], str]) -> None:
    """Wait until something holds."""
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, otherwise()
        time.sleep(0.2)


def programs() -> tuple[str, str] | None:
    """Return the paths of Patroni and etcd, where `make test-deploy` installs them."""
    patroni = shutil.which("patroni")
    etcd = shutil.which("etcd", path=str(ROOT / "var" / "promtool" / "usr" / "bin"))
    return (patroni, etcd) if patroni and etcd else None


def _kill_all(process: int) -> None:
    """Kill a process and its children at once."""
    children = Path(f"/proc/{process}/task/{process}/children").read_text().split()
    for one in [process, *map(int, children)]:
        with suppress(ProcessLookupError):
            os.kill(one, signal.SIGKILL)


def _run(*command: str) -> None:
    subprocess.run(command, check=True, capture_output=True)
