"""What each type of request costs the service and PostgreSQL: `cardiowatch measure costs`."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

import click
import uvloop

from db.audit.seal_key import create_seal_key
from perf.load.http_client import PATH, encode_requests
from perf.load.open_loop_client import send_all
from perf.load.postgres_cluster import Cluster
from perf.load.report import markdown_table
from perf.load.request_bodies import synthetic_patients
from perf.load.scratch import scratch_folder, start_baseline, start_service
from perf.load.server_process import Server, ServerFailed, pin_to_cores, split_cores
from pipeline.schema import FEATURES

SINGLE = "POST /predict, valid"
_BATCH = 100
_INVALID = "status 422"
_CODED = next(f for f in FEATURES if f.codes and not f.required)
"""A feature whose codes differ between codings."""


class RequestType(NamedTuple):
    """A type of request: to which service, how often per round, and the expected status."""

    name: str
    server: Server
    requests: Sequence[bytes]
    number: int
    status: str = "stored"
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
        RequestType(SINGLE, ours, single, number),
        RequestType(f"{SINGLE}, its row sealed", sealed, single, number),
        RequestType(f"POST /predict/batch, of {_BATCH}, a patient", ours, batched, number // 20,
                    rows=_BATCH),
        RequestType(f"POST /predict/batch, of {_BATCH}, a patient, sealed", sealed, batched,
                    number // 20, rows=_BATCH),
        RequestType("POST /predict, age 150: 422", ours, refused(age=150), number, _INVALID),
        RequestType(f"POST /predict, {_CODED.name} 3 without a coding: 422", ours,
                    refused(**{_CODED.name: 3}), number, _INVALID),
        RequestType("POST /predict, not JSON: 422", ours, encode_requests([b"age=63"]), number,
                    _INVALID),
        RequestType("POST /predict, unknown parameter: 422", ours,
                    encode_requests(lines, "/predict?a=1"), number, _INVALID),
        RequestType("GET /healthz", ours, [_get("/healthz")], number),
        RequestType("bare FastAPI echo", echo, single, number),
    ]  # fmt: skip


def measure(request_type: RequestType, connections: int, cluster: Cluster | None) -> Cost:
    """Measure one type of request for a round."""
    request_type.server.wait_until_idle()
    idle = DatabaseUse.read(cluster) if cluster else None
    before = request_type.server.cpu_s()
    with pin_to_cores(split_cores()[1]):
        elapsed = uvloop.run(
            send_all(
                request_type.server.port, request_type.requests, request_type.number, connections,
                request_type.status,
            )
        )  # fmt: skip
    after = request_type.server.cpu_s()
    if before is None or after is None:
        raise ServerFailed("the CPU of a process can be read on Linux only")
    answered = request_type.number * request_type.rows
    used = DatabaseUse.read(cluster).since(idle, answered) if cluster and idle else None
    return Cost(1e6 * (after - before) / answered, answered / elapsed, used)


def table(found: dict[str, list[Cost]]) -> str:
    """Return medians as Markdown; ratios are taken within a round."""
    rows = []
    for name, costs in found.items():
        pairs = list(zip(costs, found[SINGLE], strict=True))
        cpu = median(cost.cpu_us for cost in costs)
        cpu_ratio = median(cost.cpu_us / good.cpu_us for cost, good in pairs)
        rate_ratio = median(cost.per_s / good.per_s for cost, good in pairs)
        rows.append((name, f"{cpu:.0f}", f"{cpu_ratio:.2f}", f"{rate_ratio:.2f}"))
    return markdown_table(("request", "CPU us", "x a valid one", "per second, x"), rows)


def database_table(found: dict[str, list[Cost]]) -> str:
    """Return what PostgreSQL used, medians as Markdown."""
    rows = []
    for name, costs in found.items():
        used = zip(*(cost.database for cost in costs if cost.database), strict=True)
        cpu_us, commits, wal = map(median, used)
        rows.append((name, f"{cpu_us:.0f}", f"{1000 * commits:.1f}", f"{wal:,.0f}"))
    return markdown_table(("request", "PostgreSQL CPU us", "commits per 1,000", "WAL bytes"), rows)


def start(stack: ExitStack, folder: Path, cluster: Cluster | None) -> tuple[Server, Server, Server]:
    """Start the service without a key and with one, each on an empty database, and the echo."""
    on = split_cores()[0]
    create_seal_key(folder / "key")
    services = []
    sealing: dict[str, dict[str, Any]] = {
        "open": {}, "sealed": {"log_hmac_key_file": folder / "key"}
    }  # fmt: skip
    for name, key in sealing.items():
        url = f"sqlite:///{folder}/{name}.db"
        if cluster:
            url = cluster.url(cluster.new_database())
        services.append(stack.enter_context(start_service(url, on=on, **key)))
    echo = stack.enter_context(start_baseline("echo", on))
    return services[0], services[1], echo


@click.command("costs")
@click.option("--rounds", default=5, show_default=True, help="How often to measure each type.")
@click.option("--requests", default=4000, show_default=True, help="Of each type per round.")
@click.option("--connections", default=64, show_default=True, help="Used at once.")
@click.option("--postgresql", is_flag=True, help="Use a PostgreSQL server of its own.")
def command(rounds: int, requests: int, connections: int, postgresql: bool) -> None:
    """Measure what each type of request costs.

    Starts the API on two scratch databases, one of them with a key that seals its rows, and the
    bare FastAPI echo. Sends each type of request in turns over open connections, round after round,
    and prints the CPU per request, or per patient of a batch: medians, and their ratio to a valid
    single request. With --postgresql it also prints what each request costs PostgreSQL (fsync on):
    CPU, commits, which rows that arrive together share, and bytes of WAL.
    """
    with ExitStack() as stack:
        folder = stack.enter_context(scratch_folder())
        cluster = stack.enter_context(Cluster()) if postgresql else None
        types = request_types(*start(stack, folder, cluster), requests)
        for request_type in types:
            measure(request_type._replace(number=connections), connections, cluster)  # warm-up
        found: dict[str, list[Cost]] = {request_type.name: [] for request_type in types}
        for round_ in range(1, rounds + 1):
            for request_type in types:
                found[request_type.name].append(measure(request_type, connections, cluster))
            print(f"round {round_} of {rounds}", file=sys.stderr)
    print(table(found))
    if cluster:
        print(f"\n{database_table(found)}")
