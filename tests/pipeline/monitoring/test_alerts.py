"""What alerts say, and that they arrive: sent to a real receiver on this machine."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select, update

from cardiowatch import main
from db.engine import open_engine, session, transaction
from db.reader.queries import Reader
from db.schema import alert_messages
from db.writer.alerts import claim_message
from db.writer.results import MonitoringRun, add_monitoring_run
from pipeline.monitoring import alerts
from pipeline.monitoring.alerts import ReceiversError, deliver, facts_of, read_receivers
from tests.alert_receiver import SECRET, Receiver, running_receiver

DASHBOARD = "https://hearts.example"
DAY = datetime(2026, 11, 3, tzinfo=UTC)


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with running_receiver() as receiver:
        yield receiver


@pytest.fixture
def url(sqlite_url: str) -> str:
    return sqlite_url


def report(*findings: tuple[str, str], n: int = 500, **values: Any) -> dict[str, Any]:
    """A report with findings (check, sentence), all of them red."""
    found = [{"check": c, "status": "red", "sentence": s} for c, s in findings]
    base = {
        "source": "live", "model_version": "44136fa355b3", "findings": found,
        "since": DAY.isoformat(), "until": (DAY + timedelta(days=1)).isoformat(),
        "n": n, "n_week": 7 * n, "verdict": "No changes detected.",
        "accuracy": {"true": {"n": n}},
    }  # fmt: skip
    return base | values


DRIFT = ("drift", "Input drift detected (1-day window): age.")
ACCURACY = ("accuracy", "Accuracy 20 % on 5 predictions with an outcome; 82 % in training.")


def run(url: str, status: str, receivers: Any, day: int = 0, *findings: tuple[str, str]) -> None:
    since = DAY + timedelta(days=day)
    done = MonitoringRun("live", "44136fa355b3", since, since + timedelta(days=1), status, "-")
    facts = facts_of(report(*findings))
    add_monitoring_run(url, {}, done, version=1, facts=facts, receivers=receivers)


def test_red_and_green_are_each_told_once_with_what_since_when_and_a_link(
    url: str, receiver: Receiver
) -> None:
    receivers = read_receivers(receiver.url)
    run(url, "red", receivers, 0, DRIFT)
    assert deliver(url, receivers, DASHBOARD) == 0
    run(url, "red", receivers, 1, DRIFT)
    run(url, "green", receivers, 2)
    assert deliver(url, receivers, DASHBOARD) == 0
    opened, resolved = receiver.got
    assert (opened["event"], resolved["event"]) == ("opened", "resolved")
    assert opened["alert_id"] == resolved["alert_id"]
    assert opened["id"] != resolved["id"]
    for part in (
        "Input drift detected (1-day window): age.",
        "about one month in twenty",
        "500 live predictions from 03 Nov 2026, 00:00 UTC to 04 Nov 2026, 00:00 UTC.",
        f"{DASHBOARD}/drift",
        f"POST /alerts/{opened['alert_id']}/acknowledgement",
    ):
        assert part in opened["text"]
    assert opened["link"] == f"{DASHBOARD}/drift"
    assert "No changes detected." in resolved["text"]
    assert "acknowledge" not in resolved["text"]


def test_a_service_of_apprise_gets_title_and_text(url: str, receiver: Receiver) -> None:
    receivers = read_receivers(receiver.url.replace("http://", "json://"))
    run(url, "red", receivers, 0, DRIFT)
    assert deliver(url, receivers, DASHBOARD) == 0
    (got,) = receiver.got
    assert (got["title"], got["type"]) == ("Cardiowatch alert", "failure")
    assert "Input drift detected" in got["message"]


def test_a_dead_receiver_gets_the_message_when_it_is_back_and_delays_nobody(
    url: str, receiver: Receiver
) -> None:
    with running_receiver() as dead:
        _dead_and_back(url, receiver, dead)


def _dead_and_back(url: str, receiver: Receiver, dead: Receiver) -> None:
    dead.status = 500
    receivers = read_receivers(f"{dead.url}, {receiver.url}")
    run(url, "red", receivers, 0, DRIFT)
    assert deliver(url, receivers, DASHBOARD, wait_s=0) == 1
    assert len(receiver.got) == 1
    with transaction(open_engine(url)) as connection:
        connection.execute(update(alert_messages).values(due_at=datetime.now(UTC)))
    reader = Reader(url)
    (failed,) = reader.undelivered_alerts()
    assert (failed["error"], failed["attempts"]) == ("HTTP 500", 1)
    dead.status = 200
    assert deliver(url, receivers, DASHBOARD) == 0
    assert (len(dead.got), len(receiver.got), reader.undelivered_alerts()) == (1, 1, [])
    reader.close()


def test_a_program_killed_after_sending_sends_it_again_with_the_same_id(
    url: str, receiver: Receiver
) -> None:
    receivers = read_receivers(receiver.url)
    run(url, "red", receivers, 0, DRIFT)
    with transaction(open_engine(url)) as connection:
        message = claim_message(connection, receivers)
    assert message is not None
    assert alerts.send(receiver.url, message, DASHBOARD) is None  # and killed before it is noted
    assert deliver(url, receivers, DASHBOARD, wait_s=0) == 0  # another program's, for a minute
    with transaction(open_engine(url)) as connection:
        connection.execute(update(alert_messages).values(due_at=datetime.now(UTC)))
    assert deliver(url, receivers, DASHBOARD) == 0
    assert [got["id"] for got in receiver.got] == [message.id, message.id]


def test_a_run_without_receivers_keeps_what_another_one_queued(
    url: str, receiver: Receiver
) -> None:
    receivers = read_receivers(receiver.url)
    run(url, "red", receivers, 0, DRIFT)
    assert deliver(url, {}, DASHBOARD) == 0
    assert receiver.got == []
    assert deliver(url, receivers, DASHBOARD) == 0
    assert len(receiver.got) == 1


def test_two_monitors_tell_once(url: str, receiver: Receiver) -> None:
    receivers = read_receivers(receiver.url)
    run(url, "red", receivers, 0, DRIFT)
    threads = [
        threading.Thread(target=deliver, args=(url, receivers, DASHBOARD), kwargs={"wait_s": 0})
        for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(receiver.got) == 1


def test_of_few_patients_no_share_is_told() -> None:
    few = facts_of(report(("quality", "Thallium scan: 33 % missing."), ACCURACY, DRIFT, n=9))
    assert "%" not in few["verdict"]
    assert few["verdict"].count("Fewer than 10 patients") == 1
    assert DRIFT[1] in few["verdict"]  # names of findings, of the 63 patients of a week
    enough = facts_of(report(ACCURACY, n=10))
    assert "20 %" in enough["verdict"]
    outcomes = facts_of(report(ACCURACY, n=500, accuracy={"true": {"n": 5}}))
    assert "%" not in outcomes["verdict"]


def test_a_message_names_three_reasons_at_most() -> None:
    facts = facts_of(report(*(("quality", f"Reason {n}.") for n in range(5))))
    assert facts["verdict"] == "Reason 0. Reason 1. Reason 2. 2 more on the page."


@pytest.mark.parametrize(
    ("setting", "addresses"),
    [
        ("", []),
        ("json://a.example/x?to=b,c, jsons://d.example", ["json://a.example/x?to=b,c",
                                                         "jsons://d.example"]),
        ("https://hooks.example/1\nmailto://u:p@example.org", ["https://hooks.example/1",
                                                               "mailto://u:p@example.org"]),
    ],
)  # fmt: skip
def test_addresses_are_separated_by_commas(setting: str, addresses: list[str]) -> None:
    assert list(read_receivers(setting).values()) == addresses


def test_addresses_may_stand_in_a_file(tmp_path: Path) -> None:
    file = tmp_path / "receivers"
    file.write_text(f"# the ward\njsons://a.example/{SECRET}\n\n")
    assert list(read_receivers(str(file)).values()) == [f"jsons://a.example/{SECRET}"]


@pytest.mark.parametrize("setting", [f"nosuch://{SECRET}@x", f"json://ok, foo://{SECRET}", SECRET])
def test_a_wrong_address_is_named_by_its_place_alone(setting: str) -> None:
    with pytest.raises(ReceiversError, match="CARDIOWATCH_ALERT_URLS") as error:
        read_receivers(setting)
    assert SECRET not in str(error.value)


def test_an_address_is_nowhere_but_in_memory(
    url: str, receiver: Receiver, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    receiver.status = 403
    dead = f"http://{SECRET}@127.0.0.1:9/{SECRET}"
    setting = ", ".join(
        [receiver.url, receiver.url.replace("http", "json"), dead, f"json://u:{SECRET}@127.0.0.1:9"]
    )
    receivers = read_receivers(setting)
    run(url, "red", receivers, 0, DRIFT)
    assert deliver(url, receivers, DASHBOARD, wait_s=0) == 4
    with session(open_engine(url)) as connection:
        errors = [row.error for row in connection.execute(select(alert_messages))]
    assert sorted(errors) == ["ConnectError", "HTTP 403", "not accepted", "not accepted"]
    assert SECRET not in caplog.text
    for file in tmp_path.iterdir():
        assert SECRET.encode() not in file.read_bytes()


def test_the_test_message_says_which_receiver_did_not_take_it(
    receiver: Receiver, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["alerts", "test"]) == 2
    monkeypatch.setenv("CARDIOWATCH_ALERT_URLS", f"{receiver.url}, http://127.0.0.1:9/{SECRET}")
    assert main(["alerts", "test"]) == 1
    said = capsys.readouterr()
    assert said.out.splitlines() == ["Receiver 1: sent", "Receiver 2: not sent (ConnectError)"]
    assert "CARDIOWATCH_ALERT_URLS" in said.err
    assert SECRET not in said.out + said.err
    assert "nothing is wrong" in receiver.got[0]["text"]
