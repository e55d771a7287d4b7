"""Send synthetic patients through the service and keep the answers: `cardiowatch replay`."""

from __future__ import annotations

import csv
import json
import sys
import time
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click
import httpx
import numpy as np

from errors import NO
from perf.load.request_bodies import synthetic_patients
from perf.load.server_process import ServerFailed
from pipeline.schema import NAMES
from settings import load_settings

Json = dict[str, Any]

OUT = Path("var/replay")
"""Where the records go unless another folder is named; open to its owner alone."""


def replay(client: httpx.Client, requests: Iterable[Json], source: str) -> Iterator[Json]:
    """Post each body and yield it with status, reply and latency in ms.

    Raises
    ------
    httpx.HTTPError
        The service cannot be reached.
    """
    for number, body in enumerate(requests, 1):
        started = time.perf_counter()
        reply = client.post("/predict", params={"source": source, "explain": "true"}, json=body)
        latency_ms = (time.perf_counter() - started) * 1000
        yield {
            "number": number,
            "status": reply.status_code,
            "latency_ms": round(latency_ms, 3),
            "request": body,
            "reply": reply.json(),
        }


def write_records(records: list[Json], folder: Path) -> tuple[Path, Path]:
    """Write the records as JSONL and as a flat CSV, for their owner's eyes; return both paths."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    if folder == OUT:
        folder.chmod(0o700)  # earlier versions made it readable to all
    stem = folder / datetime.now(UTC).strftime("%Y%m%dT%H%M%S%fZ")
    jsonl, table = stem.with_suffix(".jsonl"), stem.with_suffix(".csv")
    for file in (jsonl, table):
        file.touch(mode=0o600)
    with jsonl.open("w", encoding="utf-8") as lines:
        lines.writelines(json.dumps(record) + "\n" for record in records)
    answer = ("id", "probability", "prediction", "model_version")
    with table.open("w", encoding="utf-8", newline="") as cells:
        writer = csv.writer(cells)
        writer.writerow(["number", "status", "latency_ms", *NAMES, *answer])
        for record in records:
            requested = [record["request"][name] for name in NAMES]
            answered = [record["reply"].get(name) for name in answer]
            writer.writerow([*(record[n] for n in ("number", "status", "latency_ms")), *requested,
                             *answered])  # fmt: skip
    return jsonl, table


@click.command("replay")
@click.option(
    "--patients", type=click.IntRange(1), default=100, show_default=True, help="How many."
)
@click.option("--seed", default=0, show_default=True, help="Same seed, same patients.")
@click.option(
    "--source",
    type=click.Choice(["synthetic", "load-test"]),
    default="synthetic",
    show_default=True,
    help="The source that the log keeps.",
)
@click.option("--url", help="Of the API; default: CARDIOWATCH_API_URL.")
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    default=OUT,
    show_default=True,
    help="Folder for the records.",
)
def command(patients: int, seed: int, source: str, url: str | None, out: Path) -> int:
    """Send synthetic patients through the API.

    Patients are drawn from a smoothed bootstrap of the training data and posted to /predict one by
    one; requests, replies and latencies are written as JSONL and CSV. Exits with 1 if the API
    rejected one.
    """
    settings = load_settings()
    url, key = url or settings.api_url, settings.api_key.get_secret_value()
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    records = []
    try:
        # Not through a proxy of the environment: the service is on this machine.
        with httpx.Client(base_url=url, timeout=10, trust_env=False, headers=headers) as client:
            for record in replay(client, synthetic_patients(patients, seed), source):
                records.append(record)
                if record["number"] % 1000 == 0:
                    print(f"{record['number']:,} of {patients:,}", file=sys.stderr)
    except httpx.HTTPError as error:
        raise ServerFailed(f"the API at {url} cannot be reached: {error}") from error
    jsonl, table = write_records(records, out)
    refused = sum(record["status"] != 200 for record in records)
    median = float(np.median([record["latency_ms"] for record in records]))
    print(
        f"{len(records)} synthetic patients sent, {refused} rejected, "
        f"median {median:.1f} ms; see {jsonl} and {table}"
    )
    return NO if refused else 0


if __name__ == "__main__":
    from cardiowatch import deprecated

    sys.exit(deprecated("replay"))
