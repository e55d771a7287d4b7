"""What the programs write into their logs, and what never gets there."""

from __future__ import annotations

import json
import logging
import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx
import pytest

import logs
from tests.api.conftest import PATIENT
from tests.programs import ROOT, free_port, run, running, wait_for

TELLING = PATIENT | {"chol": 417, "trestbps": 193}


def lines(output: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in output.splitlines()]


def record(message: str, error: Exception | None = None, **extra: object) -> logging.LogRecord:
    info = (type(error), error, error.__traceback__) if error else None
    made = logging.LogRecord("any", logging.WARNING, __file__, 1, message, (), info)
    made.created = 0.0  # whose digits are not taken for a patient's
    vars(made).update(extra)
    return made


def raised() -> Exception:
    try:
        raise ValueError("chol is 417")
    except ValueError as error:
        return error


def test_a_request_that_went_well_leaves_no_line(sqlite_url: str, model_dir: Path) -> None:
    port = free_port()
    settings = {"database_url": sqlite_url, "model_dir": model_dir, "api_port": port}
    with running("-m", "api", **settings, log_format="json") as api:
        wait_for(f"http://127.0.0.1:{port}/readyz", api)
        reply = httpx.post(f"http://127.0.0.1:{port}/predict", json=PATIENT, trust_env=False)
        api.terminate()
        output = api.communicate(timeout=40)[0]

    assert reply.status_code == 200
    assert output == ""


def test_a_request_that_failed_can_be_found_by_the_id_its_caller_got(model_dir: Path) -> None:
    port, nowhere = free_port(), "postgresql+psycopg://nobody@127.0.0.1:1/none"
    base = f"http://127.0.0.1:{port}"
    settings = {"database_url": nowhere, "model_dir": model_dir, "api_port": port}
    with running("-m", "api", **settings, log_format="json") as api:
        wait_for(f"{base}/healthz", api)
        replies = [
            httpx.post(f"{base}/predict", json=TELLING, trust_env=False),
            httpx.get(f"{base}/predictions", trust_env=False),
            httpx.get(f"{base}/readyz", trust_env=False),
        ]
        api.terminate()
        output = api.communicate(timeout=40)[0]

    found = {line.get("request_id"): line for line in lines(output)}
    for reply in replies:
        assert reply.status_code == 503
        told = found[reply.json()["instance"].removeprefix("urn:uuid:")]
        assert (told["level"], told["severity"]) == ("warning", "WARNING")
        assert told["logger"] == "cardiowatch.api"
    for line in lines(output):
        said = {name: value for name, value in line.items() if name not in ("time", "request_id")}
        assert "417" not in str(said).replace(str(port), "")
        assert "193" not in str(said).replace(str(port), "")


@pytest.mark.parametrize("form", [logs.JsonFormatter(), logs.TextFormatter()])
def test_an_exceptions_message_and_unknown_fields_stay_out(form: logging.Formatter) -> None:
    line = form.format(record("it broke\n", raised(), chol=417, route="/predict"))

    assert "417" not in line
    assert "ValueError in raised:" in line
    assert "/predict" in line
    assert "\n" not in line


def test_lines_written_during_a_request_carry_its_id() -> None:
    token = logs.REQUEST_ID.set("of-this-request")
    try:
        assert (
            json.loads(logs.JsonFormatter().format(record("slow")))["request_id"]
            == "of-this-request"
        )
    finally:
        logs.REQUEST_ID.reset(token)
    assert "request_id" not in json.loads(logs.JsonFormatter().format(record("slow")))


def test_of_equal_events_one_is_written_in_a_while_and_stands_for_all(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now = 10.0
    monkeypatch.setattr(logs, "monotonic", lambda: now)
    seldom = logs.LogThrottle(every_s=1.0)

    assert [seldom.admit("busy") for _ in range(4)] == [1, 0, 0, 0]
    assert seldom.admit("other") == 1
    now = 11.0
    assert seldom.admit("busy") == 4


def test_the_monitor_speaks_json_where_that_is_asked_for(sqlite_url: str, model_dir: Path) -> None:
    settings = {"database_url": sqlite_url, "model_dir": model_dir, "log_format": "json"}
    ended = run("-m", "cardiowatch", "monitor", **settings)

    (line,) = lines(ended.stderr)
    assert ended.returncode == 0
    assert (line["level"], line["message"][:23]) == ("warning", "monitor: nothing logged")


def python(*statements: str) -> str:
    return subprocess.run(
        [sys.executable, "-c", "\n".join(statements)], cwd=ROOT, capture_output=True, text=True,
        check=False,
    ).stderr  # fmt: skip


def test_what_nobody_caught_and_warnings_are_lines_too() -> None:
    warned, ended = lines(
        python(
            "import logs, warnings",
            "logs.configure('json')",
            "warnings.warn('old')",
            "raise ValueError('chol is 417')",
        )
    )

    assert warned["logger"] == "py.warnings"
    assert (ended["level"], ended["exception"]) == ("critical", "ValueError in <module>:4")


def test_streamlits_own_lines_are_ours_in_form() -> None:
    written = lines(
        python(
            "import logs",
            "from dashboard.__main__ import _use_our_log_handlers",
            "from streamlit.logger import get_logger",
            "early = get_logger('streamlit.early')",
            "logs.configure('json')",
            "_use_our_log_handlers()",
            "early.warning('one')",
            "get_logger('streamlit.late').warning('two')",
        )
    )

    assert [(line["logger"], line["message"]) for line in written] == [
        ("streamlit.early", "one"), ("streamlit.late", "two"),
    ]  # fmt: skip


@pytest.mark.parametrize(("form", "begins"), [("text", "2"), ("json", "{")])
def test_who_read_what_is_written_to_standard_output_in_either_form(form: str, begins: str) -> None:
    program = f"import logs; logs.configure('{form}'); logs.access.info('key 1a2b')"
    written = subprocess.run(
        [sys.executable, "-c", program],
        cwd=ROOT, capture_output=True, text=True, check=True,
    )  # fmt: skip

    assert written.stdout.startswith(begins)
    assert "key 1a2b" in written.stdout
    assert written.stderr == ""
