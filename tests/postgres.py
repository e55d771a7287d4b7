"""Throwaway databases for tests: a PostgreSQL server of our own, and SQLite files.

Needs the server's programs (Debian: apt-get install postgresql). Without them the tests that need
them are skipped with that reason; under CI=true they fail.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from perf.load.postgres_cluster import Cluster, PostgresNotFound


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
def postgres_url(postgres_server: Cluster) -> Iterator[str]:
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
