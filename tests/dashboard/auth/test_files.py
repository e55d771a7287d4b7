"""Whose files the dashboard takes, and whom it serves a download; real servers."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from itertools import count

import httpx
import pytest
from streamlit.proto.BackMsg_pb2 import BackMsg
from streamlit.proto.ForwardMsg_pb2 import ForwardMsg

from dashboard.auth.files import MAX_UPLOADS, MAX_UPLOADS_PER_PERSON, UPLOAD_PAGES, offered_download
from tests.dashboard.sessions import ask, login_cookie, run, served, session, session_id, xsrf
from tests.programs import ROOT

pytestmark = pytest.mark.slow

MB = 1024 * 1024
_names = count()


@pytest.fixture
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a dashboard without a login."""
    with served(tmp_path_factory.mktemp("open")) as address:
        yield address


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a dashboard with a login."""
    with served(tmp_path_factory.mktemp("login"), login=True) as address:
        yield address


def upload(
    address: str, sid: str, cookie: str = "", *, method: str = "PUT", name: str = "",
    size: int = 10, browser: int = 0,
) -> int:  # fmt: skip
    """Send a file into a session as the page does; return the status."""
    token = xsrf(browser)
    return httpx.request(
        method,
        f"{address}/_stcore/upload_file/{sid}/{name or next(_names)}",
        files={"file": ("study.csv", b"0" * size, "text/csv")},
        headers={"X-Xsrftoken": token, "Cookie": f"_streamlit_xsrf={token}{cookie}"},
        trust_env=False,
        timeout=60,
    ).status_code


def test_a_file_is_no_larger_than_the_gate_promises(address: str) -> None:
    with session(address) as socket:
        sid = session_id(run(socket))
        assert upload(address, sid, size=5 * MB) == 204
        assert upload(address, sid, size=7 * MB) == 413


def test_one_session_cannot_take_the_places_of_others_where_nobody_logs_in(address: str) -> None:
    with session(address) as one, session(address) as other:
        greedy, modest = session_id(run(one)), session_id(run(other))
        statuses = [upload(address, greedy) for _ in range(MAX_UPLOADS_PER_PERSON + 2)]
        assert statuses == [204] * MAX_UPLOADS_PER_PERSON + [429] * 2
        assert upload(address, modest) == 204


def test_a_login_cannot_take_the_places_of_others_with_many_tabs_or_at_once(guarded: str) -> None:
    greedy, other = (
        login_cookie("ethics", subject=s, address=guarded) for s in ("greedy", "modest")
    )  # fmt: skip
    with ExitStack() as stack:
        tabs = [session_id(run(stack.enter_context(session(guarded, greedy)))) for _ in range(5)]
        with ThreadPoolExecutor(10) as at_once:
            statuses = list(at_once.map(lambda sid: upload(guarded, sid, greedy), tabs * 4))
        assert statuses.count(204) <= MAX_UPLOADS_PER_PERSON
        assert set(statuses) == {204, 429}
        assert (
            upload(guarded, session_id(run(stack.enter_context(session(guarded, other)))), other)
            == 204
        )


def test_a_tab_that_was_closed_gives_no_new_places(guarded: str) -> None:
    cookie = login_cookie("ethics", subject="closes tabs", address=guarded)
    for _ in range(MAX_UPLOADS_PER_PERSON):
        with session(guarded, cookie) as socket:
            assert upload(guarded, session_id(run(socket)), cookie) == 204
    with session(guarded, cookie) as socket:
        assert upload(guarded, session_id(run(socket)), cookie) == 429


def test_a_file_that_is_taken_back_gives_its_place_back(guarded: str) -> None:
    cookie = login_cookie("ethics", subject="changes files", address=guarded)
    with session(guarded, cookie) as socket:
        sid = session_id(run(socket))
        for _ in range(2 * MAX_UPLOADS_PER_PERSON):
            assert upload(guarded, sid, cookie, name="chosen") == 204
            assert upload(guarded, sid, cookie, name="chosen", method="DELETE") == 204


def test_a_file_that_arrives_after_its_page_was_closed_is_not_kept(guarded: str) -> None:
    cookie = login_cookie("ethics", subject="slow", address=guarded)
    arriving, closed = threading.Event(), threading.Event()

    def body() -> Iterator[bytes]:
        yield b'--frame\r\nContent-Disposition: form-data; name="file"; filename="a.csv"\r\n\r\n'
        arriving.set()
        assert closed.wait(60)
        yield b"1,2\r\n--frame--\r\n"

    def send_slowly(sid: str) -> int:
        headers = {
            "X-Xsrftoken": xsrf(), "Cookie": f"_streamlit_xsrf={xsrf()}{cookie}",
            "Content-Type": "multipart/form-data; boundary=frame",
        }  # fmt: skip
        url = f"{guarded}/_stcore/upload_file/{sid}/slow"
        return httpx.put(
            url, content=body(), headers=headers, trust_env=False, timeout=60
        ).status_code

    with ThreadPoolExecutor(1) as beside:
        with session(guarded, cookie) as socket:
            sid = session_id(run(socket))
            slow = beside.submit(send_slowly, sid)
            assert arriving.wait(60)
            assert (
                upload(guarded, sid, cookie, method="DELETE") == 204
            )  # what came before was heard
        while upload(guarded, sid, cookie, method="DELETE") == 204:
            time.sleep(0.05)
        closed.set()
        assert slow.result(60) == 204
    with session(guarded, cookie) as socket:
        sid = session_id(run(socket))
        assert [upload(guarded, sid, cookie) for _ in range(MAX_UPLOADS_PER_PERSON)] == [
            204
        ] * MAX_UPLOADS_PER_PERSON


def test_the_number_of_files_is_limited_for_all_together(address: str) -> None:
    with ExitStack() as stack:
        for _ in range(MAX_UPLOADS // MAX_UPLOADS_PER_PERSON):
            sid = session_id(run(stack.enter_context(session(address))))
            assert [upload(address, sid) for _ in range(MAX_UPLOADS_PER_PERSON)] == [
                204
            ] * MAX_UPLOADS_PER_PERSON
        last = session_id(run(stack.enter_context(session(address))))
        assert upload(address, last) == 503


NOBODY = (
    "", "; _streamlit_user=ethics", login_cookie("ethics", secret="1" * 32),
    login_cookie("cleaning"), login_cookie("ethics", age_s=13 * 3600),
)  # fmt: skip


@pytest.mark.parametrize("cookie", NOBODY)
def test_who_has_not_logged_in_uploads_nothing(guarded: str, cookie: str) -> None:
    with session(guarded, cookie) as socket:
        assert upload(guarded, session_id(run(socket)), cookie) == 403


@pytest.mark.parametrize("group", ["ethics", "ward-3"])
def test_a_role_with_a_page_for_uploads_uploads(guarded: str, group: str) -> None:
    cookie = login_cookie(group, subject="uploads", address=guarded)
    with session(guarded, cookie) as socket:
        sid = session_id(run(socket))
        assert upload(guarded, sid, cookie, name="chosen") == 204
        assert upload(guarded, sid, cookie, name="chosen", method="DELETE") == 204


def test_a_role_without_a_page_for_uploads_uploads_nothing(guarded: str) -> None:
    cookie = login_cookie("machine-room", address=guarded)
    with session(guarded, cookie) as socket:
        sid = session_id(run(socket))
        assert [upload(guarded, sid, cookie) for _ in range(MAX_UPLOADS + 1)] == [403] * (
            MAX_UPLOADS + 1
        )


@pytest.mark.parametrize("method", ["PUT", "DELETE"])
def test_a_session_takes_and_drops_files_of_its_own_visitor_alone(
    guarded: str, method: str
) -> None:
    mine = login_cookie("ethics", subject="me", address=guarded)
    with session(guarded, mine) as socket:
        sid = session_id(run(socket))
        assert upload(guarded, sid, mine, name="mine") == 204
        for cookie, browser in (
            (login_cookie("ethics", subject="other"), 0), (login_cookie("machine-room"), 0),
            (login_cookie("machine-room", subject="me"), 0), (mine, 1),
        ):  # fmt: skip
            assert upload(guarded, sid, cookie, name="mine", method=method, browser=browser) == 403
    assert upload(guarded, sid, mine, name="mine", method=method) == 403  # the page is closed


def test_the_pages_for_uploads_are_those_with_a_file_uploader() -> None:
    sources = (ROOT / "dashboard").rglob("*.py")
    found = {path.parent.name for path in sources if "file_uploader(" in path.read_text("utf-8")}
    assert found - {"shared"} == UPLOAD_PAGES


def download(address: str, path: str, cookie: str = "", browser: int = 0) -> httpx.Response:
    headers = {"Cookie": f"_streamlit_xsrf={xsrf(browser)}{cookie}"}
    return httpx.get(f"{address}{path}", headers=headers, trust_env=False)


@pytest.mark.parametrize("cookie", NOBODY)
def test_who_has_not_logged_in_downloads_nothing(guarded: str, cookie: str) -> None:
    assert download(guarded, "/media/0.csv", cookie).status_code == 403


def test_a_download_that_is_not_there_is_kept_by_no_cache(guarded: str) -> None:
    answer = download(guarded, "/media/0.csv", login_cookie("ethics"))
    assert answer.status_code == 404
    assert answer.headers["cache-control"] == "no-store"


def offered(said: list[ForwardMsg]) -> str:
    """Return the address of the download that a page offers."""
    buttons = [m.delta.new_element.download_button for m in said]
    (url,) = {button.url for button in buttons if button.url}
    return url


def test_a_download_is_served_to_whom_it_was_offered_alone(guarded: str) -> None:
    mine = login_cookie("machine-room", subject="me", address=guarded)
    with session(guarded, mine) as socket:
        url = offered(run(socket, "load-tests"))
        assert download(guarded, url, mine).status_code == 200
        with session(
            guarded, login_cookie("machine-room", subject="other", address=guarded)
        ) as other:
            run(other)
            for cookie, browser in (
                (login_cookie("machine-room", subject="other"), 0), (mine, 1),
                (login_cookie("ward-3", subject="me"), 0), (login_cookie("ethics"), 0),
            ):  # fmt: skip
                assert download(guarded, url, cookie, browser).status_code == 404
        assert download(guarded, url, "").status_code == 403
        assert download(guarded, url.replace(".csv", ".html"), mine).status_code == 404
        assert download(guarded, url + "%0a", mine).status_code == 404
        older = login_cookie("machine-room", subject="me", age_s=13 * 3600)
        assert download(guarded, url, older).status_code == 403
    assert download(guarded, url, mine).status_code == 404


def test_a_download_is_served_to_its_own_browser_alone_where_nobody_logs_in(address: str) -> None:
    with session(address, browser=1) as socket, session(address, browser=2) as other:
        url = offered(run(socket, "load-tests"))
        run(other)
        assert download(address, url, browser=1).status_code == 200
        assert download(address, url, browser=2).status_code == 404
        assert httpx.get(f"{address}{url}", trust_env=False).status_code == 404


def test_a_page_whose_connection_was_lost_offers_its_downloads_again(guarded: str) -> None:
    mine = login_cookie("machine-room", subject="me", address=guarded)
    other = login_cookie("machine-room", subject="other", address=guarded)
    with session(guarded, mine) as socket:
        said = run(socket, "load-tests")
    url, sid = offered(said), session_id(said)
    with session(guarded, other, resumed=sid):
        assert download(guarded, url, other).status_code == 404
        assert download(guarded, url, mine).status_code == 404
    with session(guarded, mine, resumed=sid):
        assert download(guarded, url, mine).status_code == 200


def test_an_export_that_is_made_when_it_is_asked_for_is_served_to_who_asked(guarded: str) -> None:
    mine, other = (login_cookie("ward-3", subject=s, address=guarded) for s in ("me", "other"))
    with session(guarded, mine) as socket:
        said = run(socket, "predictions")
        made, *_ = [
            b for m in said if (b := m.delta.new_element.download_button).deferred_file_id
        ]  # fmt: skip
        *_, answer = ask(socket, asked(made.deferred_file_id, said), "backend_operation_response")
        url = answer.backend_operation_response.deferred_file.url
        assert download(guarded, url, mine).status_code == 200
        assert download(guarded, url, other).status_code == 404


def test_an_export_is_made_for_the_session_that_offers_it_alone(guarded: str) -> None:
    mine, other = (login_cookie("ward-3", subject=s, address=guarded) for s in ("me", "other"))
    with session(guarded, mine) as socket, session(guarded, other) as stranger:
        made, *_ = [
            b
            for m in run(socket, "predictions")
            if (b := m.delta.new_element.download_button).deferred_file_id
        ]
        request = asked(made.deferred_file_id, run(stranger))
        stranger.send(request.SerializeToString())
        assert not [
            m for m in run(stranger) if m.WhichOneof("type") == "backend_operation_response"
        ]


def asked(file: str, said: list[ForwardMsg]) -> BackMsg:
    """Return what a page sends when somebody presses the button of such a file."""
    request = BackMsg()
    request.backend_operation_request.request_id = "1"
    request.backend_operation_request.session_id = session_id(said)
    request.backend_operation_request.deferred_file.file_id = file
    return request


def test_a_page_that_repeats_an_address_offers_nothing() -> None:
    message = ForwardMsg()
    message.delta.new_element.text.body = "/media/0123.csv"
    assert not offered_download(message)
    message.delta.new_element.download_button.label = "/media/0123.csv"
    message.delta.new_element.download_button.url = "/media/4567.csv"
    assert offered_download(message) == "/media/4567.csv"
