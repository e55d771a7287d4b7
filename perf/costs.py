"""What each type of request costs the service: CPU per request, or per patient of a batch.

`python -m perf.costs` starts the service on two scratch databases, one of them with a key that
seals its rows (docs/record.md), and the bare FastAPI echo. It sends each type in turns over open
connections, round after round, and prints medians and their ratio to a valid single request. CPU is
the kernel's count for the whole service. With `--postgresql` it also prints what each request costs
its PostgreSQL (fsync on): CPU, commits, which rows that arrive together share, and bytes of WAL.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from statistics import median
from typing import NamedTuple

import uvloop

from db.audit.seal_key import create_seal_key
from perf.chaos.postgres_cluster import Cluster
from perf.load.closed_loop_client import ClosedLoopClient
from perf.load.http_client import PATH, encode_requests
from perf.load.program import run_program, scratch_folder, start_service
from perf.load.request_bodies import synthetic_patients
from perf.load.server_process import Server, ServerFailed, pin_to_cores, split_cores

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


class DatabaseUse(NamedTuple):
    """What a PostgreSQL server has used so far, or in a round for each request."""

    cpu_us: float
    commits: float
    wal_bytes: float

    @classmethod
    def read(cls, cluster: Cluster) -> DatabaseUse:
        """Read the totals; the reading itself is a transaction."""
        probe = "SELECT pg_current_xact_id()::text::bigint, pg_current_wal_lsn() - '0/0'"
        commits, wal = cluster.query("postgres", probe).split("|")
        return cls(1e6 * cluster.cpu_s(), int(commits), int(wal))

    def since(self, before: DatabaseUse, requests: int) -> DatabaseUse:
        """Return what was used for each request since an earlier reading."""
        own = DatabaseUse(0, 1, 0)
        each = zip(self, before, own, strict=True)
        return DatabaseUse(*((now - then - ours) / requests for now, then, ours in each))


class Cost(NamedTuple):
    """The cost in one round, per request or per patient of a batch."""

    cpu_us: float
    per_s: float
    database: DatabaseUse | None


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


def measure(request_type: RequestType, connections: int, cluster: Cluster | None) -> Cost:
    """Measure one type of request for a round."""
    request_type.server.wait_until_idle()
    idle = DatabaseUse.read(cluster) if cluster else None
    before = request_type.server.cpu_s()
    client = ClosedLoopClient(request_type.requests, request_type.number)
    with pin_to_cores(split_cores()[1]):
        elapsed = uvloop.run(client.run(request_type.server.port, connections))
    client.require(request_type.status)
    after = request_type.server.cpu_s()
    if before is None or after is None:
        raise ServerFailed("the CPU of a process can be read on Linux only")
    answered = request_type.number * request_type.rows
    used = DatabaseUse.read(cluster).since(idle, answered) if cluster and idle else None
    return Cost(1e6 * (after - before) / answered, answered / elapsed, used)


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


def database_table(found: dict[str, list[Cost]]) -> str:
    """Return what PostgreSQL used, medians as Markdown."""
    lines = ["| request | PostgreSQL CPU us | commits per 1,000 | WAL bytes |"]
    lines.append("| --- | ---: | ---: | ---: |")
    for name, costs in found.items():
        cpu_us, commits, wal = (
            median(values)
            for values in zip(*(c.database for c in costs if c.database), strict=True)
        )
        lines.append(f"| {name} | {cpu_us:.0f} | {1000 * commits:.1f} | {wal:,.0f} |")
    return "\n".join(lines)


def run(options: argparse.Namespace) -> str:
    """Measure everything in turns; return the tables."""
    with ExitStack() as stack:
        folder = stack.enter_context(scratch_folder())
        cluster = stack.enter_context(Cluster()) if options.postgresql else None
        asked = request_types(*start(stack, folder, cluster), options.requests)
        connections = options.connections
        for request_type in asked:
            measure(request_type._replace(number=connections), connections, cluster)
        found: dict[str, list[Cost]] = {request_type.name: [] for request_type in asked}
        for round_ in range(1, options.rounds + 1):
            for request_type in asked:
                found[request_type.name].append(measure(request_type, connections, cluster))
            print(f"round {round_} of {options.rounds}", file=sys.stderr)
    return f"{table(found)}\n\n{database_table(found)}" if cluster else table(found)


def start(stack: ExitStack, folder: Path, cluster: Cluster | None) -> tuple[Server, Server, Server]:
    """Start the service without a key and with one, each on an empty database, and the echo."""
    on = split_cores()[0]
    create_seal_key(folder / "key")
    services = []
    for key in ({}, {"CARDIOWATCH_LOG_HMAC_KEY_FILE": str(folder / "key")}):
        url = f"sqlite:///{folder}/log-{len(key)}.db"
        if cluster:
            url = cluster.url(cluster.new_database())
        services.append(stack.enter_context(start_service(url, on=on, variables=key)))
    uvicorn = ("-m", "uvicorn", "perf.baselines.echo:app", "--port", "{port}")
    quiet = ("--log-level", "warning", "--no-access-log")
    echo = stack.enter_context(Server((*uvicorn, *quiet), health="/openapi.json", on=on))
    return services[0], services[1], echo


def main() -> int:
    """Measure; return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m perf.costs", description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--requests", type=int, default=4000, help="of each type per round")
    parser.add_argument("--connections", type=int, default=64, help="used at once")
    parser.add_argument("--postgresql", action="store_true", help="on its own PostgreSQL server")
    options = parser.parse_args()

    def work() -> int:
        print(run(options))
        return 0

    return run_program(work, "Nothing can be measured")


if __name__ == "__main__":
    sys.exit(main())
