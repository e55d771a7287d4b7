"""What the pages say when the API does not let the dashboard in."""

from __future__ import annotations

from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

from api.auth.api_keys import create_key, edit_keys
from dashboard.shared import data_access
from dashboard.shared import texts as shared_texts
from tests.dashboard.conftest import shown
from tests.dashboard.pages.test_patient import AGE_AND_SEX, case_of, estimate, open_patient

UNKNOWN = "cw_00000000_" + "A" * 43


@pytest.fixture
def keys_file(tmp_path: Path) -> Path:
    return tmp_path / "keys.json"


@pytest.fixture(autouse=True)
def keys(keys_file: Path) -> dict[str, str]:
    """What the dashboard may hold as its key; it starts without one."""
    with edit_keys(keys_file) as known:
        key, may_read = create_key("a test", ("read",))
        known.append(key)
    return {"none": "", "unknown": UNKNOWN, "read": may_read}


@pytest.mark.parametrize("holds", ["none", "unknown", "read"])
def test_an_estimate_that_the_key_does_not_allow_says_so(
    keys: dict[str, str], holds: str, monkeypatch: pytest.MonkeyPatch, served: AppTest
) -> None:
    monkeypatch.setenv("CARDIOWATCH_API_KEY", keys[holds])
    data_access.client.clear()
    page = open_patient(served)
    estimate(page, AGE_AND_SEX)
    assert shared_texts.KEY_REJECTED in case_of(page).said
    assert case_of(page).entries == AGE_AND_SEX


@pytest.mark.parametrize("name", ["overview", "model_card", "poisoning"])
def test_pages_say_that_the_service_does_not_know_the_key(served: AppTest, name: str) -> None:
    page = served.run()
    page.switch_page(f"{name}/page.py").run()
    assert not page.exception
    assert shared_texts.KEY_REJECTED in shown(page)
    assert "not responding" not in shown(page)
