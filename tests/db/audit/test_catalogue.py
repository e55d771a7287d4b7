"""What readers are shown is what the verifier reads: nothing stands between."""

from __future__ import annotations

import asyncio
import json
import os
from typing import Any

import pytest

from cardiowatch import main
from db.audit.catalogue import EXPECTED, check_catalogue, describe, differences
from db.audit.index_consistency import inconsistencies
from db.audit.seal_key import SealKey
from db.engine import DatabaseUnavailable, check_integrity, open_engine, session
from db.migrate import migrate
from db.reader.queries import Reader
from db.verify import verify_log
from tests.db.audit.tampering_postgresql import POSTGRESQL, on_server
from tests.db.audit.tampering_sqlite import KEY, SQLITE, Tampering, key_was_descending
from tests.db.rows import row, running_log, store_as_before

PATIENT = "ward 3 / bed 7"
AGES = (52.0, 53.0, 71.0, 54.0, 55.0)
"""Of the five predictions about the patient."""


async def _write(url: str, key: SealKey) -> None:
    async with running_log(url, key=key) as log:
        rows = [row(patient=key.hash_patient_reference(PATIENT), age=age) for age in AGES]
        others = [row(age=45.0 + number) for number in range(20)]
        await log.append([*others[:10], *rows, *others[10:]])
        for each in (*rows, *others[:5]):
            await log.record_outcome(str(each[0]), 1, None)
        await log.execute(_report)


def _report(connection: Any) -> None:
    connection.exec_driver_sql(
        "INSERT INTO reports (id, recorded_at, format, report, kind, key) VALUES"
        " ('0190163d-8694-739b-aea5-966c26f8ad91', '2026-01-31 08:00:00.000000', 1, '{}', 'k', 'y')"
    )


@pytest.fixture
def url(database_url: str, key: SealKey, monkeypatch: pytest.MonkeyPatch) -> str:
    """A sealed log of 25 predictions, five of them about one patient."""
    asyncio.run(_write(database_url, key))
    assert key.path
    monkeypatch.setenv("CARDIOWATCH_DATABASE_URL", database_url)
    monkeypatch.setenv("CARDIOWATCH_LOG_HMAC_KEY_FILE", str(key.path))
    return database_url


def named(kinds: dict[str, tuple[Tampering, str]]) -> dict[str, Any]:
    """Return what parametrize takes."""
    return {"argvalues": list(kinds.values()), "ids": list(kinds)}


on_sqlite = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
on_postgresql = pytest.mark.parametrize("database_url", ["postgres"], indirect=True)


def tampered(url: str, key: SealKey, tamper: Tampering, said: str) -> list[str]:
    """Return what verify finds, unless it says what it should."""
    assert verify_log(url, key).findings == []
    tamper(url)
    findings = verify_log(url, key).findings
    return [] if any(finding.startswith(said) for finding in findings) else [said, *findings]


@on_sqlite
@pytest.mark.parametrize(("tamper", "said"), **named(SQLITE))
def test_a_sqlite_file_that_was_tampered_with_is_found_out(
    url: str, key: SealKey, tamper: Tampering, said: str
) -> None:
    assert tampered(url, key, tamper, said) == []


@on_postgresql
@pytest.mark.parametrize(("tamper", "said"), **named(POSTGRESQL))
def test_a_postgresql_database_that_was_tampered_with_is_found_out(
    url: str, key: SealKey, tamper: Tampering, said: str
) -> None:
    assert tampered(url, key, tamper, said) == []


@on_postgresql
def test_amcheck_is_asked_where_it_is_installed(url: str, key: SealKey) -> None:
    on_server(url, "CREATE EXTENSION amcheck")
    tamper, _ = POSTGRESQL["a partial index whose condition is edited away"]
    assert tampered(url, key, tamper, "index predictions_20") == []


@on_sqlite
def test_an_index_that_shows_another_age_is_found_though_every_seal_holds(
    url: str, key: SealKey, capsys: pytest.CaptureFixture[str]
) -> None:
    SQLITE["a covering index over an altered copy"][0](url)
    reader = Reader(url)
    assert {each["age"] for each in reader.page()[0]} == {99.0}
    reader.close()
    assert main(["verify"]) == 1
    assert "index ix_all: no migration made it" in capsys.readouterr().out


@pytest.mark.parametrize("before", ["0001", "0002", "0003", "0004", "0005"])
def test_a_database_that_came_through_the_migrations_is_what_they_make(
    empty_database_url: str, before: str
) -> None:
    migrate(empty_database_url, lambda _: None, to=before)
    store_as_before(empty_database_url, [row(), row()])
    migrate(empty_database_url, lambda _: None)
    with session(open_engine(empty_database_url)) as connection:
        connection.exec_driver_sql("BEGIN")
        assert [*differences(connection), *inconsistencies(connection)] == []


