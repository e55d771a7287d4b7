"""A throwaway PostgreSQL cluster."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from itertools import count
from pathlib import Path

from perf.load.server_process import ServerFailed

_number = count(1)


class PostgresNotFound(ServerFailed):
    """The server is not installed; the message names the command that installs it."""


class Cluster:
    """A PostgreSQL server in its own folder, reached through a socket there.

    Needs the server's programs (Debian: apt-get install postgresql).

    Parameters
    ----------
    folder
        To put the cluster in, with a short path (a socket's holds about 100 characters) that every
        user may pass; default: a new temporary one.
    settings
        Further settings of the server, as `fsync=off`.
    wrapper
        Command to run the server's programs in, as `("ip", "netns", "exec", "name")`.

    Raises
    ------
    PostgresNotFound
        The server's programs are not installed.
    """

    def __init__(
        self, folder: Path | None = None, settings: Sequence[str] = (), wrapper: Sequence[str] = ()
    ) -> None:
        self._programs = _programs()
        self.folder = folder or Path(tempfile.mkdtemp(prefix="pg"))
        self._settings = ["listen_addresses=''", "shared_buffers=32MB", *settings]
        self._wrapper = wrapper
        self._user = _unprivileged_user()
        if self._user:
            shutil.chown(self.folder, self._user)
        self._run(
            "initdb", "-D", self._data, "-U", "test", "-A", "trust", "-E", "UTF8", "--no-sync"
        )

    def __enter__(self) -> Cluster:
        try:
            self.start()
        except BaseException:
            self.remove()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.remove()

    @property
    def _data(self) -> str:
        return str(self.folder / "data")

    def _run(self, program: str, *arguments: str) -> str:
        command = [str(self._programs / program), *arguments]
        if self._user:
            # Not Popen's `user`: the wrapper may need root.
            group = pwd.getpwnam(self._user).pw_gid
            drop = ("setpriv", f"--reuid={self._user}", f"--regid={group}", "--clear-groups")
            command = [*drop, *command]
        done = subprocess.run(  # noqa: S603
            [*self._wrapper, *command], cwd=self.folder, capture_output=True, text=True, check=False
        )
        if done.returncode:
            raise ServerFailed(f"{program}: {' '.join((done.stdout + done.stderr).split())}")
        return done.stdout

    def start(self) -> None:
        """Start the server and wait until it answers."""
        options = " ".join([f"-k {self.folder}", *(f"-c {setting}" for setting in self._settings)])
        log = str(self.folder / "log")
        self._run("pg_ctl", "-D", self._data, "-l", log, "-o", options, "-w", "start")

    def stop(self) -> None:
        """Stop the server immediately, as a crash would."""
        self._run("pg_ctl", "-D", self._data, "-m", "immediate", "-w", "stop")

    @property
    def running(self) -> bool:
        """Whether the server's main process is running."""
        try:
            os.kill(self.main_process(), 0)
        except (OSError, ValueError, IndexError):
            return False
        return True

    def main_process(self) -> int:
        """Return the id of the server's main process."""
        return int((self.folder / "data" / "postmaster.pid").read_text().split()[0])

    def processes(self) -> list[int]:
        """Return the ids of all its processes, the main one first."""
        main = self.main_process()
        children = Path(f"/proc/{main}/task/{main}/children").read_text().split()
        return [main, *map(int, children)]

    def url(self, database: str) -> str:
        """Return the SQLAlchemy URL of a database, through the socket."""
        return f"postgresql+psycopg://test@/{database}?host={self.folder}"

    def new_database(self, template: str = "template0") -> str:
        """Create a database, empty or a copy of another, and return its name."""
        name = f"test_{next(_number)}"
        self._run("createdb", "-h", str(self.folder), "-U", "test", "-T", template, name)
        return name

    def query(self, database: str, query: str) -> str:
        """Return the result of a query, cells separated by `|`."""
        options = ("-h", str(self.folder), "-U", "test", "-d", database, "--no-psqlrc", "-At")
        return self._run("psql", *options, "-c", query).strip()

    def cpu_s(self) -> float:
        """Return the CPU seconds of all its processes, including ended ones; Linux only."""
        ticks = 0
        for process in self.processes():
            fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
            # utime and stime; of the main process those of its ended children, too.
            ticks += sum(map(int, fields[11 : 15 if process == self.main_process() else 13]))
        return ticks / os.sysconf("SC_CLK_TCK")

    def drop(self, database: str) -> None:
        """Drop a database, even while it is in use."""
        self._run("dropdb", "-h", str(self.folder), "-U", "test", "--force", database)

    def remove(self) -> None:
        """Stop the server and delete everything."""
        if self.running:
            self.stop()
        shutil.rmtree(self.folder, ignore_errors=True)


def _unprivileged_user() -> str | None:
    """Return the user to run the server as: it refuses to run as root; None = this one."""
    if os.getuid() != 0:
        return None
    names = {entry.pw_name for entry in pwd.getpwall()}
    return "postgres" if "postgres" in names else "nobody"


def _programs() -> Path:
    """Find the server's programs, which Debian does not put on the path."""
    found = shutil.which("initdb")
    folders = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda p: float(p.parent.name))
    if found:
        folders.append(Path(found).resolve().parent)
    if not folders:
        raise PostgresNotFound("PostgreSQL's server is missing: apt-get install postgresql")
    return folders[-1]
