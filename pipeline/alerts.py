"""Try the receivers of alerts: `cardiowatch alerts`."""

from __future__ import annotations

from datetime import UTC, datetime

import click

from db.ids import new_id
from db.writer.alerts import AlertMessage, Event
from errors import NO, USAGE, CardiowatchError
from pipeline.monitoring.alerts import read_receivers, send
from settings import load_settings


class NoReceivers(CardiowatchError):
    """Nobody would be told."""

    exit_code = USAGE


@click.group("alerts")
def command() -> None:
    """Try the receivers of alerts, which `cardiowatch monitor` sends to CARDIOWATCH_ALERT_URLS."""


@command.command("test")
def send_test() -> int:
    """Send one message to every receiver now; exit 1 if one does not take it."""
    settings, now = load_settings(), datetime.now(UTC)
    receivers = read_receivers(settings.alert_urls.get_secret_value())
    if not receivers:
        raise NoReceivers("set CARDIOWATCH_ALERT_URLS: nobody would be told of an alert")
    facts = {
        "verdict": "This is a test: nothing is wrong.",
        "certainty": "",
        "source": "live",
        "model_version": "",
        "since": now.isoformat(),
        "until": now.isoformat(),
        "n": 0,
    }
    failed = 0
    for number, (name, address) in enumerate(receivers.items(), 1):
        message = AlertMessage(new_id(), new_id(), Event.RESOLVED, name, facts, 1, now)
        error = send(address, message, settings.dashboard_url)
        failed += error is not None
        print(f"Receiver {number}: {'sent' if error is None else f'not sent ({error})'}")
    return NO if failed else 0
