from __future__ import annotations

import asyncio
import csv
import io
import json
from datetime import UTC, datetime
from pathlib import Path

import pytest

from cardiowatch import main
from db.export import EXPORT_COLUMNS, csv_lines, jsonl_lines
from db.ids import new_id
from pipeline.dataset.heart import Coding
from tests.db.rows import ANSWERED, FIRST_PATIENT, row, store

ROW = {
    "id": "0190163d-8694-739b-aea5-966c26f8ad91",
    "received_at": datetime(2026, 1, 31, 8, tzinfo=UTC),
    **FIRST_PATIENT,
    **ANSWERED,
    "outcome": None,
    "observed_at": None,
    **dict.fromkeys(("decision", "reason", "action")),
}


def test_csv_has_words_and_empty_cells_for_what_is_not_known() -> None:
    text = "".join(csv_lines([ROW | {"thal": None}], Coding.LABELS))
    (found,) = csv.DictReader(io.StringIO(text))
    assert list(found) == list(EXPORT_COLUMNS)
    assert (found["cp"], found["fbs"], found["thal"]) == ("typical angina", "true", "")
    assert found["received_at"] == "2026-01-31T08:00:00Z"


def test_codes_are_written_when_asked_for() -> None:
    (line,) = jsonl_lines([ROW], Coding.KAGGLE)
    found = json.loads(line)
    assert (found["cp"], found["thal"], found["slope"]) == (3, 1, 0)  # UCI 1, 6 and 3
    (line,) = jsonl_lines([ROW], Coding.UCI)
    assert {name: json.loads(line)[name] for name in FIRST_PATIENT} == FIRST_PATIENT


@pytest.mark.parametrize("evil", ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1"])
def test_no_cell_of_text_is_a_formula(evil: str) -> None:
    text = "".join(csv_lines([ROW | {"model_version": evil, "oldpeak": -1.5}], Coding.LABELS))
    (found,) = csv.DictReader(io.StringIO(text))
    assert found["model_version"] == f"'{evil}"
    assert found["oldpeak"] == "-1.5", "a number stays a number"


def test_an_export_without_rows_is_a_header() -> None:
    assert "".join(csv_lines([], Coding.UCI)) == ",".join(EXPORT_COLUMNS) + "\r\n"
    assert "".join(jsonl_lines([], Coding.UCI)) == ""


def test_a_window_of_a_source_is_written_to_a_file(
    database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    noon = datetime(2026, 1, 31, 12, tzinfo=UTC)
    hours = {h: new_id(int(noon.timestamp() + 3600 * h) * 1000) for h in range(4)}
    rows = [row(id=id_) for id_ in hours.values()]
    other = row(id=new_id(int(noon.timestamp()) * 1000 + 3_600_001), source="replay")
    asyncio.run(store(database_url, [*rows, other]))
    monkeypatch.setenv("CARDIOWATCH_DATABASE_URL", database_url)

    output = tmp_path / "export.jsonl"
    window = ["--since", "2026-01-31T13:00:00Z", "--until", "2026-01-31T16:00:00+01:00"]
    code = main(
        ["export", *window, "--source", "live", "--format", "jsonl", "--output", str(output)]
    )

    assert code == 0
    assert [json.loads(line)["id"] for line in output.read_text().splitlines()] == [
        hours[2],
        hours[1],
    ]
    assert output.stat().st_mode & 0o777 == 0o600


def test_an_export_that_fails_says_why_and_leaves_no_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("CARDIOWATCH_DATABASE_URL", f"sqlite:///{tmp_path}/none.db")
    assert main(["export", "--output", str(tmp_path / "export.csv")]) == 4
    assert len(caplog.messages) == 1
    assert list(tmp_path.iterdir()) == []


def test_a_time_without_a_zone_is_refused(caplog: pytest.LogCaptureFixture) -> None:
    assert main(["export", "--since", "2026-01-31T13:00:00"]) == 2
    assert "zone" in caplog.text
