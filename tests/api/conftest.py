from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from api.app import create_app
from api.auth.api_keys import create_key, edit_keys
from db.migrate import migrate
from settings import Settings
from tests.programs import free_port, running, wait_for

PATIENT: dict[str, Any] = {
    "age": 63,
    "sex": "male",
    "cp": "typical angina",
    "trestbps": 145,
    "chol": 233,
    "fbs": True,
    "restecg": "left ventricular hypertrophy",
    "thalach": 150,
    "exang": False,
    "oldpeak": 2.3,
    "slope": "downsloping",
    "ca": 0,
    "thal": "fixed defect",
}
IN_UCI = PATIENT | {
    "sex": 1, "cp": 1, "fbs": 1, "restecg": 2, "exang": 0, "slope": 3, "ca": 0, "thal": 6,
}  # fmt: skip
IN_KAGGLE = PATIENT | {
    "sex": 1, "cp": 3, "fbs": 1, "restecg": 0, "exang": 0, "slope": 0, "ca": 0, "thal": 1,
}  # fmt: skip


@pytest.fixture
def client(database_url: str, model_dir: Path) -> Iterator[TestClient]:
    """The service on a migrated SQLite file and on PostgreSQL, asked in process."""
    app = create_app(Settings(database_url=database_url, model_dir=model_dir))
    with TestClient(app, base_url="http://127.0.0.1") as client:
        yield client


@pytest.fixture
def sqlite_client(sqlite_url: str, model_dir: Path) -> Iterator[TestClient]:
    """The service on SQLite alone, for what does not depend on the database."""
    app = create_app(Settings(database_url=sqlite_url, model_dir=model_dir))
    with TestClient(app, base_url="http://127.0.0.1") as client:
        yield client


@pytest.fixture
def keys_file(tmp_path: Path) -> Path:
    return tmp_path / "keys.json"


def add_key(path: Path, *roles: str) -> dict[str, str]:
    """Make a key and return the header that carries it."""
    with edit_keys(path) as keys:
        key, text = create_key("a test", roles)
        keys.append(key)
    return {"Authorization": f"Bearer {text}"}


@pytest.fixture
def guarded(
    sqlite_url: str, model_dir: Path, keys_file: Path
) -> Iterator[Callable[[], TestClient]]:
    """The service with the keys that are in the file when it is first asked for."""
    opened: list[TestClient] = []

    def client() -> TestClient:
        settings = Settings(database_url=sqlite_url, model_dir=model_dir, keys_file=keys_file)
        opened.append(TestClient(create_app(settings), base_url="http://api:8000"))
        return opened[-1].__enter__()

    yield client
    for client_ in opened:
        client_.__exit__(None, None, None)


@pytest.fixture(scope="module")
def port(tmp_path_factory: pytest.TempPathFactory, model_dir: Path) -> Iterator[int]:
    """The port of the real service, started once for a file of tests."""
    url = f"sqlite:///{tmp_path_factory.mktemp('connections')}/log.db"
    migrate(url, lambda _: None)
    port = free_port()
    with running("-m", "api", api_port=port, database_url=url, model_dir=model_dir) as api:
        wait_for(f"http://127.0.0.1:{port}/readyz", api)
        yield port
