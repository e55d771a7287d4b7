"""The hostile list, sent whole to the real service: nothing wrong is accepted, nothing breaks."""

from __future__ import annotations

import http.client
import json
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from api.wire.problems import MAX_PROBLEM_BYTES, MEDIA_TYPE
from db.migrate import migrate
from db.reader.queries import Reader
from tests.api.conftest import PATIENT
from tests.hostile.asking import Answer, Case, as_bytes, ask, cases
from tests.hostile.documented import Documented
from tests.programs import free_port, running, wait_for

pytestmark = pytest.mark.slow

CANARY = b"Zq7canary"
FOR_OTHERS = ("access-control-allow-origin", "access-control-allow-credentials")
"""Headers that would let another site's page read an answer."""


@dataclass
class Service:
    """The running service, and an id that is in its log."""

    port: int
    database_url: str
    known_id: str
    documented: Documented


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory, model_dir: Path) -> Iterator[Service]:
    url = f"sqlite:///{tmp_path_factory.mktemp('hostile')}/log.db"
    migrate(url, lambda _: None)
    port = free_port()
    base = f"http://127.0.0.1:{port}"
    with running(
        "-m", "api", api_port=port, database_url=url, model_dir=model_dir, log_timeout_s=20
    ) as api:
        wait_for(f"{base}/readyz", api)
        document = httpx.get(f"{base}/openapi.json", trust_env=False).json()
        known = httpx.post(f"{base}/predict", json=PATIENT, trust_env=False).json()["id"]
        yield Service(port, url, known, Documented(document))


def complaints(case: Case, answer: Answer, service: Service) -> list[str]:
    """Say what is wrong with an answer; empty = it is right."""
    found = service.documented.complaints(case.method, case.path, answer)
    if answer.status != case.status:
        found.append(f"answered {answer.status}")
    if CANARY in answer.body or any(CANARY.decode() in text for text in answer.headers.values()):
        found.append("repeats what was sent")
    found += [f"sends {name}" for name in FOR_OTHERS if name in answer.headers]
    if answer.status >= 400 and case.method != "HEAD":
        found += _complaints_of_refusal(case, answer)
    return found


def _complaints_of_refusal(case: Case, answer: Answer) -> list[str]:
    if answer.headers.get("content-type") != MEDIA_TYPE:
        return [f"is {answer.headers.get('content-type')}: {answer.body[:60]!r}"]
    found = []
    if len(answer.body) > MAX_PROBLEM_BYTES:
        found.append(f"a refusal of {len(answer.body)} bytes")
    fields = {error["field"] for error in answer.document.get("errors", [])}
    wanted = {field for field, _ in case.refusals if field}
    if answer.status == case.status and fields != wanted:
        found.append(f"names {sorted(fields)}")
    return found


def counted_refusals(service: Service, wanted: int) -> Counter[tuple[int, str, str]]:
    """Return the log's counts of refusals per status, field and reason, once they are written."""
    deadline = time.monotonic() + 20
    with closing(Reader(service.database_url)) as reader:
        while True:
            counts: Counter[tuple[int, str, str]] = Counter()
            for row in reader.rejections(limit=1000):
                counts[row["status"], row["field"], row["reason"]] += row["count"]
            if counts.total() >= wanted or time.monotonic() > deadline:
                return counts
            time.sleep(0.1)


def rows_of(case: Case, answer: Answer) -> int:
    """Return how many rows an answered prediction added to the log."""
    if answer.status != 200 or case.method != "POST" or case.request.get("again"):
        return 0
    document = answer.document
    return len(document["items"]) if "items" in document else 1


def test_the_list_has_the_length_that_was_promised() -> None:
    assert len(list(cases())) >= 150
    assert len({(case.group, case.why, str(case.request)) for case in cases()}) == len(
        list(cases())
    )


def test_every_hostile_request_gets_the_right_documented_answer_and_leaves_no_row(
    service: Service,
) -> None:
    wrong, rows = [], 1
    refusals: Counter[tuple[int, str, str]] = Counter()
    for case in cases():
        refusals.update((case.status, field, reason) for field, reason in case.refusals)
        try:
            answer = ask(service.port, as_bytes(case, service.known_id), case.method)
            found = complaints(case, answer, service)
            rows += rows_of(case, answer)
        except (OSError, http.client.HTTPException, json.JSONDecodeError) as error:
            found = [f"no answer: {type(error).__name__} {error}"]
        if found:
            wrong.append(f"{case.group}, {case.why}: {case.status} is right; {'; '.join(found)}")
    assert not wrong, f"{len(wrong)} wrong:\n" + "\n".join(wrong)
    with closing(Reader(service.database_url)) as reader:
        assert sum(reader.sources().values()) == rows
    assert counted_refusals(service, refusals.total()) == refusals
