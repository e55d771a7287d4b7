from __future__ import annotations

import logging
import re
from collections.abc import Iterator
from contextlib import closing
from http.client import HTTPConnection
from pathlib import Path

import httpx
import pytest

from dashboard.app import HEADERS, RedactExceptionMessages
from db.migrate import migrate
from tests.programs import ROOT, free_port, run, running, wait_for

_SERVE = """
from pathlib import Path
from streamlit import net_util
from dashboard.__main__ import command
net_util.get_internal_ip = net_util.get_external_ip = Path({asked!r}).touch
command()
"""


@pytest.fixture(scope="module")
def asked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file that is there once the dashboard has asked another host for its address."""
    return tmp_path_factory.mktemp("asked") / "asked"


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory, asked: Path) -> Iterator[str]:
    """The dashboard as `python -m dashboard` serves it."""
    url = f"sqlite:///{tmp_path_factory.mktemp('log')}/log.db"
    migrate(url, lambda _: None)
    port, serve = free_port(), _SERVE.format(asked=str(asked))
    with running("-c", serve, database_url=url, dashboard_port=port) as dashboard:
        address = f"http://127.0.0.1:{port}"
        wait_for(f"{address}/_stcore/health", dashboard)
        yield address


def test_every_answer_keeps_other_sites_and_guesses_out(address: str) -> None:
    headers = httpx.get(address, trust_env=False).headers
    policy = headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "frame-ancestors 'none'" in policy
    assert not re.search(r"https?:|\*", policy), "no other host may be asked for anything"
    scripts = next(each for each in policy.split("; ") if each.startswith("script-src "))
    assert not {"'unsafe-inline'", "'unsafe-eval'", "data:", "blob:"} & set(scripts.split())
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["referrer-policy"] == "no-referrer"
    assert "server" not in headers


def test_scripts_are_sent_compressed(address: str) -> None:
    page = httpx.get(address, trust_env=False).text
    script = re.search(r'src="\./(static/js/index[^"]+)"', page)
    assert script
    answer = httpx.get(f"{address}/{script[1]}", trust_env=False)
    assert answer.headers["content-encoding"] == "gzip"


def test_no_answer_names_another_origin(address: str) -> None:
    for method, path in (
        ("OPTIONS", "_stcore/upload_file/a/b"), ("OPTIONS", "_stcore/metrics"),
        ("GET", "_stcore/health"), ("GET", "_stcore/host-config"), ("GET", ""),
    ):  # fmt: skip
        answer = httpx.request(
            method,
            f"{address}/{path}",
            headers={"Origin": "http://localhost:8501"},
            trust_env=False,
        )
        assert not [name for name in answer.headers if name.startswith("access-control-")], path
    config = httpx.get(f"{address}/_stcore/host-config", trust_env=False).json()
    assert config["allowedOrigins"] == []


@pytest.mark.parametrize("path", ["_stcore/metrics", "_stcore/metrics%0A"])
def test_nobody_reads_how_many_are_here(address: str, path: str) -> None:
    assert httpx.get(f"{address}/{path}", trust_env=False).status_code == 404


@pytest.mark.parametrize(
    "path",
    [
        "nowhere",
        "a%2fb",
        "pr%C3%A9",
        "a/b",
        "$/href{javascript:x()}{x}$",
        "predictions/a",
        "a//b",
        "a/b/",
    ],
)
def test_an_address_of_no_page_is_a_404_that_leads_to_the_overview(address: str, path: str) -> None:
    answer = httpx.get(f"{address}/{path}", trust_env=False)
    assert answer.status_code == 404
    assert '<a href="/">Overview</a>' in answer.text
    assert "Content-Security-Policy" in answer.headers


@pytest.mark.parametrize("path", ["%", "%2", "%%7Bx", "100%-x", "%ff", "x%C3"])
def test_an_address_that_cannot_be_decoded_does_too(address: str, path: str) -> None:
    with closing(HTTPConnection(address.removeprefix("http://"))) as caller:
        caller.request("GET", f"/{path}")
        answer = caller.getresponse()
    assert answer.status == 404


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("predictions", 200), ("predictions/", 301), ("favicon.png", 200),
        ("predictions/_stcore/health", 404), ("predictions/_stcore/host-config", 404),
    ],
)  # fmt: skip
def test_what_streamlit_answers_at_other_addresses_stays(
    address: str, path: str, status: int
) -> None:
    assert httpx.get(f"{address}/{path}", trust_env=False).status_code == status


def open_session(
    address: str, origin: str | None, host: str | None = None, path: str = "/_stcore/stream"
) -> httpx.Response:
    """Ask for a WebSocket as a page of an origin does."""
    headers = {
        "Connection": "Upgrade", "Upgrade": "websocket", "Sec-WebSocket-Version": "13",
        "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
    }  # fmt: skip
    headers |= {} if host is None else {"Host": host}
    headers |= {} if origin is None else {"Origin": origin}
    return httpx.get(address + path, headers=headers, trust_env=False)


@pytest.mark.parametrize(
    "origin",
    [
        None, "null", "file://", "http://evil.example", "http://127.0.0.1", "http://localhost:3000",
        "https://localhost", "http://127.0.0.1:9999", "http://0.0.0.0:1", "http://[::1]:3",
        "http://evil@{own}", "http://{own}/", "http://{own}.evil.example", "ftp://{own}",
        "http://", "://{own}", "{own}",
    ],
)  # fmt: skip
def test_no_other_page_opens_a_session(address: str, asked: Path, origin: str | None) -> None:
    own = address.removeprefix("http://")
    answer = open_session(address, origin and origin.format(own=own))
    assert answer.status_code == 403
    assert answer.headers.items() >= {k.lower(): v for k, v in HEADERS.items()}.items()
    assert not asked.exists()


@pytest.mark.parametrize(
    ("host", "origin"),
    [("evil.example", "http://evil.example"), ("", "http://"), ("[", "http://[")],
)
def test_another_name_for_this_machine_opens_no_session(
    address: str, asked: Path, host: str, origin: str
) -> None:
    answer = open_session(address, origin, host)
    assert answer.status_code == 403
    assert answer.headers["content-security-policy"] == HEADERS["Content-Security-Policy"]
    assert not asked.exists()


@pytest.mark.parametrize(
    ("host", "origin"),
    [
        ("127.0.0.1:8501", "http://127.0.0.1:8501"), ("localhost", "http://localhost"),
        ("localhost", "https://localhost"), ("localhost:443", "https://localhost"),
        ("[::1]:8501", "http://[::1]:8501"),
    ],
)  # fmt: skip
def test_our_own_pages_open_one_also_behind_a_proxy(
    address: str, asked: Path, host: str, origin: str
) -> None:
    assert open_session(address, origin, host).status_code == 101
    assert not asked.exists()


def test_there_is_no_other_socket(address: str) -> None:
    assert open_session(address, address, path="/stream").status_code == 403


def test_a_refused_session_is_said_in_a_line_that_names_the_setting() -> None:
    port = free_port()
    with running("-m", "dashboard", dashboard_port=port) as dashboard:
        address = f"http://127.0.0.1:{port}"
        wait_for(f"{address}/_stcore/health", dashboard)
        assert open_session(address, "https://heart.example", "heart.example").status_code == 403
        dashboard.terminate()
        assert dashboard.communicate(timeout=40)[0] == (
            "WARNING cardiowatch.dashboard: rejected a session: Origin 'https://heart.example', "
            "Host 'heart.example'; see CARDIOWATCH_DASHBOARD_NAMES (count=1)\n"
        )


def test_the_error_of_a_page_is_logged_without_its_message() -> None:
    try:
        raise ValueError("chol is 5.2")
    except ValueError as error:
        record = logging.LogRecord(
            "page", logging.ERROR, __file__, 1, "Uncaught: %s", (error,),
            (type(error), error, error.__traceback__),
        )  # fmt: skip
    assert RedactExceptionMessages().filter(record)
    said = logging.Formatter().format(record)
    assert "5.2" not in said
    assert "page error: ValueError in test_the_error_of_a_page" in said


def test_pages_import_nothing_heavy(tmp_path: Path) -> None:
    migrate(f"sqlite:///{tmp_path}/log.db", lambda _: None)
    visit = """
