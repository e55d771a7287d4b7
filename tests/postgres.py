"""Throwaway databases for tests: a PostgreSQL server of our own, and SQLite files.

Needs the server's programs (Debian: apt-get install postgresql). Without them the tests that need
them are skipped with that reason; under CI=true they fail.
"""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from itertools import count
from pathlib import Path

import psycopg
import pytest

_number = count(1)


class Server:
    """A PostgreSQL server in a temporary folder, reached through its socket there."""

    def __init__(self, programs: Path) -> None:
        self._programs = programs
        # Short: the path of a socket holds about 100 characters.
        self.folder = Path(tempfile.mkdtemp(prefix="pg"))
        self._user = _not_root()
        if self._user:
            shutil.chown(self.folder, self._user)
        self._run(
            "initdb", "-D", self._data, "-U", "test", "-A", "trust", "-E", "UTF8", "--no-sync"
        )

    @property
    def _data(self) -> str:
        return str(self.folder / "data")

    def _run(self, program: str, *arguments: str) -> None:
        command = [str(self._programs / program), *arguments]
        done = subprocess.run(
            command, user=self._user, cwd=self.folder, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stdout + done.stderr

    def start(self) -> None:
        # Without fsync a test takes half as long; no test here cuts the power.
        options = f"-k {self.folder} -c listen_addresses='' -c shared_buffers=32MB -c fsync=off"
        log = str(self.folder / "log")
        self._run("pg_ctl", "-D", self._data, "-l", log, "-o", options, "-w", "start")

    def stop(self) -> None:
        self._run("pg_ctl", "-D", self._data, "-m", "immediate", "-w", "stop")

    def freeze(self) -> None:
        """Stop every process of the server where it stands, as a frozen machine would."""
        for process in self._processes():
            os.kill(process, signal.SIGSTOP)

    def thaw(self) -> None:
        for process in self._processes():
            os.kill(process, signal.SIGCONT)

    def _processes(self) -> list[int]:
        main = int((self.folder / "data" / "postmaster.pid").read_text().split()[0])
        children = Path(f"/proc/{main}/task/{main}/children").read_text().split()
        return [main, *map(int, children)]

    def url(self, database: str) -> str:
        return f"postgresql+psycopg://test@/{database}?host={self.folder}"

    def new_database(self) -> str:
        """Make an empty database and return its name."""
        name = f"test_{next(_number)}"
        self._execute(f"CREATE DATABASE {name} TEMPLATE template0")
        return name

    def drop(self, database: str) -> None:
        self._execute(f"DROP DATABASE {database} WITH (FORCE)")

    def _execute(self, statement: str) -> None:
        address = f"host={self.folder} user=test dbname=postgres"
        with psycopg.connect(address, autocommit=True) as connection:
            connection.execute(statement)  # type: ignore[call-overload]

    def remove(self) -> None:
        if (self.folder / "data" / "postmaster.pid").exists():
            self.stop()
        shutil.rmtree(self.folder)


def _not_root() -> str | None:
    """Return the user who runs the server: it refuses to run as root."""
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
        reason = "PostgreSQL's server is missing: apt-get install postgresql"
        if os.environ.get("CI") == "true":
            pytest.fail(reason)
        pytest.skip(reason)
    return folders[-1]


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[Server]:
    """One server for the whole run; tests take a database each."""
    server = Server(_programs())
    server.start()
    yield server
    server.remove()


@pytest.fixture
def mortal_server() -> Iterator[Server]:
    """A server of the test's own, to be stopped and frozen."""
    server = Server(_programs())
    server.start()
    yield server
    server.remove()


@pytest.fixture
def postgres_url(postgres_server: Server) -> Iterator[str]:
    """An empty PostgreSQL database."""
    database = postgres_server.new_database()
    yield postgres_server.url(database)
    postgres_server.drop(database)


@pytest.fixture
def sqlite_url(tmp_path: Path) -> str:
    """A SQLite file that does not exist yet."""
    return f"sqlite:///{tmp_path}/log.db"


@pytest.fixture(params=["sqlite", "postgres"])
def database_url(request: pytest.FixtureRequest) -> str:
    """An empty database of each kind."""
    url: str = request.getfixturevalue(f"{request.param}_url")
    return url
