"""Alerts: what a message says of a monitoring run, and sending what is queued.

A red run opens an alert and a green one resolves it (`db.writer.alerts`). The addresses of the
receivers hold secrets: they stay in memory, and the database knows a receiver by a hash.
"""

from __future__ import annotations

import hashlib
import logging
import re
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import apprise
import httpx

from db.engine import open_engine, transaction
from db.writer.alerts import AlertMessage, Event, claim_message, next_due, settle_message
from errors import CardiowatchError
from pipeline.monitoring.status_rules import Status

MIN_PATIENTS = 10
"""Of fewer, a message gives no share or mean: it could be that of one patient."""

WAIT_S = 60.0
"""For how long a monitoring run tries to send; what fails is tried again by the next one."""

Receivers = Mapping[str, str]
"""Hash of an address -> address."""

_MAX_REASONS = 3
_TIMEOUT_S = 5.0
_FEW = f"Fewer than {MIN_PATIENTS} patients: what was found is on the page."
_CERTAINTY = {
    "drift": "Without any change such an alarm comes in about one month in twenty.",
    "quality": "Counted, not estimated.",
    "accuracy": "The 95 % interval of the accuracy lies below that in training.",
}
_TITLES = {
    Event.OPENED: "Cardiowatch alert",
    Event.REMINDER: "Cardiowatch alert, still open",
    Event.RESOLVED: "Cardiowatch alert resolved",
}
_TYPES = {
    Event.OPENED: apprise.NotifyType.FAILURE,
    Event.REMINDER: apprise.NotifyType.WARNING,
    Event.RESOLVED: apprise.NotifyType.SUCCESS,
}


class ReceiversError(CardiowatchError):
    """`ALERT_URLS` cannot be used; the sentence repeats no address."""

    def __str__(self) -> str:
        return f"CARDIOWATCH_ALERT_URLS: {super().__str__()}"


def read_receivers(setting: str) -> Receivers:
    """Return the receivers of the setting `ALERT_URLS`: addresses, or a file with one a line.

    An address is one of Apprise (https://appriseit.com/services), or that of a program of one's
    own, http(s)://..., which gets each message as JSON.

    Raises
    ------
    ReceiversError
        A file that cannot be read, or an address of no known kind.
    """
    setting = setting.strip()
    if setting and "://" not in setting:
        try:
            lines = Path(setting).read_text("utf-8").splitlines()
        except (OSError, ValueError):
            raise ReceiversError("neither an address nor a file that can be read") from None
        addresses = [line.strip() for line in lines if line.strip() and line.strip()[0] != "#"]
    else:  # a comma may also stand inside an address
        addresses = [each for each in re.split(r"[,\s]+(?=[a-z][\w+.-]*://)", setting) if each]
    for number, address in enumerate(addresses, 1):
        if not _is_own(address) and _plugin(address) is None:
            raise ReceiversError(f"address {number} is none that Apprise knows")
    return {hashlib.sha256(each.encode()).hexdigest()[:16]: each for each in addresses}


def facts_of(report: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a message tells of a monitoring run's report; no value of a patient."""
    red = [found for found in report["findings"] if found["status"] == Status.RED]
    reasons = [
        found["sentence"] if _patients(found["check"], report) >= MIN_PATIENTS else _FEW
        for found in red
    ]
    more = len(reasons) - _MAX_REASONS
    verdict = [*reasons[:_MAX_REASONS], *([f"{more} more on the page."] if more > 0 else [])]
    certainty = [_CERTAINTY[found["check"]] for found in red if found["check"] in _CERTAINTY]
    return {
        "verdict": " ".join(dict.fromkeys(verdict)) or report["verdict"],
        "certainty": " ".join(dict.fromkeys(certainty)),
        **{name: report[name] for name in ("source", "model_version", "since", "until", "n")},
    }


def _patients(check: str, report: Mapping[str, Any]) -> int:
    if check == "accuracy":
        return int(report["accuracy"]["true"]["n"])
    return int(report["n_week" if check == "drift" else "n"])


def deliver(
    database_url: str, receivers: Receivers, dashboard_url: str, *, wait_s: float = WAIT_S
) -> int:
    """Send the queued messages; return how many could not be sent within `wait_s` seconds.

    Raises
    ------
    DatabaseUnavailable
        The outbox cannot be read or written.
    """
    if not receivers:  # a run by hand, without the setting, must not drop what another one queued
        return 0
    engine, end = open_engine(database_url), time.monotonic() + wait_s
    failed: set[str] = set()
    while True:
        with transaction(engine) as connection:
            message = claim_message(connection, receivers)
            due = None if message else next_due(connection)
        if message is not None:
            error = send(receivers[message.receiver], message, dashboard_url)
            with transaction(engine) as connection:
                settle_message(connection, message, error)
            (failed.discard if error is None else failed.add)(message.id)
            continue
        pause = 0.0 if due is None else max((due - datetime.now(UTC)).total_seconds(), 0.01)
        if due is None or time.monotonic() + pause > end:
            engine.dispose()
            return len(failed)
        time.sleep(pause)


def send(address: str, message: AlertMessage, dashboard_url: str) -> str | None:
    """Send one message; return None, or the kind of error, which repeats no address."""
    for name in ("apprise", "httpcore", "httpx", "urllib3"):  # they log addresses
        logging.getLogger(name).setLevel(logging.CRITICAL + 1)
    title, text, link = compose(message, dashboard_url)
    try:
        if _is_own(address):
            content = {**message.facts, "title": title, "text": text, "link": link}
            content |= {name: getattr(message, name) for name in ("id", "alert_id", "event")}
            content["opened_at"] = message.opened_at.isoformat()
            answer = httpx.post(address, json=content, timeout=_TIMEOUT_S)
            return None if answer.is_success else f"HTTP {answer.status_code}"
        plugin = _plugin(address)
        kind = _TYPES[Event(message.event)]
        sent = plugin is not None and plugin.notify(body=text, title=title, notify_type=kind)
        return None if sent else "not accepted"
    except Exception as error:  # of any service; its text may hold the address
        return type(error).__name__


def compose(message: AlertMessage, dashboard_url: str) -> tuple[str, str, str]:
    """Return a message's title, text and link."""
    facts = message.facts
    since, until = (_time(datetime.fromisoformat(facts[name])) for name in ("since", "until"))
    link = f"{dashboard_url.rstrip('/')}/drift"
    lines = [
        facts["verdict"],
        facts["certainty"],
        f"{facts['n']:,} {facts['source']} predictions from {since} to {until}.",
        f"The alert was opened on {_time(message.opened_at)}.",
        link,
    ]
    if message.event != Event.RESOLVED:
        lines.append(
            "To stop reminders, acknowledge it on the Overview page or with "
            f"POST /alerts/{message.alert_id}/acknowledgement."
        )
    lines.append(f"Message {message.id}")
    return _TITLES[Event(message.event)], "\n".join(filter(None, lines)), link


def _time(moment: datetime) -> str:
    return f"{moment.astimezone(UTC):%d %b %Y, %H:%M} UTC"


def _is_own(address: str) -> bool:
    return address.startswith(("http://", "https://")) and _plugin(address) is None


def _plugin(address: str) -> Any:
    return apprise.Apprise.instantiate(address, suppress_exceptions=True)