import importlib, sys
from streamlit.testing.v1 import AppTest
from dashboard import app
for name in app._PRELOADED_MODULES:
    importlib.import_module(name)
page = AppTest.from_file("dashboard/pages/streamlit_app.py", default_timeout=30).run()
for name in (
    "overview", "patient", "batch", "predictions", "explanations", "fairness", "drift", "poisoning",
    "load_tests",
):
    page.switch_page(f"{name}/page.py").run()
    assert not page.exception, page.exception
heavy = ("sklearn", "scipy.stats", "shap", "fairlearn", "matplotlib")
print("heavy:", [name for name in heavy if name in sys.modules])
"""
    ended = run("-c", visit, database_url=f"sqlite:///{tmp_path}/log.db")
    assert ended.returncode == 0, ended.stderr
    assert "heavy: []" in ended.stdout


def test_a_wrong_setting_is_said_in_one_line() -> None:
    ended = run("-m", "dashboard", dashboard_port="many")
    assert ended.returncode == 4
    assert ended.stderr.count("\n") == 1
    assert "CARDIOWATCH_DASHBOARD_PORT" in ended.stderr


def test_pages_read_as_recipes() -> None:
    for page in (ROOT / "dashboard" / "pages").glob("*/page.py"):
        assert len(page.read_text().splitlines()) < 60, page.parent.name


def test_no_module_of_the_dashboard_hides_a_package() -> None:
    """Streamlit puts the script's folder first on the path."""
    import importlib.util

    names = {path.stem for path in (ROOT / "dashboard" / "pages").glob("*") if path.stem[0] != "_"}
    assert "overview" in names
    assert not {name for name in names if importlib.util.find_spec(name)}
