"""Send requests at a fixed rate: `cardiowatch measure open-loop`."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

import click
import uvloop

from errors import NO
from perf.load.http_client import encode_requests
from perf.load.open_loop_client import measure_fixed_rate, numbered_request
from perf.load.server_process import ServerFailed

RATE = click.FloatRange(min=0, min_open=True)


@click.command("open-loop")
@click.option("--port", type=int, required=True, help="Of the service, on 127.0.0.1.")
@click.option("--rate", type=RATE, required=True, help="Requests per second.")
@click.option("--seconds", type=RATE, default=10, show_default=True, help="How long to send.")
@click.option(
    "--bodies",
    type=click.Path(exists=True, path_type=Path),
    help="File of bodies, one per line; default: a patient whose measurements vary.",
)
@click.option(
    "--connections", default=256, show_default=True, help="At most so many requests in flight."
)
def command(port: int, rate: float, seconds: float, bodies: Path | None, connections: int) -> int:
    """Send requests at a fixed rate and print the latencies as JSON.

    Requests are sent whether or not earlier ones were answered, and a latency counts from when its
    request was due: a client that waits, such as wrk, cannot see what a stall costs
    (docs/performance.md). Exits with 1 if a request was not answered with 200.
    """
    request = numbered_request
    if bodies is not None:
        requests = encode_requests(bodies.read_bytes().splitlines())
        request = lambda number: requests[number % len(requests)]  # noqa: E731
    try:
        result = uvloop.run(measure_fixed_rate(port, request, rate, seconds, connections))
    except OSError as error:
        raise ServerFailed(f"no service answers on port {port}: {error}") from error
    print(json.dumps(asdict(result)))
    return NO if result.failed or result.unanswered else 0
