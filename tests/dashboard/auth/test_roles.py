"""Groups, roles and pages; what a login file must hold."""

from __future__ import annotations

import ast
import re
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest
import streamlit as st

from dashboard.app import SecurityHeaders
from dashboard.auth import login
from dashboard.auth.roles import ROLES, LoginError, RoleMap, is_login_valid, load_roles
from dashboard.navigation import PAGES
from tests.programs import ROOT, run

GOOD = """
[auth]
redirect_uri = "https://cardiowatch.example/oauth2callback"
cookie_secret = "0123456789abcdef0123456789abcdef"
client_id = "a"
client_secret = "b"
server_metadata_url = "https://login.example/.well-known/openid-configuration"
[cardiowatch]
claim = "roles"
[cardiowatch.groups]
ward = "clinician"
ethics = "reviewer"
"""
ROLE_MAP = RoleMap({"ward": "clinician", "ethics": "reviewer"}, "groups", over_tls=False)


def test_each_role_knows_only_pages_that_are_there() -> None:
    scripts = {path.parent.name for path in (ROOT / "dashboard" / "pages").glob("*/page.py")}

    assert set(PAGES) == scripts
    assert all(pages <= scripts for pages in ROLES.values())


def test_who_is_in_two_groups_sees_the_pages_of_both() -> None:
    assert (
        ROLE_MAP.allowed_pages({"groups": ["ward", "ethics"]})
        == ROLES["clinician"] | ROLES["reviewer"]
    )


@pytest.mark.parametrize(
    "groups",
    [
        None,
        [],
        ["root"],
        "root",
        ["WARD"],
        {},
        {"ward": 1},
        7,
        True,
        [["ward"]],
        [{"ward": 1}, None],
    ],
)
def test_without_a_known_group_nothing_is_seen(groups: object) -> None:
    assert ROLE_MAP.allowed_pages({"groups": groups}) == frozenset()


def test_only_clinicians_and_admins_see_single_patients() -> None:
    for page in ("patient", "predictions"):
        assert {role for role, pages in ROLES.items() if page in pages} == {"clinician", "admin"}


def test_a_login_counts_for_twelve_hours() -> None:
    now = time.time()

    assert is_login_valid({"iat": now - 12 * 3600 + 60})
    assert not is_login_valid({"iat": now - 12 * 3600 - 60})
    assert not is_login_valid({})


@pytest.mark.parametrize(
    "ahead_s", [3600, 99999999999, 10**400, float("inf")], ids=["hour", "age", "no float", "ever"]
)
def test_a_login_from_the_future_does_not_count(ahead_s: float) -> None:
    now = int(time.time())

    assert is_login_valid({"iat": now + 30})  # the provider's clock may be ahead
    assert not is_login_valid({"iat": now + ahead_s})


def fragments() -> Iterator[tuple[str, list[str]]]:
    """Yield what runs again without the script of its page, and its decorators."""
    for path in (ROOT / "dashboard").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.FunctionDef):
                marks = [ast.unparse(mark) for mark in node.decorator_list]
                if any(mark.startswith(("st.fragment", "st.dialog")) for mark in marks):
                    yield f"{path.name}: {node.name}", marks


def test_every_fragment_checks_the_role_of_the_user() -> None:
    open_to_all = [
        name for name, marks in fragments() if not marks[-1].startswith("login.requires_page(")
    ]

    assert open_to_all == ["widgets.py: _rerun_when_log_is_back"]  # it shows nothing


@pytest.mark.usefixtures("people")
def test_a_download_ends_with_the_login(monkeypatch: pytest.MonkeyPatch) -> None:
    now = time.time()
    claims = {"is_logged_in": True, "iat": now, "groups": ["clinician"]}
    monkeypatch.setattr(st, "user", SimpleNamespace(to_dict=lambda: claims))
    write = login.guard_download("predictions", lambda: b"rows")

    assert write() == b"rows"
    monkeypatch.setattr(time, "time", lambda: now + 12 * 3600 + 60)
    with pytest.raises(PermissionError):
        write()


def test_a_good_file_is_read(tmp_path: Path) -> None:
    file = tmp_path / "login.toml"
    file.write_text(GOOD)

    assert load_roles(file) == RoleMap(
        {"ward": "clinician", "ethics": "reviewer"}, "roles", over_tls=True
    )


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (("client_secret", "x"), "missing in [auth]: client_secret"),
        (('"0123456789abcdef0123456789abcdef"', '"short"'), "openssl rand"),
        (('"clinician"', '"doctor"'), "clinician, reviewer, operator, admin"),
        (("[cardiowatch.groups]", "[x]"), "[cardiowatch.groups]"),
        (("[auth]", "[auth"), "not TOML"),
    ],
)
def test_what_a_file_lacks_is_said(tmp_path: Path, change: tuple[str, str], says: str) -> None:
    file = tmp_path / "login.toml"
    file.write_text(GOOD.replace(*change))

    with pytest.raises(LoginError, match=re.escape(says)):
        load_roles(file)


def test_a_file_that_lacks_something_ends_the_start_with_one_line(tmp_path: Path) -> None:
    file = tmp_path / "login.toml"
    file.write_text("[auth")

    ended = run("-m", "dashboard", login_file=file)
    assert ended.returncode == 4
    assert len(ended.stderr.splitlines()) == 1
    assert "CARDIOWATCH_LOGIN_FILE" in ended.stderr


def test_without_a_login_the_dashboard_stays_on_its_machine() -> None:
    ended = run("-m", "dashboard", dashboard_host="0.0.0.0")  # noqa: S104

    assert ended.returncode == 4
    assert "loopback only" in ended.stderr


@pytest.mark.anyio
async def test_cookies_go_over_tls_alone_where_the_login_does() -> None:
    sent: list[dict[str, object]] = []

    async def app(_scope: object, _receive: object, send: object) -> None:
        await send({"type": "http.response.start", "status": 200,
                    "headers": [(b"set-cookie", b"a=b; HttpOnly")]})  # type: ignore[operator]  # fmt: skip

    async def keep(message: dict[str, object]) -> None:
        sent.append(message)

    guard = SecurityHeaders(app, cookies_over_tls=True)  # type: ignore[arg-type]
    await guard({"type": "http", "path": "/"}, None, keep)  # type: ignore[arg-type]

    assert (b"set-cookie", b"a=b; HttpOnly; Secure") in sent[0]["headers"]  # type: ignore[operator]