def test_the_description_of_the_catalogue_is_what_the_migrations_make(database_url: str) -> None:
    """WRITE_CATALOGUE=1 writes it anew, after a migration was added."""
    with session(open_engine(database_url)) as connection:
        found, name = describe(connection), connection.dialect.name
    made = {each: parts for each, parts in found.items() if "partition" not in parts}
    expected = json.loads(EXPECTED.read_text())
    if os.environ.get("WRITE_CATALOGUE"):
        written = json.dumps(expected | {name: made}, indent=1, sort_keys=True)
        EXPECTED.write_text(f"{written}\n")
    else:
        assert made == expected[name]


def test_what_analyze_leaves_is_no_finding(url: str, key: SealKey) -> None:
    with session(open_engine(url)) as connection:
        connection.exec_driver_sql("ANALYZE")
    assert verify_log(url, key).findings == []


def check_as_at_start(url: str) -> None:
    check_integrity(open_engine(url))
    check_catalogue(open_engine(url))


@on_sqlite
@pytest.mark.parametrize(("tamper", "said"), **named(SQLITE))
def test_a_service_does_not_start_on_a_sqlite_file_that_was_tampered_with(
    url: str, tamper: Tampering, said: str
) -> None:
    tamper(url)
    with pytest.raises(DatabaseUnavailable, match=r"damaged|not what the migrations make"):
        check_as_at_start(url)


def test_a_service_of_the_version_before_starts_on_a_newer_database(url: str, key: SealKey) -> None:
    with session(open_engine(url)) as connection:
        connection.exec_driver_sql("ALTER TABLE models ADD COLUMN more integer")
        connection.exec_driver_sql("UPDATE alembic_version SET version_num = '9999'")
    check_catalogue(open_engine(url))
    with pytest.raises(DatabaseUnavailable, match="newer program"):
        verify_log(url, key)


def hide_one(url: str) -> None:
    """Have the index of patients lack the patient's prediction at the age of 71."""
    if url.startswith("sqlite"):
        SQLITE["a partial index with less of a condition"][0](url)
    else:
        POSTGRESQL["a partial index with the condition of another"][0](url)


def ages(url: str) -> set[float]:
    reader = Reader(url)
    found = {each["age"] for each in reader.stream()}
    reader.close()
    return found


@on_postgresql
def test_an_erasure_goes_past_an_inconsistent_index_and_says_so(
    url: str, key: SealKey, capsys: pytest.CaptureFixture[str]
) -> None:
    hide_one(url)
    assert main(["erase", "--patient", PATIENT]) == 0
    said = capsys.readouterr()
    assert said.out.startswith("5 predictions erased")
    assert "lacks 1 predictions and names 0 that are not there" in said.err
    assert 71.0 not in ages(url)
    assert verify_log(url, key).counts["erased"] == 10


@on_sqlite
def test_where_sqlite_deletes_nothing_for_an_inconsistent_index_a_repaired_file_can_be_erased(
    url: str, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    hide_one(url)
    assert main(["erase", "--patient", PATIENT]) == 4
    assert "lacks 1 predictions and names 0 that are not there" in capsys.readouterr().err
    assert "run cardiowatch repair" in caplog.text
    assert main(["repair"]) == 0
    assert main(["erase", "--patient", PATIENT]) == 0
    assert "5 predictions erased" in capsys.readouterr().out
    assert 71.0 not in ages(url)


def test_an_export_goes_past_an_inconsistent_index_and_says_so(
    url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    hide_one(url)
    assert main(["export", "--patient", PATIENT, "--format", "jsonl"]) == 0
    said = capsys.readouterr()
    rows = [json.loads(line) for line in said.out.splitlines()]
    assert sorted(each["age"] for each in rows) == sorted(AGES)
    assert {each["outcome"] for each in rows} == {1}
    assert "lacks 1 predictions" in said.err


@on_sqlite
def test_an_export_of_a_patient_does_not_believe_an_index_of_all_columns(
    url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    SQLITE["a covering index over an altered copy"][0](url)
    assert main(["export", "--patient", PATIENT, "--format", "jsonl"]) == 0
    rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert sorted(each["age"] for each in rows) == sorted(AGES)


@on_sqlite
def test_an_erasure_that_cannot_reach_a_row_says_so_and_erases_nothing(
    url: str, key: SealKey, caplog: pytest.LogCaptureFixture
) -> None:
    key_was_descending(url, "predictions", KEY)
    assert main(["erase", "--patient", PATIENT]) == 4
    assert "Nothing was erased" in caplog.text
    assert verify_log(url, key).counts["erased"] == 0
