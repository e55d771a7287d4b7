"""What the log of uses keeps of a request: known names, ids and times, nothing else."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from api.app import create_app
from api.auth.api_keys import read_keys
from api.auth.authorization import RoleRoute
from api.routes.predictions import KEYLESS, router
from settings import Settings
from tests.api.conftest import add_key

ID = "019ac0a5-7d3c-7000-8000-0123456789ab"
SECRETS = (
    "/predictions?patient=Smith&access_token=s3cret",
    "/predictions/Smith?s3cret",
    f"/predictions/{ID}/Smith/s3cret",
    "/predictions?since=Smith&cursor=s3cret&until=2026-01-31",
    "/predictions?source=Smith&limit=s3cret&format=Smith",
    "/predictions?Smith=1&s3cret",
    "/predictions?limit=1&x=%0a1970-01-01 key 00000000: GET /Smith",
    "/docs/assets/Smith.js",
    "/Smith%2Fpredictions;s3cret=1",
    "/predictions%0aSmith",
    f"/predictions?since=2026-01-31T08:00:00Z%0ASmith&cursor={ID}s3cret",
    "/predictions?" + "&".join(f"Smith{n}=s3cret" for n in range(50)),
)


@pytest.fixture
def reader(
    sqlite_url: str, model_dir: Path, keys_file: Path
) -> Iterator[tuple[TestClient, dict[str, str]]]:
    """The service, and the header of a key that may read."""
    key = add_key(keys_file, "read")
    settings = Settings(database_url=sqlite_url, model_dir=model_dir, keys_file=keys_file)
    with TestClient(create_app(settings), base_url="http://api:8000") as client:
        yield client, key


@pytest.fixture
def lines(caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The lines of the log of uses, as they come."""
    found: list[str] = []

    class Keep(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            found.append(record.getMessage())

    uses_log = logging.getLogger("cardiowatch.uses")
    monkeypatch.setattr(uses_log, "handlers", [Keep()])
    monkeypatch.setattr(uses_log, "propagate", False)
    caplog.set_level(logging.INFO, logger=uses_log.name)
    return found


@pytest.mark.parametrize("asked", SECRETS)
def test_a_refused_request_leaves_nothing_of_its_text_in_its_line(
    reader: tuple[TestClient, dict[str, str]], lines: list[str], keys_file: Path, asked: str
) -> None:
    client, key = reader
    assert client.get(asked, headers=key).status_code in (400, 403, 404, 422)
    for line in lines:
        assert line.startswith(f"key {read_keys(keys_file)[0].id}: GET /")
        assert not re.search("smith|s3cret|00000000", line, re.IGNORECASE)
        assert line.isprintable()
        assert len(line) < 200


@pytest.mark.parametrize(
    ("asked", "written"),
    [
        ("/predictions", "/predictions"),
        ("/predictions?limit=100&format=csv", "/predictions?limit&format"),
        (
            f"/predictions?since=2026-01-31T08:00:00%2B01:00&cursor={ID}",
            f"/predictions?since=2026-01-31T08:00:00+01:00&cursor={ID}",
        ),
        (f"/predictions/{ID}/explanation?coding=uci", f"/predictions/{ID}/explanation?coding"),
        ("/predictions?patient=Smith&limit=1", "/predictions?*&limit"),
        ("/predictions?" + "&".join(f"limit{n}=1" for n in range(50)), "/predictions?*"),
        (f"/predictions?cursor={ID[:-1]}&since=2026-01-31", "/predictions?cursor&since"),
        ("/predictions/Smith", "/predictions/{id}"),
    ],
)
def test_a_line_names_the_route_with_its_ids_and_times(
    reader: tuple[TestClient, dict[str, str]],
    lines: list[str],
    keys_file: Path,
    asked: str,
    written: str,
) -> None:
    client, key = reader
    client.get(asked, headers=key)
    assert lines == [f"key {read_keys(keys_file)[0].id}: GET {written}"]


def test_a_method_of_ones_own_making_is_not_written_down(
    reader: tuple[TestClient, dict[str, str]], lines: list[str], keys_file: Path
) -> None:
    client, key = reader
    assert client.request("SMITH", "/model", headers=key).status_code == 405
    assert lines == [f"key {read_keys(keys_file)[0].id}: * /model"]


def test_every_route_that_needs_a_key_leaves_a_line(
    reader: tuple[TestClient, dict[str, str]], lines: list[str]
) -> None:
    client, key = reader
    routes = [r for r in router.routes if isinstance(r, RoleRoute) and r.path not in KEYLESS]
    assert len(routes) > 7
    for route in routes:
        method, path = max(route.methods), route.path.replace("{id}", ID)
        client.request(method, path, headers=key)
        assert lines.pop().endswith(f": {method} {path}")
    for path in KEYLESS:
        client.get(path, headers=key)
    assert lines == []
