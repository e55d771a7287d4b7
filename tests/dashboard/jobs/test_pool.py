from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from streamlit.runtime.memory_session_storage import MemorySessionStorage

from dashboard.jobs import pool as jobs_pool
from dashboard.jobs import worker
from dashboard.jobs.pool import Job, JobPool, PoolFull, State
from tests.programs import ROOT

pytestmark = pytest.mark.slow

LONG = 60.0  # seconds within which even a loaded machine starts a process

WORK = """
import os, sys, time

def double(number, progress):
    print("a library that prints")
    progress(0.5)
    return {"twice": 2 * number, "process": os.getpid()}

def wrong(progress):
    raise ValueError("chol is 5.2")

def forever(progress):
    progress(0.25)
    time.sleep(600)

def greedy(progress):
    return len(bytes(3 * 2**30))
"""


@pytest.fixture
def work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Functions to run, as a module that the worker finds beside the project's own."""
    (tmp_path / "work.py").write_text(WORK)
    starter = (
        f"import sys, pipeline; sys.path[:0] = [{str(ROOT)!r}]; "
        f"pipeline.__path__.append({str(tmp_path)!r}); "
        "from dashboard.jobs import worker; worker.main()"
    )
    monkeypatch.setattr(jobs_pool, "WORKER_COMMAND", (sys.executable, "-c", starter))


def reach(job: Job, state: State) -> None:
    deadline = time.monotonic() + LONG
    while job.state is not state or (state is State.RUNNING and not job.progress):
        assert time.monotonic() < deadline, job.state
        time.sleep(0.01)


@pytest.mark.usefixtures("work")
def test_a_job_runs_in_another_process_and_returns_its_result() -> None:
    job = JobPool().submit("pipeline.work:double", number=21)
    assert job.wait(LONG)
    assert (job.state, job.progress) == (State.DONE, 1.0)
    assert job.result["twice"] == 42
    assert job.result["process"] != os.getpid()


@pytest.mark.usefixtures("work")
def test_an_error_is_named_by_type_and_place_without_its_message() -> None:
    job = JobPool().submit("pipeline.work:wrong")
    assert job.wait(LONG)
    assert job.state is State.FAILED
    assert job.error.startswith("ValueError in wrong:10 < ")
    assert "5.2" not in job.error


@pytest.mark.usefixtures("work")
def test_a_cancelled_job_ends_its_process_and_frees_the_worker() -> None:
    pool = JobPool()
    job = pool.submit("pipeline.work:forever")
    reach(job, State.RUNNING)
    assert job.progress == 0.25
    job.cancel()
    assert job.wait(LONG)
    assert job.state is State.CANCELLED
    following = pool.submit("pipeline.work:double", number=1)
    assert following.wait(LONG)
    assert following.state is State.DONE


@pytest.mark.usefixtures("work")
def test_more_jobs_than_may_wait_are_refused_and_a_waiting_one_can_be_cancelled() -> None:
    pool = JobPool(workers=1, max_queued=1)
    running = pool.submit("pipeline.work:forever")
    reach(running, State.RUNNING)
    waiting = pool.submit("pipeline.work:double", number=1)
    with pytest.raises(PoolFull, match="in a minute"):
        pool.submit("pipeline.work:double", number=1)
    waiting.cancel()
    running.cancel()
    assert running.wait(LONG)
    assert (waiting.state, waiting.progress) == (State.CANCELLED, 0.0)


@pytest.mark.usefixtures("work")
def test_a_job_that_takes_too_long_is_ended() -> None:
    job = JobPool(timeout_s=0.5).submit("pipeline.work:forever")
    assert job.wait(LONG)
    assert (job.state, job.error) == (State.FAILED, "the job took too long")


@pytest.mark.usefixtures("work")
def test_a_worker_whose_server_is_killed_ends_by_itself() -> None:
    # The server is this process; a server that is gone closes its end of the pipe.
    with subprocess.Popen(jobs_pool.WORKER_COMMAND, stdin=subprocess.PIPE, cwd=ROOT) as left_alone:
        assert left_alone.stdin
        left_alone.stdin.write(b'{"function": "pipeline.work:forever", "arguments": {}}\n')
        left_alone.stdin.flush()
        assert left_alone.poll() is None
        left_alone.stdin.close()
        assert left_alone.wait(LONG) == 1


@pytest.mark.usefixtures("work")
def test_a_job_gets_no_more_memory_than_a_large_one_needs() -> None:
    job = JobPool().submit("pipeline.work:greedy")
    assert job.wait(LONG)
    assert job.state is State.FAILED
    assert job.error.startswith("MemoryError in greedy:17 < ")


