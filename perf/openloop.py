"""Sends requests at a fixed rate, whether or not earlier ones were answered; prints the latencies.

`python -m perf.openloop --port 8000 --rate 1000 --seconds 10`. Latencies count from when a request
was due; a closed-loop client such as wrk cannot see what a stall costs (docs/performance.md).
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from dataclasses import asdict
from pathlib import Path

import uvloop

from perf.load.fixed_rate_client import measure_fixed_rate
from perf.load.http_client import encode_requests


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m perf.openloop", description=__doc__)
    parser.add_argument("--port", type=int, required=True, help="of the service, on 127.0.0.1")
    parser.add_argument("--rate", type=float, required=True, help="requests per second")
    parser.add_argument("--seconds", type=float, default=10)
    parser.add_argument(
        "--bodies",
        type=Path,
        metavar="FILE",
        help="bodies to send, one per line; default: synthetic patients",
    )
    parser.add_argument("--connections", type=int, default=256, help="maximum requests in flight")
    return parser.parse_args()


def _lines(file: Path | None) -> list[bytes]:
    if file is not None:
        return file.read_bytes().splitlines()
    from perf.load.request_bodies import (
        write_bodies,  # brings pandas, which the bench has loaded already
    )

    with tempfile.TemporaryDirectory() as folder:
        return write_bodies(Path(folder) / "bodies.jsonl")


def main() -> int:
    """Measure and print one JSON object; return 0 if every request was answered with 200."""
    options = _parse()
    requests = encode_requests(_lines(options.bodies))
    try:
        result = uvloop.run(
            measure_fixed_rate(
                options.port, requests, options.rate, options.seconds, options.connections
            )
        )
    except OSError as error:
        print(f"The service on port {options.port} cannot be reached: {error}", file=sys.stderr)
        return 1
    print(json.dumps(asdict(result)))
    return 1 if result.failed or result.unanswered else 0


if __name__ == "__main__":
    sys.exit(main())
