"""What each type of request costs the service: CPU per request, or per patient of a batch.

`python -m perf.costs` starts the service on two scratch databases, one of them with a key that
seals its rows (docs/record.md), and the bare FastAPI echo. It sends each type in turns over open
connections, round after round, and prints medians and their ratio to a valid single request. CPU is
the kernel's count for the whole service, without PostgreSQL.
"""

from __future__ import annotations

import argparse
import json
import signal
import sys
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from statistics import median
from typing import NamedTuple

import uvloop

from db.audit.seal_key import create_seal_key
from db.migrate import migrate
from perf.chaos.postgres_cluster import Cluster, PostgresNotFound
from perf.load.closed_loop_client import ClosedLoopClient
from perf.load.http_client import PATH, encode_requests
from perf.load.request_bodies import synthetic_patients
from perf.load.server_process import ROOT, Server, ServerFailed, pin_to_cores, split_cores
from settings import load_settings

SINGLE = "POST /predict, valid"
_BATCH = 100


class RequestType(NamedTuple):
    """A type of request: to which service, how often per round, and the expected status."""

    name: str
    server: Server
    requests: Sequence[bytes]
    number: int
    status: int
    rows: int = 1


class Cost(NamedTuple):
    """The cost in one round, per request or per patient of a batch."""

    cpu_us: float
    per_s: float


def _get(path: str) -> bytes:
    return f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n".encode()


def request_types(ours: Server, sealed: Server, echo: Server, number: int) -> list[RequestType]:
    """Return the types of requests; the invalid bodies contain common mistakes."""
    patients = list(synthetic_patients(1000, 0))
    lines = [json.dumps(patient).encode() for patient in patients]
    batches = [
        json.dumps(patients[at : at + _BATCH]).encode() for at in range(0, len(patients), _BATCH)
    ]
    batch_path = PATH.replace("/predict", "/predict/batch")
    single = encode_requests(lines)

    def refused(**wrong: object) -> list[bytes]:
        return encode_requests(json.dumps(patient | wrong).encode() for patient in patients)

    batched = encode_requests(batches, batch_path)
    return [
        RequestType(SINGLE, ours, single, number, 200),
        RequestType(f"{SINGLE}, its row sealed", sealed, single, number, 200),
        RequestType(f"POST /predict/batch, of {_BATCH}, a patient", ours, batched, number // 20,
                    200, _BATCH),
        RequestType(f"POST /predict/batch, of {_BATCH}, a patient, sealed", sealed, batched,
                    number // 20, 200, _BATCH),
        RequestType("POST /predict, age 150: 422", ours, refused(age=150), number, 422),
        RequestType("POST /predict, cp 3 without a coding: 422", ours, refused(cp=3), number, 422),
        RequestType("POST /predict, not JSON: 422", ours, encode_requests([b"age=63"]), number,
                    422),
        RequestType("POST /predict, unknown parameter: 422", ours,
                    encode_requests(lines, "/predict?a=1"), number, 422),
        RequestType("GET /healthz", ours, [_get("/healthz")], number, 200),
        RequestType("bare FastAPI echo", echo, single, number, 200),
    ]  # fmt: skip


def measure(request_type: RequestType, connections: int) -> Cost:
    """Measure one type of request for a round."""
    request_type.server.wait_until_idle()
    before = request_type.server.cpu_s()
    client = ClosedLoopClient(request_type.requests, request_type.number)
    with pin_to_cores(split_cores()[1]):
        elapsed = uvloop.run(client.run(request_type.server.port, connections))
    client.require(request_type.status)
    after = request_type.server.cpu_s()
    if before is None or after is None:
        raise ServerFailed("the CPU of a process can be read on Linux only")
    answered = request_type.number * request_type.rows
    return Cost(1e6 * (after - before) / answered, answered / elapsed)


def table(found: dict[str, list[Cost]]) -> str:
    """Return medians as Markdown; ratios are taken within a round."""
    lines = ["| request | CPU us | x a valid one | per second, x |", "| --- | ---: | ---: | ---: |"]
    for name, costs in found.items():
        pairs = list(zip(costs, found[SINGLE], strict=True))
        lines.append(
            f"| {name} | {median(cost.cpu_us for cost in costs):.0f} "
            f"| {median(cost.cpu_us / good.cpu_us for cost, good in pairs):.2f} "
            f"| {median(cost.per_s / good.per_s for cost, good in pairs):.2f} |"
        )
    return "\n".join(lines)


def databases(stack: ExitStack, folder: Path, *, on_postgresql: bool) -> list[str]:
    """Return the URLs of two empty databases."""
    if not on_postgresql:
        return [f"sqlite:///{folder}/{name}.db" for name in ("log", "sealed")]
    cluster = stack.enter_context(Cluster())
    return [cluster.url(cluster.new_database()) for _ in range(2)]


def run(rounds: int, number: int, connections: int, *, on_postgresql: bool = False) -> str:
    """Measure everything in turns; return the table."""
    with ExitStack() as stack:
        (ROOT / "var").mkdir(exist_ok=True)
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(dir=ROOT / "var")))
        on, model_dir = split_cores()[0], load_settings().model_dir
        key = folder / "key"
        create_seal_key(key)
        services = []
        urls = databases(stack, folder, on_postgresql=on_postgresql)
        for url, sealing in zip(
            urls, ({}, {"CARDIOWATCH_LOG_HMAC_KEY_FILE": str(key)}), strict=True
        ):
            migrate(url, lambda _: None)
            service = Server(
                ("-m", "api"), health="/readyz", on=on, database_url=url, model_dir=model_dir,
                variables=sealing,
            )  # fmt: skip
            services.append(stack.enter_context(service))
        ours, sealed = services
        uvicorn = ("-m", "uvicorn", "perf.baselines.echo:app", "--port", "{port}")
        quiet = ("--log-level", "warning", "--no-access-log")
        echo = stack.enter_context(Server((*uvicorn, *quiet), health="/openapi.json", on=on))
        asked = request_types(ours, sealed, echo, number)
        for request_type in asked:
            measure(request_type._replace(number=connections), connections)
        found: dict[str, list[Cost]] = {request_type.name: [] for request_type in asked}
        for round_ in range(1, rounds + 1):
            for request_type in asked:
                found[request_type.name].append(measure(request_type, connections))
            print(f"round {round_} of {rounds}", file=sys.stderr)
    return table(found)


def main() -> int:
    """Measure; return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m perf.costs", description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--requests", type=int, default=4000, help="of each type per round")
    parser.add_argument("--connections", type=int, default=64, help="used at once")
    parser.add_argument("--postgresql", action="store_true", help="on its own PostgreSQL server")
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that everything started is stopped
    try:
        rounds, number, connections = options.rounds, options.requests, options.connections
        print(run(rounds, number, connections, on_postgresql=options.postgresql))
    except (ServerFailed, PostgresNotFound, OSError) as error:
        print(f"Nothing can be measured: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
