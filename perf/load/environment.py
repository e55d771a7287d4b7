"""The machine of a measurement; without it, requests per second mean nothing."""

from __future__ import annotations

import os
import platform
import subprocess
import time
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

from perf.load.server_process import ROOT

_PACKAGES = ("fastapi", "uvicorn", "uvloop", "pydantic", "msgspec", "sqlalchemy", "scikit-learn")


def fsync_rate(folder: Path) -> float:
    """Return how many 4 KiB writes per second the folder's disk makes durable, one by one.

    This number is why requests share commits. In a folder in memory it is huge, and measurements
    of a log there mean nothing.
    """
    page, done = b"\0" * 4096, 0
    began = time.perf_counter()
    with (folder / "sync").open("wb", buffering=0) as file:
        while (elapsed := time.perf_counter() - began) < 0.5:
            file.write(page)
            os.fsync(file.fileno())
            done += 1
    (folder / "sync").unlink()
    return done / elapsed


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


def _commit() -> str:
    command = ["git", "describe", "--always", "--dirty"]
    try:
        found = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)  # noqa: S603
    except OSError:
        return "unknown"
    return found.stdout.strip() or "unknown"


def environment(folder: Path) -> dict[str, Any]:
    """Return machine, load, disk and versions; `load` above 0.7 means that the machine is busy."""
    return {
        "time": datetime.now(UTC).isoformat(timespec="seconds"),
        "commit": _commit(),
        "processor": _processor(),
        "cores": os.cpu_count(),
        "load": round(os.getloadavg()[0], 2),
        "syncs_per_s": round(fsync_rate(folder)),
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
        "packages": {name: version(name) for name in _PACKAGES},
    }
