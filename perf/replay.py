"""Sends synthetic patients through the service and keeps requests, replies and latencies.

`python -m perf.replay --patients 100` draws patients from a smoothed bootstrap of the Cleveland
data, posts each to /predict with the source `synthetic`, and writes requests, replies and latencies
as JSONL and CSV. `python -m perf.replay --history` writes sixty past days, with outcomes and three
injected changes, directly into the log (`perf.load.synthetic_history`); `make demo` shows them.
"""

from __future__ import annotations

import argparse
import asyncio
import csv
import json
import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import numpy as np

from db.engine import DatabaseUnavailable
from db.reader.queries import Reader
from db.writer.file_lock import LogLocked
from db.writer.writer import LogUnavailable
from perf.load import synthetic_history
from perf.load.request_bodies import synthetic_patients
from pipeline.dataset.heart.csv_reader import DataError
from pipeline.model import ModelError, load
from pipeline.schema import NAMES
from settings import SettingsError, load_settings

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


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m perf.replay", description=__doc__)
    parser.add_argument("--patients", type=int, default=100, metavar="N", help="number of patients")
    parser.add_argument("--seed", type=int, default=0, help="same seed, same patients")
    parser.add_argument("--source", default="synthetic", choices=["synthetic", "load-test"])
    parser.add_argument("--url", help="of the API; default: CARDIOWATCH_API_URL")
    parser.add_argument("--out", type=Path, default=OUT, help="folder for the records")
    parser.add_argument(
        "--history", action="store_true", help="write sixty past days into the log instead"
    )
    options = parser.parse_args()
    if options.patients < 1:
        parser.error("--patients must be at least 1")
    return options


def _write_history(seed: int) -> int:
    """Write the history into the configured log, unless it has one; return the exit code."""
    try:
        settings = load_settings()
        with closing(Reader(settings.database_url)) as reader:
            if reader.sources()[synthetic_history.SOURCE]:
                print("The log already has replayed patients.", file=sys.stderr)
                return 1
        model, now = load(settings.model_dir), datetime.now(UTC)
        number = asyncio.run(
            synthetic_history.write_history(settings.database_url, model, now, seed)
        )
    except (
        DatabaseUnavailable, LogLocked, LogUnavailable, ModelError, SettingsError, DataError
    ) as error:  # fmt: skip
        print(f"The history could not be written: {error}", file=sys.stderr)
        return 1
    print(f"{number:,} patients of {synthetic_history.DAYS} days and today are in the log")
    for change in synthetic_history.scenario(now, model.version)["changes"]:
        print(f"{change['since'][:10]} to {change['until'][:10]}  {change['title']}")
    return 0


def main() -> int:
    """Replay; return 0 only if every patient was answered."""
    options = _parse()
    if options.history:
        return _write_history(options.seed)
    try:
        settings = load_settings()
        url, key = options.url or settings.api_url, settings.api_key.get_secret_value()
        headers = {"Authorization": f"Bearer {key}"} if key else {}
        # Not through a proxy of the environment: the service is on this machine.
        with httpx.Client(base_url=url, timeout=10, trust_env=False, headers=headers) as client:
            records = []
            requested = synthetic_patients(options.patients, options.seed)
            for record in replay(client, requested, options.source):
                records.append(record)
                if record["number"] % 1000 == 0:
                    print(f"{record['number']:,} of {options.patients:,}", file=sys.stderr)
    except (httpx.HTTPError, SettingsError, DataError) as error:
        print(f"The patients could not be sent: {error}", file=sys.stderr)
        return 1
    jsonl, table = write_records(records, options.out)
    refused = sum(record["status"] != 200 for record in records)
    median = float(np.median([record["latency_ms"] for record in records]))
    print(
        f"{len(records)} synthetic patients sent, {refused} rejected, "
        f"median {median:.1f} ms; see {jsonl} and {table}"
    )
    return 1 if refused else 0


if __name__ == "__main__":
    sys.exit(main())
