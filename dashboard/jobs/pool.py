"""A pool of worker processes for long calculations: progress, a result, cancellation.

A job is a function of `pipeline`, named as `"package.module:function"`, which takes keyword
arguments and `progress` (called with the share done, 0 to 1) and returns JSON data. It runs in a
fresh `python -m dashboard.jobs.worker`: its imports never enter the server, cancelling it kills the
process, and a worker whose server is gone exits. A person (a login, or a session where nobody logs
in) has one job at a time, which is cancelled once nobody can return to its session.
"""

from __future__ import annotations

import json
import os
import queue
import subprocess
import sys
import threading
import time
from contextlib import suppress
from enum import StrEnum
from pathlib import Path
from typing import Any

from streamlit import runtime
from streamlit.runtime.scriptrunner import get_script_run_ctx

from dashboard.auth.roles import subject

WORKERS = 1
"""Processes at once; the other cores serve pages and predictions."""
MAX_QUEUED = 4
"""Jobs that may wait for a worker; more are rejected at once, not after minutes."""
TIMEOUT_S = 600.0
"""Several times what the longest job needs on a slow core."""
SESSION_GRACE_S = 120.0
"""How long Streamlit keeps a disconnected session (its `MemorySessionStorage`)."""
SESSION_CHECK_S = 5.0
"""Seconds between two checks for abandoned sessions."""
WORKER_COMMAND: tuple[str, ...] = (sys.executable, "-m", "dashboard.jobs.worker")

_ROOT = Path(__file__).resolve().parents[2]
_ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")


class State(StrEnum):
    """The state of a job."""

    WAITING = "waiting"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"
    CANCELLED = "cancelled"


class PoolFull(Exception):
    """Too many jobs are queued, or the person already has one."""


class Job:
    """One call of a function in a worker process; made by `JobPool.submit`."""

    def __init__(self, request: str, session: str | None, person: str | None) -> None:
        self.session = session
        """The session that submitted it; None = no session."""
        self.person = person
        """The login that submitted it, otherwise the session."""
        self.state = State.WAITING
        self.progress = 0.0
        """Share done, 0 to 1, as last reported."""
        self.result: Any = None
        """What the function returned, once DONE."""
        self.error = ""
        """Type and location of the error, never a value; once FAILED."""
        self._request = request
        self._process: subprocess.Popen[str] | None = None
        self._lock = threading.RLock()
        self._ended = threading.Event()
        self._away_since: float | None = None

    @property
    def ended(self) -> bool:
        """Whether the job is done, failed or cancelled."""
        return self._ended.is_set()

    def wait(self, seconds: float) -> bool:
        """Wait for the end; return whether it came in time."""
        return self._ended.wait(seconds)

    def cancel(self) -> None:
        """Cancel the job at once, unless it has ended."""
        self._end(State.CANCELLED)

    def cancel_if_abandoned(self, now: float) -> None:
        """Cancel the job if its session has been disconnected for too long.

        A connection that is lost for a moment does not count: the browser reconnects.
        """
        if _is_connected(self.session):
            self._away_since = None
        elif self._away_since is None:
            self._away_since = now
        elif now - self._away_since > SESSION_GRACE_S:
            self.cancel()

    def run(self, timeout_s: float) -> None:
        """Run the job in a process of its own until it ends; called by the pool's thread."""
        with self._lock:
            if self.ended:  # cancelled while it waited
                return
            try:
                self._process = _start()
            except OSError as error:
                self._end(State.FAILED, f"no worker can be started: {error.strerror}")
                return
            self.state = State.RUNNING
        too_long = threading.Timer(timeout_s, self._end, (State.FAILED, "the job took too long"))
        too_long.daemon = True
        too_long.start()
        with suppress(BrokenPipeError), self._process as process:  # closing it flushes what is left
            try:
                self._exchange(process)
            finally:
                process.kill()  # it has sent its result or closed its output
        too_long.cancel()
        self._end(State.FAILED, f"the worker ended with code {process.returncode}")

    def _exchange(self, process: subprocess.Popen[str]) -> None:
        """Send the request and read until a result, an error or the end of the process."""
        assert process.stdin is not None and process.stdout is not None  # noqa: S101, PT018 - pipes
        process.stdin.write(self._request + "\n")
        process.stdin.flush()
        for line in process.stdout:
            if not line.endswith("\n"):  # killed in the middle of a line
                return
            message = json.loads(line)
            if "progress" in message:
                self.progress = float(message["progress"])
            elif "error" in message:
                self._end(State.FAILED, message["error"])
            else:
                self.progress = 1.0
                self._end(State.DONE, result=message["result"])
            if self.ended:
                return

    def _end(self, state: State, error: str = "", result: Any = None) -> None:
        with self._lock:
            if self.ended:
                return
            self.state, self.error, self.result = state, error, result
            self._request = ""  # it may hold patient data, which nothing keeps
            self._ended.set()
            if self._process is not None and state is not State.DONE:
                self._process.kill()


