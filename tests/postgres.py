"""Throwaway databases for tests: a PostgreSQL server of our own, and SQLite files.

Needs the server's programs (Debian: apt-get install postgresql). Without them the tests that need
them are skipped with that reason; under CI=true they fail.
"""

from __future__ import annotations

import os
import shutil
import signal
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from db.migrate import migrate
from perf.load import postgres_cluster
from perf.load.postgres_cluster import PostgresNotFound


class Cluster(postgres_cluster.Cluster):
    """A cluster that can be suspended, and reached over a network."""

    def pause(self) -> None:
        """Suspend every process of the server, as a hung machine would."""
        os.kill(
            self.main_process(), signal.SIGSTOP
        )  # first: it must not start another one meanwhile
        for process in self.processes():
            os.kill(process, signal.SIGSTOP)

    def resume(self) -> None:
        """Resume every process."""
        for process in self.processes():
            os.kill(process, signal.SIGCONT)

    def allow(self, addresses: str) -> None:
        """Allow connections from addresses such as `198.18.0.0/24`; call before the start."""
        with (self.folder / "data" / "pg_hba.conf").open("a") as file:
            file.write(f"host all all {addresses} trust\n")

    @contextmanager
    def standby(self) -> Iterator[Path]:
        """Run a server that follows this one; yield the folder of its socket."""
        folder = Path(tempfile.mkdtemp(prefix="pg"))
        if self._user:
            shutil.chown(folder, self._user)
        data, options = str(folder / "data"), f"-k {folder} -c listen_addresses=''"
        self._run(
            "pg_basebackup", "-h", str(self.folder), "-U", "test", "-D", data, "-R",
            "--no-sync", "-c", "fast",
        )  # fmt: skip
        try:
            self._run("pg_ctl", "-D", data, "-l", str(folder / "log"), "-o", options, "-w", "start")
            yield folder
        finally:
            self._run("pg_ctl", "-D", data, "-m", "immediate", "-w", "stop")
            shutil.rmtree(folder)


@contextmanager
def _running() -> Iterator[Cluster]:
    try:
        # Without fsync a test takes half as long; no test here cuts the power.
        cluster = Cluster(settings=["fsync=off"])
    except PostgresNotFound as missing:
        if os.environ.get("CI") == "true":
            pytest.fail(str(missing))
        pytest.skip(str(missing))
    try:
        cluster.start()
        yield cluster
    finally:
        cluster.remove()


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[Cluster]:
    """One server for the whole run; tests take a database each."""
    with _running() as cluster:
        yield cluster


@pytest.fixture
def mortal_server() -> Iterator[Cluster]:
    """A server of the test's own, to be stopped and paused."""
    with _running() as cluster:
        yield cluster


@pytest.fixture
def empty_postgres_url(postgres_server: Cluster) -> Iterator[str]:
    """A PostgreSQL database without tables."""
    database = postgres_server.new_database()
    yield postgres_server.url(database)
    postgres_server.drop(database)


@pytest.fixture(scope="session")
def _migrated_database(postgres_server: Cluster) -> str:
    database = postgres_server.new_database()
    migrate(postgres_server.url(database), lambda _: None)
    return database


@pytest.fixture
def postgres_url(postgres_server: Cluster, _migrated_database: str) -> Iterator[str]:
    """A migrated PostgreSQL database: a copy, which takes a tenth of a migration's time."""
    database = postgres_server.new_database(_migrated_database)
    yield postgres_server.url(database)
    postgres_server.drop(database)


@pytest.fixture
def empty_sqlite_url(tmp_path: Path) -> str:
    """A SQLite file that does not exist yet."""
    return f"sqlite:///{tmp_path}/log.db"


@pytest.fixture(scope="session")
def _migrated_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("migrated") / "log.db"
    migrate(f"sqlite:///{path}", lambda _: None)
    return path


@pytest.fixture
def sqlite_url(empty_sqlite_url: str, tmp_path: Path, _migrated_file: Path) -> str:
    """A migrated SQLite file, `log.db` in the test's folder: a copy too."""
    shutil.copy(_migrated_file, tmp_path / "log.db")
    return empty_sqlite_url


@pytest.fixture(params=["sqlite", "postgres"])
def empty_database_url(request: pytest.FixtureRequest) -> str:
    """A database without tables of each kind."""
    url: str = request.getfixturevalue(f"empty_{request.param}_url")
    return url


@pytest.fixture(params=["sqlite", "postgres"])
def database_url(request: pytest.FixtureRequest) -> str:
    """A migrated database of each kind."""
    url: str = request.getfixturevalue(f"{request.param}_url")
    return url
