from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from dashboard.pages.load_tests import charts
from dashboard.pages.load_tests import texts as load_tests_texts
from dashboard.pages.overview import charts as overview_charts
from dashboard.pages.overview import texts as overview_texts
from dashboard.shared import escaping, findings, numbers
from dashboard.shared.prediction import texts as prediction_texts
from tests.dashboard.benchmarks import ENVIRONMENT, benchmark, summary

NB = numbers.NBSP


@pytest.mark.parametrize(
    ("value", "said"), [(0.0004, f"under 1{NB}%"), (0.64, f"64{NB}%"), (0.996, f"over 99{NB}%")]
)
def test_a_probability_is_never_said_to_be_certain(value: float, said: str) -> None:
    assert numbers.probability(value) == said


@pytest.mark.parametrize(
    ("value", "said"),
    [(0.02, "About 2 of 100"), (0.001, "Fewer than 1 of 100"), (0.999, "More than 99 of 100")],
)
def test_a_probability_is_said_as_people_among_a_hundred(value: float, said: str) -> None:
    assert said in prediction_texts.natural_frequency(value, None)


@pytest.mark.parametrize(
    ("key_id", "said"),
    [(None, "Prediction 1"), ("ab12", "Prediction 1 · API key ab12"), ("*", "key \\*")],
)
def test_a_prediction_says_with_which_key_it_was_asked_for(key_id: str | None, said: str) -> None:
    row = {"source": "live", "model_version": "0123", "id": "1", "key_id": key_id}
    assert prediction_texts.prediction_header(row, "now").endswith(said)


@pytest.mark.parametrize(
    ("contribution", "said"),
    [
        (1.0, "**strongly increases the estimated risk**"),
        (-0.41, "**moderately decreases the estimated risk**"),
        (0.4, "**slightly increases the estimated risk**"),
    ],
)
def test_a_reason_says_how_strongly_and_where_to_a_finding_points(
    contribution: float, said: str
) -> None:
    assert (
        findings.effect_sentence("thal", "normal", contribution)
        == f"“Thallium scan: normal” {said}."
    )


def test_a_reason_can_be_that_something_is_not_known() -> None:
    assert findings.effect_sentence("thal", None, 0.2).startswith("“Thallium scan: unknown” **")


def test_the_three_weightiest_findings_are_the_reasons() -> None:
    sizes = {"age": 0.1, "sex": -0.9, "cp": 0.5, "ca": -0.2}
    found = [{"feature": f, "value": None, "contribution": c} for f, c in sizes.items()]
    said = findings.top_effects(found)
    assert [sentence.split("”")[0] for sentence in said] == [
        "“Sex: unknown",
        "“Chest pain: unknown",
        "“Major vessels coloured by fluoroscopy: unknown",
    ]


def test_nothing_claims_that_a_finding_brings_about_disease() -> None:
    """What increases the *estimated* risk is the model's doing, and said so."""
    modules = Path(findings.__file__).parents[1].rglob("*.py")
    said = " ".join(module.read_text("utf-8") for module in modules).lower()
    for word in ("because of the", "caused", "leads to", "reduces", "creases the risk"):
        assert word not in said


def test_unknown_findings_are_listed() -> None:
    assert findings.unknown_findings(["chol", "thal"]) == (
        "Unknown (2 of 13): serum cholesterol and thallium scan."
    )


@pytest.mark.parametrize(
    ("value", "said"), [(0.526, "+0.53"), (-0.2, "−0.20"), (-0.001, "0.00"), (0.0, "0.00")]
)
def test_log_odds_carry_their_sign(value: float, said: str) -> None:
    assert numbers.signed(value) == said


def test_a_refusal_names_field_and_reason_and_survives_an_unknown_reason() -> None:
    assert (
        overview_texts.rejection_reason("chol", "unit")
        == "Serum cholesterol: looks like another unit"
    )
    assert (
        overview_texts.rejection_reason("", "log-unavailable")
        == "The log could not be written or read"
    )
    assert overview_texts.rejection_reason("", "no-key") == "API key missing or unknown"
    assert (
        overview_texts.rejection_reason("body", "some_new_reason")
        == "Request body: some new reason"
    )