SPEAKS_HALF_A_LINE = """
import sys, time
sys.stdin.readline()
print('{"progress": 0.5}', flush=True)
sys.stdout.write('{"result": "' + 100000 * "x")
sys.stdout.flush()
"""
HEARS_NOTHING = "import time; time.sleep(600)"
LARGE = 5_000_000 * "x"
"""More than a pipe holds."""


def next_one_is_done(pool: JobPool) -> bool:
    following = pool.submit("pipeline.work:double", number=1)
    return following.wait(LONG) and following.state is State.DONE


@pytest.mark.usefixtures("work")
def test_a_worker_that_is_killed_in_the_middle_of_a_line_costs_its_own_job_alone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pool = JobPool()
    with monkeypatch.context() as dying:
        dying.setattr(jobs_pool, "WORKER_COMMAND", (sys.executable, "-c", SPEAKS_HALF_A_LINE))
        job = pool.submit("pipeline.work:double", number=1)
        assert job.wait(LONG)
    assert (job.state, job.error) == (State.FAILED, "the worker ended with code 0")
    assert next_one_is_done(pool)


@pytest.mark.parametrize("content", ["", LARGE], ids=["small", "large"])
@pytest.mark.usefixtures("work")
def test_a_worker_that_ends_before_it_hears_its_request_costs_its_own_job_alone(
    monkeypatch: pytest.MonkeyPatch, content: str
) -> None:
    def start_and_die() -> subprocess.Popen[str]:
        worker = start()
        worker.kill()
        worker.wait()
        return worker

    pool, start = JobPool(), jobs_pool._start
    with monkeypatch.context() as dying:
        dying.setattr(jobs_pool, "_start", start_and_die)
        job = pool.submit("pipeline.work:double", content=content)
        assert job.wait(LONG)
    assert (job.state, job.error) == (State.FAILED, "the worker ended with code -9")
    assert next_one_is_done(pool)


