from __future__ import annotations

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest

from dashboard.pages.overview import charts as overview_charts
from dashboard.shared.charts import BLUE, ORANGE
from dashboard.shared.prediction import charts
from db.reader.queries import TimeBucket

EXPLANATION = {
    "base_value": -0.2,
    "contributions": [
        {"feature": "age", "value": 63.0, "contribution": 0.1},
        {"feature": "sex", "value": "male", "contribution": 0.4},
        {"feature": "cp", "value": None, "contribution": -0.3},
    ],
}
START = datetime(2026, 3, 5, tzinfo=UTC)
BUCKETS = [TimeBucket(START, 4, 1, 1.0, 2.0), TimeBucket(START.replace(hour=1), 0, 0, None, None)]


def test_a_waterfall_adds_the_findings_up_from_the_average_patient_to_this_one() -> None:
    bars, ends = (data["source"] for data in charts.waterfall(EXPLANATION)["dataset"])
    assert bars["finding"].tolist() == ["Sex: male", "Chest pain: unknown", "Age: 63 years"]
    assert bars["from"].tolist() == pytest.approx([-0.2, 0.2, -0.1])
    assert bars["increases the estimated risk"].tolist() == [0.4, 0.0, 0.1]
    assert bars["decreases the estimated risk"].tolist() == [0.0, -0.3, 0.0]
    assert ends["at"].tolist() == pytest.approx([-0.2, 0.0])
    assert ends["finding"].tolist() == [
        "Average training patient: 45\u00a0%",
        "This patient: 50\u00a0%",
    ]


def test_a_waterfall_translates_its_scale_to_probabilities() -> None:
    marks = charts.waterfall(EXPLANATION)["series"][-1]["markLine"]["data"]
    assert {"xAxis": 0.0, "label": {"formatter": "50 %"}} in marks


def test_of_a_hundred_people_as_many_are_marked_as_had_disease() -> None:
    had, had_not = charts.icon_array(0.64)["series"]
    assert (len(had["data"]), len(had_not["data"])) == (64, 36)
    assert (had["name"], had["itemStyle"]["color"]) == ("Disease", ORANGE)


def test_an_estimate_stands_in_its_range_and_shows_its_side_of_the_threshold() -> None:
    spec = charts.risk_intervals([("a", 0.6, (0.5, 0.75)), ("b", 0.4, (0.25, 0.5))], 0.5)
    frame = spec["dataset"]["source"]
    assert frame["low"].tolist() == [50, 25]
    assert frame["range"].tolist() == [25, 25]
    colors = [point["itemStyle"]["color"] for point in spec["series"][-1]["data"]]
    assert colors == [ORANGE, BLUE]


def test_volume_splits_each_step_at_the_threshold() -> None:
    below, above = overview_charts.prediction_counts(BUCKETS, UTC).data
    assert (below.name, list(below.y)) == ("Negative", [3, 0])
    assert (above.name, list(above.y)) == ("Positive", [1, 0])


def test_a_step_without_predictions_is_a_gap_not_a_zero() -> None:
    (share,) = overview_charts.positive_rate(BUCKETS, UTC).data
    assert list(share.y) == [0.25, None]
    middle, slowest = overview_charts.scoring_latency(BUCKETS, UTC).data
    assert (list(middle.y), list(slowest.y)) == ([1.0, None], [2.0, None])


def test_times_stand_on_the_viewers_clock() -> None:
    below, _ = overview_charts.prediction_counts(BUCKETS, ZoneInfo("Europe/Berlin")).data
    assert below.x[0] == datetime(2026, 3, 5, 1)
