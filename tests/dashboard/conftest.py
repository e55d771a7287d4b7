"""The pages run in process (AppTest) on a real log and, where they ask it, a real API."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import streamlit as st
import uvicorn
from streamlit.testing.v1 import AppTest

from api.app import create_app
from dashboard.auth import login
from dashboard.auth.roles import ROLES, RoleMap
from dashboard.shared import data_access
from db.ids import new_id
from pipeline.model import load as load_model
from settings import Settings
from tests.db.rows import row, running_log
from tests.programs import ROOT, free_port

SCRIPT = str(ROOT / "dashboard" / "pages" / "streamlit_app.py")


@pytest.fixture
def log_url(sqlite_url: str) -> str:
    """A migrated, empty log."""
    return sqlite_url


@pytest.fixture
def write(log_url: str) -> Callable[..., list[str]]:
    """Write predictions to the log, `ago` before now; returns their ids."""

    def write(n: int, ago: timedelta = timedelta(minutes=1), **values: Any) -> list[str]:
        start = int((datetime.now(UTC) - ago).timestamp() * 1000)
        rows = [row(id=new_id(start + i), **values) for i in range(n)]

        async def store() -> None:
            async with running_log(log_url) as log:
                await log.append(rows)

        asyncio.run(store())
        return [stored[0] for stored in rows]

    return write


@pytest.fixture
def known(log_url: str, model_dir: Path) -> str:
    """The version of a model whose scorecard the log holds, as after the API's first start."""
    model = load_model(model_dir)

    async def register() -> None:
        async with running_log(log_url) as log:
            await log.register_model(model.version, model.scorecard)

    asyncio.run(register())
    return model.version


@pytest.fixture
def logged(request: pytest.FixtureRequest, write: Callable[..., list[str]]) -> int:
    """So many predictions, written before an API begins to write."""
    if request.param:
        write(request.param)
    return int(request.param)


@pytest.fixture
def pages(log_url: str, model_dir: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[AppTest]:
    """The dashboard on that log, with no API behind it; not run yet."""
    monkeypatch.setenv("CARDIOWATCH_DATABASE_URL", log_url)
    monkeypatch.setenv("CARDIOWATCH_MODEL_DIR", str(model_dir))
    monkeypatch.setenv("CARDIOWATCH_API_URL", f"http://127.0.0.1:{free_port()}")
    _forget()
    page = AppTest.from_file(SCRIPT, default_timeout=30)
    page.user = {}  # nobody logs in; the visitor of AppTest's own has an e-mail address
    yield page
    _forget()


def _forget() -> None:
    data_access.client().close()
    data_access.reader().close()
    st.cache_data.clear()
    st.cache_resource.clear()


@pytest.fixture
def keys_file() -> Path | None:
    """The API's keys; None = it answers its own machine without one."""
    return None


@pytest.fixture
def served(
    log_url: str,
    model_dir: Path,
    pages: AppTest,
    monkeypatch: pytest.MonkeyPatch,
    keys_file: Path | None,
) -> Iterator[AppTest]:
    """The dashboard with the real API and the real model behind it, over HTTP; not run yet."""
    port = free_port()
    monkeypatch.setenv("CARDIOWATCH_API_URL", f"http://127.0.0.1:{port}")
    settings = Settings(
        database_url=log_url, model_dir=model_dir, api_port=port, keys_file=keys_file
    )
    api = create_app(settings)
    server = uvicorn.Server(uvicorn.Config(api, port=port, log_config=None))
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        deadline = time.monotonic() + 30
        while not server.started:
            assert thread.is_alive(), "the API ended at its start"
            assert time.monotonic() < deadline, "the API did not start in 30 s"
            time.sleep(0.01)
        yield pages
    finally:
        data_access.client().close()  # or the server would wait for it
        server.should_exit = True
        thread.join(timeout=30)


@pytest.fixture
def people(monkeypatch: pytest.MonkeyPatch) -> None:
    """People have to sign in; each group is named after its role."""
    known = RoleMap({role: role for role in ROLES}, "groups", over_tls=False)
    monkeypatch.setattr(login, "_role_map", lambda: known)


def log_in(page: AppTest, role: str) -> None:
    """Let somebody of a role be the visitor from now on."""
    page.user = {"is_logged_in": True, "iat": time.time(), "groups": [role]}


def shown(page: AppTest) -> str:
    """Return everything that a page says, as one text."""
    parts = [*page.title, *page.header, *page.markdown, *page.caption, *page.warning, *page.info]
    return "\n".join([*(part.value for part in parts), *(w.proto.title for w in page.warning)])
