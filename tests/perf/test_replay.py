"""The synthetic patients: the same again, related as real ones are, and accepted by the API."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from itertools import combinations
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from api.wire.decode import DECODERS
from perf.load.request_bodies import synthetic_patients
from perf.replay import OUT, write_records
from pipeline.dataset.heart import HEART_CSV, Coding, decoder, read_patients
from pipeline.schema import FEATURES, NAMES

N = 3000


def codes(patients: list[dict[str, object]]) -> npt.NDArray[np.float64]:
    """Return the bodies as UCI codes, shape (n, 13)."""
    columns = []
    for feature in FEATURES:
        table = decoder(feature, Coding.LABELS)
        values = [patient[feature.name] for patient in patients]
        known = values if table is None else [v if v is None else table[v] for v in values]  # type: ignore[index]
        columns.append(np.array(known, dtype=float))
    return np.column_stack(columns)


def correlation(rows: npt.NDArray[np.float64], a: int, b: int) -> float:
    both = rows[~np.isnan(rows[:, [a, b]]).any(axis=1)]
    return float(np.corrcoef(both[:, a], both[:, b])[0, 1])


def test_the_same_seed_draws_the_same_patients() -> None:
    assert list(synthetic_patients(50, seed=7)) == list(synthetic_patients(50, seed=7))


def test_another_seed_draws_others() -> None:
    assert list(synthetic_patients(50, seed=7)) != list(synthetic_patients(50, seed=8))


def test_findings_are_related_as_in_cleveland() -> None:
    real = np.asarray(read_patients(HEART_CSV, Coding.UCI).features, dtype=float)
    drawn = codes(list(synthetic_patients(N, seed=0)))

    for a, b in combinations(range(13), 2):
        # The standard error of a correlation of 3,000 is .018; the smoothing takes 4 % at most
        # of it.
        assert abs(correlation(drawn, a, b) - correlation(real, a, b)) < 0.1, (NAMES[a], NAMES[b])
    thalach, age = NAMES.index("thalach"), NAMES.index("age")
    assert correlation(drawn, thalach, age) < -0.3  # Cleveland: -.39


def test_each_body_is_accepted_by_the_service() -> None:
    for body in synthetic_patients(N, seed=0):
        row = DECODERS[Coding.LABELS].decode_one(json.dumps(body).encode())
        assert len(row) == 13


@pytest.fixture
def open_mask() -> Iterator[None]:
    """A user whose files anybody may read, unless a program says otherwise."""
    before = os.umask(0o022)
    yield
    os.umask(before)


def mode(path: Path) -> int:
    return path.stat().st_mode & 0o777


@pytest.mark.usefixtures("open_mask")
@pytest.mark.parametrize("folder", [OUT, Path("elsewhere")])
def test_nobody_else_reads_what_was_asked_and_answered(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, folder: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    written = write_records([], folder)
    assert mode(folder) == 0o700
    assert [mode(file) for file in written] == [0o600, 0o600]


@pytest.mark.usefixtures("open_mask")
def test_a_replay_closes_its_own_folder_and_leaves_other_folders_as_they_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    OUT.mkdir(parents=True)
    other = Path("shared")
    other.mkdir()
    for folder in (OUT, other):
        write_records([], folder)
    assert (mode(OUT), mode(other)) == (0o700, 0o755)
