"""The bodies that the load tests send: synthetic patients, one JSON object per line."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.dataset.heart import HEART_CSV, Coding, encode, read_patients
from pipeline.dataset.synthetic import smoothed_bootstrap
from pipeline.schema import FEATURES


def synthetic_rows(number: int, seed: int) -> Iterator[tuple[float | None, ...]]:
    """Yield synthetic patients, UCI codes."""
    real = read_patients(HEART_CSV, Coding.UCI).features
    assert real is not None  # noqa: S101 - the coding is named
    for row in smoothed_bootstrap(real, number, seed=seed):
        yield tuple(None if np.isnan(value) else float(value) for value in row)


def synthetic_patients(number: int, seed: int) -> Iterator[dict[str, Any]]:
    """Yield request bodies in labels, one per synthetic patient."""
    for values in synthetic_rows(number, seed):
        yield {
            feature.name: encode(feature, value, Coding.LABELS)
            for feature, value in zip(FEATURES, values, strict=True)
        }


def write_bodies(file: Path) -> list[bytes]:
    """Write synthetic patients to a file, which predict.lua reads; return its lines."""
    lines = [json.dumps(body, separators=(",", ":")) for body in synthetic_patients(1000, 0)]
    file.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return [line.encode() for line in lines]