def test_a_time_of_today_is_an_hour_and_an_older_one_a_day() -> None:
    now = datetime(2026, 3, 5, 18, 0)
    assert numbers.format_time(datetime(2026, 3, 5, 9, 5), now) == "09:05 today"
    assert numbers.format_time(datetime(2026, 3, 4, 9, 5), now) == "4 Mar 2026, 09:05"


def test_a_share_that_is_not_zero_is_not_called_zero() -> None:
    assert numbers.format_share(4, 12_689) == f"under 1{NB}%"
    assert numbers.format_share(0, 12_689) == f"0{NB}%"


def test_the_activity_counts_refusals() -> None:
    said = overview_texts.activity(
        n=1200, positive=300, source="live", window="in the last hour", rejections=1, newest="now"
    )
    assert said == (f"1,200 live predictions in the last hour, 25{NB}% positive; 1 rejection.")


def test_reasons_are_not_called_requests() -> None:
    assert overview_texts.rejection_count(3) == "3 rejections"
    said = overview_texts.rejections_note(3, "in the last hour", 1)
    assert said.startswith("3 rejections in the last hour; most recent first, at most 1.")


def test_a_pass_over_replayed_patients_names_them_as_the_verdict_does() -> None:
    assert overview_texts.source_note("replay") == "Based on replayed patients (not live patients)."
    assert overview_texts.source_note("live") == ""


LINK = "<a href='https://x.example'>%{x}</a> [y](https://y.example)"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("[a](b) *c*", r"\[a\]\(b\) \*c\*"),
        ("https://a.b", "https\\:\u2060\\/\\/a\\.b"),
        ("WWW.a.b", "WWW\u2060\\.a\\.b"),
        ("a@b.c", "a\\@\u2060b\\.c"),
        ("a\n\n# b", r"a \# b"),
        (f"about 5{NB}percent", f"about 5{NB}percent"),
    ],
)
def test_markdown_shows_text_as_it_is(text: str, shown: str) -> None:
    assert escaping.escape_markdown(text) == shown


def test_stored_names_are_escaped_where_markdown_says_them() -> None:
    escaped = escaping.escape_markdown(LINK)
    failing = summary(LINK, 200, 100, timeouts=1, failed=1)
    run = benchmark(environment=ENVIRONMENT | {"processor": LINK})
    assert escaped in load_tests_texts.run_subtitle(run, "now")
    assert escaped in load_tests_texts.error_summary([failing])
    assert overview_texts.rejection_reason(LINK, "unit") == f"{escaped}: looks like another unit"
    assert overview_texts.route(LINK) == escaped


def test_stored_names_are_escaped_in_every_chart() -> None:
    of = [summary(LINK, 200, 100, timeouts=1, failed=1)]
    (_, fixed), *_ = benchmark().open_loop
    moment = datetime(2026, 1, 1, tzinfo=UTC)
    found = {"since": moment, "until": moment, "status": "red", "verdict": LINK}
    for figure in (
        charts.throughput(of), charts.latency_percentiles(of), charts.errors(of),
        charts.open_loop_latency([(LINK, fixed)]),
        charts.by_concurrency(of, lambda s: s.ok_per_s, "%{y}"),
        overview_charts.monitoring_statuses([found], UTC),
    ):  # fmt: skip
        drawn = figure.to_json()
        assert "x.example" in drawn
        assert not any(tag in drawn for tag in ("<a", "\\u003ca", "%{x}<", "%{x}&"))


def test_what_the_service_says_is_escaped() -> None:
    assert prediction_texts.rejection_message([], LINK) == escaping.escape_markdown(LINK)
    assert prediction_texts.rejection_message([("zz", LINK), ("chol", LINK)], "") == (
        f"- {escaping.escape_markdown(LINK)}\n"
        f"- **Serum cholesterol**: {escaping.escape_markdown(LINK)}"
    )
