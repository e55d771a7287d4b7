"""Store what an autoscaler did during a load test: `cardiowatch hpa FILE`."""

from __future__ import annotations

from typing import TextIO

import click

from db.migrate import migrate
from db.writer.results import add_load_test
from perf.formats.kubectl import parse_hpa
from pipeline.load_tests.autoscaling import KIND
from settings import load_settings


@click.command("hpa")
@click.argument("file", type=click.File(encoding="utf-8", errors="replace"))
def command(file: TextIO) -> None:
    """Record a run of the cluster's autoscaler.

    FILE is the output of `kubectl -n cardiowatch get hpa cardiowatch-api -w`, started before the
    load test; - reads standard input. The page Load tests shows it.
    """
    found = parse_hpa(file.read())
    database = load_settings().database_url
    migrate(database, lambda _: None)
    add_load_test(database, KIND, found.to_dict())
    minutes = found.moments[-1].at_s / 60
    print(
        f"{found.name}: {len(found.moments)} moments in {minutes:.1f} minutes, "
        f"{found.moments[0].pods} pods at first, {found.peak} at most"
    )
