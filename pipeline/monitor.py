"""Check the log once for every completed day: `cardiowatch monitor`."""

from __future__ import annotations

import re
import sys
from contextlib import closing
from datetime import datetime, timedelta
from typing import Any

import click

import logs
from db.arguments import Time
from db.reader.queries import Reader
from db.schema import SOURCES
from db.writer.results import MonitoringRun
from errors import NO
from pipeline.monitoring.alerts import deliver, read_receivers
from pipeline.monitoring.schedule import DAY, MAX_CATCH_UP, NoPredictions, monitor
from settings import load_settings


class _Length(click.ParamType[timedelta]):
    name = "24h|7d"

    def convert(self, value: Any, param: Any, ctx: Any) -> timedelta:
        if isinstance(value, timedelta):
            return value
        found = re.fullmatch(r"([1-9]\d{0,3})([hd])", value)
        if not found:
            self.fail("write hours or days, as 24h or 7d", param, ctx)
        return int(found[1]) * (timedelta(hours=1) if found[2] == "h" else DAY)


@click.command("monitor")
@click.option("--window", type=_Length(), default=DAY, show_default="24h", help="Length.")
@click.option("--until", type=Time(), help="End; default: the last midnight, UTC.")
@click.option(
    "--source", type=click.Choice(SOURCES), help="Whose rows; default: live where there is any."
)
@click.option(
    "--catch-up",
    type=click.IntRange(1, 1000),
    default=MAX_CATCH_UP,
    show_default=True,
    help="Windows, at most.",
)
@click.option(
    "--fail-on", type=click.Choice(("amber", "red")), help="Exit 1 at this status or worse."
)
def command(
    window: timedelta,
    until: datetime | None,
    source: str | None,
    catch_up: int,
    fail_on: str | None,
) -> int:
    """Check the log once for every completed day.

    A monitoring run asks whether the values are sound, whether the patients have changed, whether
    groups are treated as in training, and how accurate the predictions are. It stores one report
    with a green, amber or red status. A red run opens an alert, which is sent to
    CARDIOWATCH_ALERT_URLS and resolved by the next green one.

    Without --fail-on the exit code is 0 whatever was found; so it is while nothing is logged yet.
    """
    last: MonitoringRun | None = None
    settings = load_settings()
    logs.configure(settings.log_format)
    receivers = read_receivers(settings.alert_urls.get_secret_value())
    try:
        for last in monitor(
            settings.database_url,
            settings.model_dir,
            source=source,
            length=window,
            until=until,
            limit=catch_up,
            receivers=receivers,
        ):
            text = f"{last.since:%Y-%m-%d %H:%M}  {last.status:5}  {last.verdict}"
            logs.program.info(text, extra={"status": last.status})
    except NoPredictions as empty:  # a new cluster's first jobs find nothing to check
        logs.program.warning(f"monitor: nothing logged yet. {empty}")
        return 0
    unsent = deliver(settings.database_url, receivers, settings.dashboard_url)
    if unsent:
        logs.program.warning(f"monitor: {unsent} alert messages not sent; the next run tries again")
    with closing(Reader(settings.database_url)) as reader:
        newest = reader.monitoring_runs(source=source, limit=1)
    if last is None:
        logs.program.warning("monitor: every window already has its report")
    elif last.source != "live":
        logs.program.warning(f"monitor: {last.source} patients, not live ones")
    bad = {"red": ("red",), "amber": ("amber", "red"), None: ()}[fail_on]
    return NO if newest and newest[0]["status"] in bad else 0


if __name__ == "__main__":
    from cardiowatch import deprecated

    sys.exit(deprecated("monitor"))
