from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from uuid import RFC_4122, UUID

import pytest

from db.ids import is_id, lowest_id_at, new_id, timestamp_of


def test_an_id_is_a_version_7_uuid_in_lower_case() -> None:
    id_ = new_id()
    parsed = UUID(id_)
    assert (parsed.version, parsed.variant) == (7, RFC_4122)
    assert str(parsed) == id_


def test_an_id_carries_its_time_to_the_millisecond() -> None:
    assert timestamp_of(new_id(1_700_000_000_123)) == datetime(
        2023, 11, 14, 22, 13, 20, 123000, UTC
    )


def test_an_id_of_now_carries_the_time_of_now() -> None:
    assert abs(timestamp_of(new_id()) - datetime.now(UTC)) < timedelta(seconds=1)


def test_ids_of_one_millisecond_differ() -> None:
    assert len({new_id(0) for _ in range(10_000)}) == 10_000


def test_later_ids_sort_after_earlier_ones() -> None:
    ids = [new_id(ms) for ms in (0, 1, 0xFFFF, 0x10000, 1_700_000_000_000)]
    assert ids == sorted(ids)


def test_a_window_of_time_is_a_range_of_ids() -> None:
    noon = datetime(2026, 1, 1, 12, tzinfo=UTC)
    ms = int(noon.timestamp() * 1000)
    assert lowest_id_at(noon) <= new_id(ms)
    assert new_id(ms - 1) < lowest_id_at(noon)


def test_a_part_of_a_millisecond_begins_with_the_next_one() -> None:
    start = datetime(1970, 1, 1, 0, 0, 0, 1, UTC)  # one microsecond after the epoch
    assert new_id(0) < lowest_id_at(start) <= new_id(1)


def test_a_time_in_another_zone_is_the_same_time() -> None:
    there = timezone(timedelta(hours=2))
    assert lowest_id_at(datetime(2026, 1, 1, 14, tzinfo=there)) == lowest_id_at(
        datetime(2026, 1, 1, 12, tzinfo=UTC)
    )


def test_a_time_without_a_zone_is_refused() -> None:
    with pytest.raises(ValueError, match="zone"):
        lowest_id_at(datetime(2026, 1, 1))


@pytest.mark.parametrize(
    "text",
    [
        "",
        "0",
        "0190163D-8694-739B-AEA5-966C26F8AD91",
        "0190163d8694739baea5966c26f8ad91",
        "0190163d-8694-439b-aea5-966c26f8ad91",
        "ffffffff-ffff-7fff-bfff-ffffffffffff",
        "0190163d-8694-739b-aea5-966c26f8ad91\n",
    ],
)
def test_what_is_not_an_id_has_no_time(text: str) -> None:
    assert not is_id(text)
    with pytest.raises(ValueError, match="not an id"):
        timestamp_of(text)
