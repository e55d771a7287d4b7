"""An entry is verified by the columns that its writer sealed, whatever columns there are now."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import Connection, insert, select, update

from db.audit.chain import Chain
from db.audit.seal_key import SealError, SealKey
from db.audit.seals import FIRST_COLUMNS, OUR_COLUMNS, SealedColumns, content_of
from db.engine import open_engine, transaction
from db.erase import erase_patient
from db.schema import PREDICTION_COLUMNS, SEAL_COLUMNS, predictions, writers
from db.verify import verify_log
from tests.db.rows import row, running_log

OLDER = SealedColumns(
    OUR_COLUMNS.texts, tuple(name for name in OUR_COLUMNS.numbers if name != "thal")
)
PATIENT = "bed 7"


def in_log(url: str, work: Callable[[Connection], Any]) -> Any:
    with transaction(open_engine(url)) as connection:
        return work(connection)


def write(url: str, key: SealKey) -> None:
    async def run() -> None:
        async with running_log(url, key=key) as log:
            await log.append([row(sex=1, fbs=0, patient=key.hash_patient_reference(PATIENT))])

    asyncio.run(run())


def write_without_thal(url: str, key: SealKey, monkeypatch: pytest.MonkeyPatch) -> None:
    """Write as a program whose list of features has no `thal` yet."""
    write(url, key)
    monkeypatch.setattr("db.audit.chain.OUR_COLUMNS", OLDER)

    def store(connection: Connection) -> None:
        values = row(thal=None)
        (seal,) = Chain(key).seal(connection, [values], content_of(OLDER))
        of_row = dict(zip((*PREDICTION_COLUMNS, *SEAL_COLUMNS), (*values, *seal), strict=True))
        first = select(predictions.c.received_at).limit(1)
        connection.execute(insert(predictions), of_row | {"received_at": connection.scalar(first)})

    in_log(url, store)


def test_a_program_seals_the_columns_that_it_writes() -> None:
    assert sorted(OUR_COLUMNS.texts + OUR_COLUMNS.numbers) == sorted(PREDICTION_COLUMNS)


def test_the_thirteen_features_of_format_1_are_sealed_as_they_were() -> None:
    values = row(thal=None)

    then = SealedColumns(tuple(c for c in OUR_COLUMNS.texts if c != "actor"), OUR_COLUMNS.numbers)
    assert content_of(then)(values) == content_of(FIRST_COLUMNS)(values)


def test_names_and_values_that_were_exchanged_together_are_found(
    database_url: str, key: SealKey
) -> None:
    write(database_url, key)
    content = json.loads(in_log(database_url, lambda c: c.scalar(select(writers.c.columns))))
    names = content["numbers"]
    sex, fbs = names.index("sex"), names.index("fbs")
    names[sex], names[fbs] = "fbs", "sex"
    in_log(database_url, lambda c: c.execute(update(writers).values(columns=json.dumps(content))))
    in_log(database_url, lambda c: c.execute(update(predictions).values(sex=0, fbs=1)))

    assert verify_log(database_url, key).findings == ["writer 1: its own row was altered"]


@pytest.mark.parametrize("columns", [None, "", "[]", '{"texts": [], "numbers": ["age"]}'])
def test_a_record_that_no_program_wrote_is_found(
    database_url: str, key: SealKey, columns: str | None
) -> None:
    write(database_url, key)
    in_log(database_url, lambda c: c.execute(update(writers).values(columns=columns)))

    assert "writer 1: its own row was altered" in verify_log(database_url, key).findings


def test_a_row_of_an_older_list_is_intact_until_a_later_column_is_filled_in(
    sqlite_url: str, key: SealKey, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_without_thal(sqlite_url, key, monkeypatch)
    engine = open_engine(sqlite_url)
    before = verify_log(sqlite_url, key).findings
    with transaction(engine) as connection:
        connection.execute(update(predictions).where(predictions.c.writer == 2).values(thal=3))

    assert [f for f in before if "received_at" not in f] == []
    assert any(f.endswith("altered") for f in verify_log(sqlite_url, key).findings)


def test_rows_with_columns_of_a_newer_program_are_not_removed_by_an_older_one(
    database_url: str, key: SealKey
) -> None:
    write(database_url, key)
    newer = '{"texts": ["id"], "numbers": ["bmi"]}'
    in_log(database_url, lambda c: c.execute(update(writers).values(columns=newer)))

    with pytest.raises(SealError, match="a newer program"):
        erase_patient(open_engine(database_url), key, PATIENT)
