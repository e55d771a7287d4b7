"""The signed-in person is in the log as the one who asked, where key and log allow it."""

from __future__ import annotations

from pathlib import Path

import pytest
from sqlalchemy import select
from streamlit.testing.v1 import AppTest

from api.auth.api_keys import create_key, edit_keys
from dashboard.shared import data_access
from db.audit.seal_key import create_seal_key, load_key
from db.engine import open_engine, session
from db.schema import predictions, responses
from tests.dashboard.conftest import log_in, shown
from tests.dashboard.pages.test_patient import AGE_AND_SEX, estimate, logged, open_patient
from tests.dashboard.pages.test_predictions import press

EMAIL = "ann@ward.example"


@pytest.fixture
def keys_file(tmp_path: Path) -> Path:
    return tmp_path / "keys.json"


@pytest.fixture
def sealed(log_url: str) -> bool:
    """Make a key for the log before the API starts."""
    create_seal_key(Path(f"{log_url.removeprefix('sqlite:///')}.key"))
    return True


@pytest.fixture(autouse=True)
def key(keys_file: Path, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """The dashboard's API key, with the roles of the test's mark."""
    with edit_keys(keys_file) as known:
        made, text = create_key("dashboard", request.param)
        known.append(made)
    monkeypatch.setenv("CARDIOWATCH_API_KEY", text)


def actors(url: str) -> list[bytes | None]:
    with session(open_engine(url)) as connection:
        return list(connection.scalars(select(predictions.c.actor)))


def asked(page: AppTest) -> AppTest:
    data_access.client.clear()
    log_in(page, "clinician")
    page.user = {**page.user, "email": EMAIL}
    page = open_patient(page)
    estimate(page, AGE_AND_SEX)
    return page


@pytest.mark.usefixtures("people", "sealed")
@pytest.mark.parametrize("key", [("predict", "read", "on-behalf")], indirect=True)
def test_whoever_is_signed_in_is_logged_as_the_one_who_asked(served: AppTest, log_url: str) -> None:
    page = asked(served)
    seal_key = load_key(log_url, None)
    assert seal_key is not None
    assert actors(log_url) == [seal_key.hash_acting_user(EMAIL)]
    assert "kept as a keyed hash" in shown(page)


@pytest.mark.usefixtures("people", "sealed")
@pytest.mark.parametrize("key", [("predict", "read", "on-behalf")], indirect=True)
def test_whoever_is_signed_in_is_logged_as_the_one_who_responded(
    served: AppTest, log_url: str
) -> None:
    page = asked(served)
    (row,) = logged(log_url)
    page.get_by_key(f"decision_{row['id']}").set_value("override")
    press(page, "Record response")
    seal_key = load_key(log_url, None)
    assert seal_key is not None
    with session(open_engine(log_url)) as connection:
        assert list(connection.scalars(select(responses.c.actor))) == [
            seal_key.hash_acting_user(EMAIL)
        ]
    assert "and a keyed hash of your name" in shown(page)


@pytest.mark.usefixtures("people", "sealed")
@pytest.mark.parametrize("key", [("predict", "read")], indirect=True)
def test_a_key_without_the_role_estimates_and_names_nobody(served: AppTest, log_url: str) -> None:
    page = asked(served)
    assert actors(log_url) == [None]
    assert "names nobody" in shown(page)


@pytest.mark.usefixtures("people")
@pytest.mark.parametrize("key", [("predict", "read", "on-behalf")], indirect=True)
def test_a_log_without_a_key_names_nobody(served: AppTest, log_url: str) -> None:
    page = asked(served)
    assert actors(log_url) == [None]
    assert "names nobody" in shown(page)
