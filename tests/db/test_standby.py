"""A standby beside the primary: which URLs reach which, what is warned of, what a page says."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import pytest
import streamlit as st
from streamlit.testing.v1 import AppTest

from dashboard.shared import data_access
from db.engine import DatabaseUnavailable, durability_warning, open_engine, session, transaction
from db.migrate import migrate
from db.reader.queries import Reader
from tests.dashboard.conftest import SCRIPT, shown
from tests.db.rows import row, running_log
from tests.deploy.patroni import wait_until
from tests.postgres import Cluster


@pytest.fixture(scope="module")
def postgres() -> Iterator[Cluster]:
    with Cluster() as cluster:  # with fsync
        yield cluster


@pytest.fixture(scope="module")
def url(postgres: Cluster) -> str:
    url = postgres.url(postgres.new_database())
    migrate(url, lambda _: None)
    return url


@pytest.fixture(scope="module")
def standby(postgres: Cluster, url: str) -> Iterator[Path]:
    with postgres.standby() as folder:
        yield folder


def on(url: str, hosts: list[object], **parameters: str) -> str:
    """Return the URL of the same database at these hosts."""
    more = "".join(f"&{name}={value}" for name, value in parameters.items())
    ports = ",".join(["5432"] * len(hosts))
    return f"{url.partition('?')[0]}?host={','.join(map(str, hosts))}&port={ports}{more}"


@pytest.mark.parametrize("attributes", ["primary", "read-write"])
def test_a_list_of_hosts_is_written_and_read_at_the_primary(
    postgres: Cluster, url: str, standby: Path, attributes: str
) -> None:
    listed = on(url, [standby, postgres.folder], target_session_attrs=attributes)

    async def write() -> None:
        async with running_log(listed) as log:
            await log.append([row()])
            await log.ping()

    asyncio.run(write())
    with closing(Reader(listed)) as reader:
        assert reader.sources()["live"] >= 1
        assert reader.standby_time() is None


def test_reads_may_prefer_a_standby_which_says_how_old_it_is(
    postgres: Cluster, url: str, standby: Path
) -> None:
    preferred = {"target_session_attrs": "prefer-standby"}
    with closing(Reader(on(url, [postgres.folder, standby], **preferred))) as reader:
        until = reader.standby_time()
        assert until is not None
        assert until <= datetime.now(UTC)
        assert until.tzinfo is not None
    with closing(Reader(on(url, [postgres.folder], **preferred))) as reader:  # there is none
        assert reader.standby_time() is None


def test_a_write_to_a_standby_names_it_and_what_to_do(url: str, standby: Path) -> None:
    with (
        pytest.raises(DatabaseUnavailable, match=f"at {standby} is read-only: use the URL of"),
        transaction(open_engine(on(url, [standby]))) as connection,
    ):
        connection.exec_driver_sql("CREATE TABLE found (id int)")


def test_pages_say_up_to_when_the_standby_has_the_log(
    postgres: Cluster, url: str, standby: Path, model_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    st.cache_data.clear()
    st.cache_resource.clear()
    monkeypatch.setenv("CARDIOWATCH_DATABASE_URL", url)
    monkeypatch.setenv("CARDIOWATCH_DASHBOARD_DATABASE_URL", on(url, [standby]))
    monkeypatch.setenv("CARDIOWATCH_MODEL_DIR", str(model_dir))
    page = AppTest.from_file(SCRIPT, default_timeout=60).run()
    assert not page.exception
    assert "Read from a standby of the database, whose newest transaction is of" in shown(page)
    data_access.reader().close()
    st.cache_data.clear()
    st.cache_resource.clear()


def test_what_may_lose_acknowledged_rows_is_named(
    postgres: Cluster, url: str, standby: Path
) -> None:
    def warned(url: str) -> str | None:
        return durability_warning(open_engine(url))

    asynchronous = "may lose acknowledged rows: its standbys are asynchronous"
    assert asynchronous in (warned(url) or "")
    with session(open_engine(url)) as connection:
        connection.exec_driver_sql("ALTER SYSTEM SET synchronous_standby_names = '*'")
        connection.exec_driver_sql("SELECT pg_reload_conf()")
    try:
        wait_until(lambda: warned(url) is None, 20, lambda: str(warned(url)))
        off = warned(url + "&options=-c%20synchronous_commit%3Doff")
        assert "acknowledged rows: synchronous_commit = off (docs/high-av" in (off or "")
        assert asynchronous in (warned(url + "&options=-c%20synchronous_commit%3Dlocal") or "")
    finally:
        with session(open_engine(url)) as connection:
            connection.exec_driver_sql("ALTER SYSTEM RESET synchronous_standby_names")
            connection.exec_driver_sql("SELECT pg_reload_conf()")


def test_a_sqlite_file_is_always_synchronous(sqlite_url: str) -> None:
    assert durability_warning(open_engine(sqlite_url)) is None