class JobPool:
    """A pool of worker processes; jobs run in the order of submission."""

    def __init__(
        self, workers: int = WORKERS, max_queued: int = MAX_QUEUED, timeout_s: float = TIMEOUT_S
    ) -> None:
        self._queue: queue.SimpleQueue[Job] = queue.SimpleQueue()
        self._timeout_s = timeout_s
        self._max_jobs = workers + max_queued
        self._workers = workers
        self._is_started = False
        self._jobs: list[Job] = []
        """Jobs that had not ended at the last check."""
        self._lock = threading.Lock()

    def submit(self, function: str, **arguments: Any) -> Job:
        """Queue a call of `function` and return the job.

        Parameters
        ----------
        function
            As `"pipeline.poisoning:run_job"`.
        arguments
            JSON data.

        Raises
        ------
        PoolFull
            When the queue is full, or a job of the same person has not ended. A job whose page was
            left gives way to a new one of its person.
        """
        context = get_script_run_ctx(suppress_warning=True)
        session = context.session_id if context else None
        person = (subject(context.user_info) if context else None) or session
        job = Job(json.dumps({"function": function, "arguments": arguments}), session, person)
        with self._lock:
            self._enforce_limits(job.person)
            self._start_threads()
            self._queue.put(job)
            self._jobs.append(job)
        return job

    def _enforce_limits(self, person: str | None) -> None:
        for job in self._jobs:
            if job.person == person and not _is_connected(job.session):
                job.cancel()
        self._jobs = [job for job in self._jobs if not job.ended]
        if person is not None and person in {job.person for job in self._jobs}:
            raise PoolFull("one calculation at a time; try again in a minute")
        if len(self._jobs) >= self._max_jobs:
            raise PoolFull("too many calculations are queued; try again in a minute")

    def _start_threads(self) -> None:
        """Start the pool at its first job, not before."""
        if self._is_started:
            return
        self._is_started = True
        for work in (*[self._serve] * self._workers, self._cancel_abandoned):
            threading.Thread(target=work, name="jobs", daemon=True).start()

    def _serve(self) -> None:
        while True:
            self._queue.get().run(self._timeout_s)

    def _cancel_abandoned(self) -> None:
        while True:
            time.sleep(SESSION_CHECK_S)
            with self._lock:
                for job in self._jobs:
                    job.cancel_if_abandoned(time.monotonic())


def _is_connected(session: str | None) -> bool:
    with suppress(RuntimeError):  # no server, as in tests that run single pages
        return session is None or runtime.get_instance().is_active_session(session)
    return True


def _start() -> subprocess.Popen[str]:
    return subprocess.Popen(  # noqa: S603 - our own module
        WORKER_COMMAND,
        cwd=_ROOT,
        env=os.environ | _ONE_THREAD,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        encoding="utf-8",
    )


pool = JobPool()
"""The pool of this process."""
