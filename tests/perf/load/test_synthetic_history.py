from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest

from db.reader.queries import Reader
from perf.load.synthetic_history import scenario, write_history
from pipeline.dataset.heart import DAYS, INJECTED_CHANGES, Day, days
from pipeline.model import load
from pipeline.schema import FEATURES, NAMES, Kind

END = datetime(2026, 11, 24, 12, tzinfo=UTC)
UNIT, OTHERS, HOSPITAL = INJECTED_CHANGES


@pytest.fixture(scope="module")
def history() -> list[Day]:
    return list(days(END))


def column(history: list[Day], name: str, first: int, last: int) -> np.ndarray:
    return np.concatenate([d.rows[:, NAMES.index(name)] for d in history[first : last + 1]])


def test_it_ends_with_today_so_far_and_has_40_to_80_patients_a_day(history: list[Day]) -> None:
    assert len(history) == DAYS + 1
    assert {40 <= len(day.rows) <= 80 for day in history[:-1]} == {True}
    assert all((np.diff(day.received_ms) >= 0).all() for day in history)
    assert history[-1].received_ms.max() < END.timestamp() * 1000
    midnight = datetime(2026, 11, 24, tzinfo=UTC)
    assert history[0].received_ms.min() > (midnight - DAYS * timedelta(1)).timestamp() * 1000


def test_the_same_seed_tells_the_same_story(history: list[Day]) -> None:
    again = next(days(END))
    assert np.array_equal(again.rows, history[0].rows, equal_nan=True)
    assert not np.array_equal(next(days(END, seed=1)).rows[:5], history[0].rows[:5])


def test_half_of_the_st_depressions_come_in_millivolts_for_a_while(history: list[Day]) -> None:
    def of_depressed(first: int, last: int) -> float:
        known = column(history, "oldpeak", first, last)
        return float(np.median(known[known > 0]))

    before = of_depressed(0, UNIT.first_day - 1)
    assert of_depressed(UNIT.first_day, UNIT.last_day) < before / 2
    assert of_depressed(UNIT.last_day + 1, OTHERS.first_day - 1) > before / 2


def test_people_who_are_screened_have_the_disease_less_often(history: list[Day]) -> None:
    def ill(change_first: int, change_last: int) -> float:
        found = [day.disease for day in history[change_first : change_last + 1]]
        return float(np.concatenate(found).mean())

    assert ill(0, UNIT.last_day) == pytest.approx(0.46, abs=0.05)
    assert ill(OTHERS.first_day, OTHERS.last_day) == pytest.approx(0.10, abs=0.04)


def test_the_new_hospital_lacks_what_the_hungarian_one_lacks(history: list[Day]) -> None:
    lacks = np.isnan(column(history, "ca", HOSPITAL.first_day, HOSPITAL.last_day)).mean()
    assert lacks == pytest.approx(2 / 3 * 0.99, abs=0.06)
    assert np.isnan(column(history, "ca", 0, 20)).mean() < 0.05


def test_every_value_is_one_that_the_log_accepts(history: list[Day]) -> None:
    for i, feature in enumerate(FEATURES):
        known = np.concatenate([day.rows[:, i] for day in history])
        known = known[~np.isnan(known)]
        assert feature.low <= known.min() <= known.max() <= feature.high
        if feature.kind is not Kind.NUMBER:
            assert (known == known.round()).all()


@pytest.mark.slow
def test_it_is_written_with_past_times_outcomes_refusals_and_its_story(
    database_url: str, model_dir: Path
) -> None:
    model, end = load(model_dir), datetime.now(UTC)
    number = asyncio.run(write_history(database_url, model, end))
    reader = Reader(database_url)
    found = reader.counts(source="replay")
    first = reader.first_received_at("replay")
    known = reader.sample_with_outcomes(
        since=end - timedelta(days=DAYS + 1), until=end, source="replay", known_before=end
    )
    refused = reader.rejection_counts(
        since=end - timedelta(days=DAYS + 1), until=end, source="replay"
    )
    kept = reader.reports(kind="replay")
    scorecard = reader.model(model.version)
    reader.close()
    assert found.n == number
    assert first is not None
    assert timedelta(days=DAYS - 1) < end - first < timedelta(days=DAYS + 1)
    # 80 % of those whose 3 to 15 days have passed.
    assert 0.5 < len(known) / number < 0.8
    right = np.mean([row.prediction == row.outcome for row in known])
    assert 0.7 < right < 0.95
    assert {row["field"] for row in refused} == {"age", "chol"}
    assert [row["report"] for row in kept] == [scenario(end, model.version)]
    assert scorecard == model.scorecard
