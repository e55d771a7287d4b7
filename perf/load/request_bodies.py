"""The bodies that the load tests send: synthetic patients, one JSON object per line."""

from __future__ import annotations

import json
from pathlib import Path

from perf.replay import bodies


def write_bodies(file: Path, patients: int = 1000, seed: int = 0) -> list[bytes]:
    """Write synthetic patients to a file, which predict.lua reads; return its lines."""
    lines = [json.dumps(body, separators=(",", ":")) for body in bodies(patients, seed)]
    file.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return [line.encode() for line in lines]
