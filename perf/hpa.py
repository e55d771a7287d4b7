"""Stores what an autoscaler did during a load test, for the page Load tests.

`kubectl -n cardiowatch get hpa cardiowatch-api -w > FILE` while the test runs, then
`python -m perf.hpa FILE`.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from db.engine import DatabaseUnavailable
from db.migrate import migrate
from db.writer.results import add_load_test
from perf.formats.kubectl import parse_hpa
from pipeline.load_tests.autoscaling import KIND, UnreadableRecord
from settings import SettingsError, load_settings


def main() -> int:
    """Read, store and print the record; return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m perf.hpa", description=__doc__)
    parser.add_argument("file", metavar="FILE", help="the output of kubectl get hpa -w; - = input")
    file = parser.parse_args().file
    try:
        text = sys.stdin.read() if file == "-" else Path(file).read_text("utf-8")
        found = parse_hpa(text)
        database = load_settings().database_url
        migrate(database, lambda _: None)
        add_load_test(database, KIND, found.to_dict())
    except (
        UnreadableRecord, DatabaseUnavailable, SettingsError, OSError, UnicodeDecodeError
    ) as error:  # fmt: skip
        print(f"hpa: {error}", file=sys.stderr)
        return 1
    minutes = found.moments[-1].at_s / 60
    print(
        f"{found.name}: {len(found.moments)} moments in {minutes:.1f} minutes, "
        f"{found.moments[0].pods} pods at first, {found.peak} at most"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