def test_a_job_whose_worker_cannot_be_started_says_so_and_keeps_no_request(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(jobs_pool, "WORKER_COMMAND", ("/nothing/here",))
    job = JobPool().submit("pipeline.work:double", chol=233)
    assert job.wait(LONG)
    assert job.state is State.FAILED
    assert job.error == "no worker can be started: No such file or directory"
    assert "233" not in job._request


@pytest.mark.usefixtures("work")
def test_a_job_that_is_cancelled_before_its_large_request_is_read_frees_the_worker(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pool = JobPool()
    with monkeypatch.context() as deaf:
        deaf.setattr(jobs_pool, "WORKER_COMMAND", (sys.executable, "-c", HEARS_NOTHING))
        job = pool.submit("pipeline.work:double", content=LARGE)
        while job.state is State.WAITING:
            time.sleep(0.01)
    job.cancel()
    assert job.state is State.CANCELLED
    assert next_one_is_done(pool)


class Session:
    """A visitor, as far as jobs ask Streamlit about one."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.session_id, self.there = "a visitor", True
        self.user_info: dict[str, object] = {}
        monkeypatch.setattr(jobs_pool, "get_script_run_ctx", lambda **_: self)
        monkeypatch.setattr(jobs_pool.runtime, "get_instance", lambda: self)

    def is_active_session(self, session_id: str) -> bool:
        return session_id != self.session_id or self.there


@pytest.mark.usefixtures("work")
def test_a_session_has_one_job_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    visitor, pool = Session(monkeypatch), JobPool()
    first = pool.submit("pipeline.work:forever")
    with pytest.raises(PoolFull, match="one calculation at a time"):
        pool.submit("pipeline.work:double", number=1)
    visitor.session_id = "another visitor"
    pool.submit("pipeline.work:double", number=1)
    visitor.session_id = "a visitor"
    first.cancel()
    again = pool.submit("pipeline.work:double", number=1)
    assert again.wait(LONG)
    assert again.state is State.DONE


@pytest.mark.usefixtures("work")
def test_a_login_has_one_job_at_a_time_in_all_its_tabs(monkeypatch: pytest.MonkeyPatch) -> None:
    visitor, pool = Session(monkeypatch), JobPool(workers=1, max_queued=4)
    visitor.user_info = {"iss": "https://login.example", "sub": "one"}
    first = pool.submit("pipeline.work:forever")
    for tab in range(5):
        visitor.session_id = f"tab {tab}"
        with pytest.raises(PoolFull, match="one calculation at a time"):
            pool.submit("pipeline.work:forever")
    visitor.user_info = {"iss": "https://login.example", "sub": "another"}
    following = pool.submit("pipeline.work:double", number=1)
    first.cancel()
    assert following.wait(LONG)
    assert following.state is State.DONE


@pytest.mark.parametrize("other", [{"iss": "https://other.example"}, {"sub": "other"}])
@pytest.mark.usefixtures("work")
def test_a_login_is_named_by_its_provider_and_its_subject(
    monkeypatch: pytest.MonkeyPatch, other: dict[str, object]
) -> None:
    visitor, pool = Session(monkeypatch), JobPool()
    visitor.user_info = {"iss": "https://login.example", "sub": "one", "name": "Smith"}
    first = pool.submit("pipeline.work:forever")
    visitor.session_id, visitor.user_info = "another tab", visitor.user_info | other
    pool.submit("pipeline.work:double", number=1)
    first.cancel()


@pytest.mark.usefixtures("work")
def test_a_job_whose_page_was_left_gives_way_to_the_same_persons_next(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    visitor, pool = Session(monkeypatch), JobPool()
    visitor.user_info = {"iss": "https://login.example", "sub": "one"}
    first = pool.submit("pipeline.work:forever")
    visitor.there = False
    monkeypatch.setattr(visitor, "is_active_session", lambda session: session == "loaded again")
    visitor.session_id = "loaded again"
    following = pool.submit("pipeline.work:double", number=1)
    assert first.state is State.CANCELLED
    assert following.wait(LONG)
    assert following.state is State.DONE


@pytest.mark.usefixtures("work")
def test_cancelled_jobs_hold_no_places(monkeypatch: pytest.MonkeyPatch) -> None:
    visitor, pool = Session(monkeypatch), JobPool(workers=1, max_queued=1)
    running = pool.submit("pipeline.work:forever")
    reach(running, State.RUNNING)
    visitor.session_id = "another visitor"
    for _ in range(5):
        pool.submit("pipeline.work:forever").cancel()
    visitor.session_id = "a third visitor"
    following = pool.submit("pipeline.work:double", number=1)
    running.cancel()
    assert following.wait(LONG)
    assert following.state is State.DONE


@pytest.fixture
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """Sessions that are given up at the second look after they are gone."""
    monkeypatch.setattr(jobs_pool, "SESSION_GRACE_S", 0.0)
    monkeypatch.setattr(jobs_pool, "SESSION_CHECK_S", 0.02)


@pytest.mark.usefixtures("work", "soon")
def test_a_job_ends_with_the_session_that_asked_for_it(monkeypatch: pytest.MonkeyPatch) -> None:
    visitor, pool = Session(monkeypatch), JobPool()
    running = pool.submit("pipeline.work:forever")  # it says nothing more
    reach(running, State.RUNNING)
    monkeypatch.setattr(jobs_pool, "get_script_run_ctx", lambda **_: None)
    following = pool.submit("pipeline.work:double", number=1)
    visitor.there = False
    assert running.wait(LONG)
    assert running.state is State.CANCELLED
    assert following.wait(LONG)
    assert following.state is State.DONE


@pytest.mark.usefixtures("work", "soon")
def test_a_waiting_job_ends_with_its_session_and_never_starts(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    visitor, pool = Session(monkeypatch), JobPool()
    visitor.session_id = "another visitor"
    running = pool.submit("pipeline.work:forever")
    visitor.session_id, visitor.there = "a visitor", False
    waiting = pool.submit("pipeline.work:double", number=1)
    assert waiting.wait(LONG)
    assert (waiting.state, waiting.progress) == (State.CANCELLED, 0.0)
    assert not running.ended
    running.cancel()


def test_a_job_outlives_a_connection_that_is_lost_for_as_long_as_its_session_is_kept(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    visitor = Session(monkeypatch)
    job = Job("{}", visitor.session_id, visitor.session_id)
    visitor.there = False
    for now in (0.0, 1.0, 119.0):
        job.cancel_if_abandoned(now)
    visitor.there = True
    job.cancel_if_abandoned(120.0)
    visitor.there = False
    for now in (121.0, 240.0):
        job.cancel_if_abandoned(now)
    assert not job.ended
    job.cancel_if_abandoned(242.0)
    assert job.state is State.CANCELLED


def test_streamlit_keeps_a_session_as_long_as_jobs_take_it_to() -> None:
    assert MemorySessionStorage()._cache.ttl == jobs_pool.SESSION_GRACE_S  # type: ignore[attr-defined]


def test_only_functions_of_the_pipeline_can_be_asked_for() -> None:
    with pytest.raises(ValueError, match="not a function of the pipeline"):
        worker.function("os:remove")
