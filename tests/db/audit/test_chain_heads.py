"""How far the chains have come, in a file or as lines of the service's log."""

from __future__ import annotations

import asyncio
import io
import json
import logging
from pathlib import Path

import pytest
from sqlalchemy import delete, func, select

from db.audit.chain import ChainHead
from db.audit.chain_heads import STDOUT, ChainHeadLog
from db.audit.seal_key import SealError, SealKey
from db.engine import open_engine, session
from db.schema import DEPENDENT_TABLES, outcomes, predictions, writers
from db.verify import verify_log
from logs import JsonFormatter
from tests.db.audit.test_verify import write_some


@pytest.mark.parametrize("form", ["text", "json"])
def test_heads_that_are_lines_of_the_log_find_the_same(
    database_url: str, key: SealKey, tmp_path: Path, form: str
) -> None:
    kept, lines = tmp_path / "taken-from-the-log", io.StringIO()
    handler = logging.StreamHandler(lines)
    handler.setFormatter(
        JsonFormatter() if form == "json" else logging.Formatter("%(asctime)s %(message)s")
    )
    logging.getLogger("cardiowatch.heads").addHandler(handler)
    logging.getLogger("cardiowatch.heads").setLevel(logging.INFO)
    try:
        asyncio.run(write_some(database_url, key, STDOUT, 6))
        asyncio.run(write_some(database_url, key, STDOUT, 6))
    finally:
        logging.getLogger("cardiowatch.heads").removeHandler(handler)
    kept.write_text(lines.getvalue())
    assert verify_log(database_url, key, [kept]).findings == []
    with session(open_engine(database_url)) as connection:
        entries = connection.scalar(select(func.max(outcomes.c.number)))
        connection.execute(delete(outcomes).where(outcomes.c.number == entries))
    assert (
        len(verify_log(database_url, key, [kept]).findings) == 2
    )  # the last entry of either writer
    kept.write_text(lines.getvalue().replace("entries", "entrees"))
    with pytest.raises(SealError, match="altered"):
        verify_log(database_url, key, [kept])


def test_lines_of_a_writer_come_once_a_minute_and_at_last(
    key: SealKey, caplog: pytest.LogCaptureFixture
) -> None:
    writer = ChainHeadLog(key)
    with caplog.at_level(logging.INFO, "cardiowatch.heads"):
        for entries in range(1, 50):
            writer.write(ChainHead(1, "a", entries, b"seal"))
        writer.write(ChainHead(1, "a", 50, b"seal"), final=True)
        writer.write(ChainHead(1, "a", 50, b"seal"), final=True)
    assert [json.loads(line)["entries"] for line in caplog.messages] == [1, 50]


def test_the_last_head_of_a_chain_that_a_lost_connection_ended_is_a_line(
    key: SealKey, caplog: pytest.LogCaptureFixture
) -> None:
    writer = ChainHeadLog(key)
    with caplog.at_level(logging.INFO, "cardiowatch.heads"):
        for head in (
            ChainHead(1, "a", 1, b"x"),
            ChainHead(1, "a", 2, b"y"),
            ChainHead(2, "b", 1, b"z"),
        ):
            writer.write(head)
    said = [json.loads(line) for line in caplog.messages]
    assert [(line["writer"], line["entries"]) for line in said] == [(1, 1), (1, 2), (2, 1)]


def test_a_longer_writer_in_place_of_a_removed_one_is_found_by_its_old_heads(
    database_url: str, key: SealKey, tmp_path: Path
) -> None:
    heads = tmp_path / "heads"
    asyncio.run(write_some(database_url, key, heads, 6))
    old = heads.read_text()
    with session(open_engine(database_url)) as connection:
        for table in (*DEPENDENT_TABLES, predictions, writers):
            connection.execute(delete(table))
    asyncio.run(write_some(database_url, key, heads, 30))
    for kept in (old + heads.read_text(), heads.read_text() + old):
        heads.write_text(kept)
        assert verify_log(database_url, key, [heads]).findings == [
            "writer 1: does not match the writer in the heads"
        ]
