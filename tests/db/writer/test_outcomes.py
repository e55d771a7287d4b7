"""What was found later and what clinicians said: the newest counts, and their number has an end."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import Any

import pytest
from sqlalchemy import func, select

from db.engine import open_engine, session
from db.reader.queries import Reader
from db.schema import outcomes, responses
from db.writer.writes import TOO_MANY
from tests.db.rows import row, running_log


def test_the_newest_outcome_counts(database_url: str) -> None:
    observed = datetime(2026, 1, 31, 8, tzinfo=UTC)

    async def run() -> None:
        async with running_log(database_url) as log:
            sent = row()
            await log.append([sent])
            await log.record_outcome(sent[0], 0, None)
            newest = await log.record_outcome(sent[0], 1, observed)
            assert isinstance(newest, dict)
            assert (newest["id"], newest["outcome"]) == (sent[0], 1)

            reader = Reader(database_url)
            found = reader.get(sent[0])
            page, _ = reader.page()
            reader.close()
            assert found is not None
            assert (found["outcome"], found["observed_at"]) == (1, observed)
            assert page == [found], "one row, however many outcomes it has"

    asyncio.run(run())


def test_an_outcome_that_is_sent_again_is_written_once_and_their_number_has_an_end(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("db.writer.writes.MAX_PER_KEY", 5)
    monkeypatch.setattr("db.writer.writes.MAX_CHANGES", 7)

    async def run() -> None:
        async with running_log(database_url) as log:
            sent = row()
            await log.append([sent])
            first = await log.record_outcome(sent[0], 1, None, "0a1b2c3d")
            again = await log.record_outcome(sent[0], 1, None, "0a1b2c3d")
            assert first == again
            found = [await log.record_outcome(sent[0], n % 2, None) for n in range(11)]
            assert [n for n, one in enumerate(found) if one == TOO_MANY] == [7, 9]

    asyncio.run(run())
    with session(open_engine(database_url)) as connection:
        assert connection.scalar(select(func.count()).select_from(outcomes)) == 1 + 7


def test_a_correction_is_taken_when_a_key_has_said_the_same_too_often(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("db.writer.writes.MAX_PER_KEY", 5)

    async def run() -> None:
        async with running_log(database_url) as log:
            sent = row()
            await log.append([sent])
            for night in range(1, 7):  # a job that gives the time of sending
                last = await log.record_outcome(
                    sent[0], 1, datetime(2026, 1, night, tzinfo=UTC), "job"
                )
            assert last == TOO_MANY
            assert isinstance(await log.record_outcome(sent[0], 1, None, "another"), dict)
            corrected = await log.record_outcome(sent[0], 0, None, "job")
            assert isinstance(corrected, dict)
            assert corrected["outcome"] == 0

    asyncio.run(run())


def test_two_keys_that_go_on_saying_the_same_are_written_once_each(database_url: str) -> None:
    observed = datetime(2026, 1, 31, 8, tzinfo=UTC)

    async def run() -> None:
        async with running_log(database_url) as log:
            sent = row()
            await log.append([sent])
            for _ in range(3):
                await log.record_outcome(sent[0], 1, None, "clinic")
                await log.record_outcome(sent[0], 1, observed, "registry")
            await log.record_outcome(sent[0], 0, None, "clinic")
            back = await log.record_outcome(sent[0], 1, observed, "registry")
            assert isinstance(back, dict), "it changes what the newest says"

    asyncio.run(run())
    with session(open_engine(database_url)) as connection:
        said = connection.scalars(select(outcomes.c.outcome).order_by(outcomes.c.id)).all()
        assert said == [1, 1, 0, 1]


@pytest.mark.parametrize("id_", ["0190163d-8694-739b-aea5-966c26f8ad91", "no id", ""])
def test_an_unknown_prediction_has_no_outcome(database_url: str, id_: str) -> None:
    async def run() -> None:
        async with running_log(database_url) as log:
            assert await log.record_outcome(id_, 1, None) is None

    asyncio.run(run())


def test_the_newest_response_counts_and_a_repeated_one_is_written_once(database_url: str) -> None:
    said = "override", "other-findings", "angiography"

    async def run() -> list[dict[str, Any]]:
        async with running_log(database_url) as log:
            sent = row()
            await log.append([sent])
            await log.record_response(sent[0], "agree", key_id="ward")
            first = await log.record_response(sent[0], *said, key_id="ward")
            assert first == await log.record_response(sent[0], *said, key_id="ward")
            reader = Reader(database_url)
            page, _ = reader.page()
            reader.close()
            return page

    (found,) = asyncio.run(run())
    assert (found["decision"], found["reason"], found["action"]) == said
    assert found["outcome"] is None
    with session(open_engine(database_url)) as connection:
        assert connection.scalar(select(func.count()).select_from(responses)) == 2


def test_what_another_person_says_with_the_same_key_is_another_response(database_url: str) -> None:
    async def run() -> None:
        async with running_log(database_url) as log:
            sent = row()
            await log.append([sent])
            for actor in (b"ann", b"ann", b"bob", b"bob", None):
                await log.record_response(sent[0], "agree", key_id="dashboard", actor=actor)

    asyncio.run(run())
    with session(open_engine(database_url)) as connection:
        said = connection.scalars(select(responses.c.actor).order_by(responses.c.id)).all()
    assert said == [b"ann", b"bob", None]
