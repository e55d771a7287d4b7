"""Long work away from the pages: a few worker processes with progress, a result and a cancel.

A job is a function of the project, named as `"package.module:function"`, which takes keyword
arguments and `progress` (call it with the share done, 0 to 1) and returns what JSON can hold. It
runs in a fresh `python -m dashboard.worker`: what it imports never enters the server, a cancel is
the end of the process, and a worker whose server is gone ends by itself. A session has one job at
a time, which ends once nobody can come back to the session.
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

WORKERS = 1
"""Processes at once: one core computes, the others serve pages and predictions."""
WAITING = 4
"""Jobs that may wait for a worker; more are refused at once instead of after minutes."""
LIMIT_S = 600.0
"""Longest run of a job, several times what the longest one needs on a slow core."""
RESUMABLE_S = 120.0
"""So long Streamlit keeps a session whose connection is lost (its `MemorySessionStorage`)."""
LOOK_S = 5.0
"""Seconds between two looks for sessions that are gone."""
COMMAND: tuple[str, ...] = (sys.executable, "-m", "dashboard.jobs.worker")

_ROOT = Path(__file__).resolve().parents[2]
_ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")


class State(StrEnum):
    """Where a job stands."""

    WAITING = "waiting"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"
    CANCELLED = "cancelled"


class Busy(Exception):
    """Too many jobs wait already, or the session has one; try again when one has ended."""


class Job:
    """One call of a function in a worker process; made by `Jobs.submit`."""

    def __init__(self, function: str, arguments: dict[str, Any], session: str | None) -> None:
        self.function = function
        self.session = session
        """Who asked for it; None = no visitor."""
        self.state = State.WAITING
        self.progress = 0.0
        """Share done, 0 to 1, as the function last said."""
        self.result: Any = None
        """What the function returned, once `state` is DONE."""
        self.error = ""
        """Type and place of what went wrong, never a value; once `state` is FAILED."""
        self._request = json.dumps({"function": function, "arguments": arguments})
        self._process: subprocess.Popen[str] | None = None
        self._lock = threading.Lock()
        self._ended = threading.Event()
        self._away_since: float | None = None

    @property
    def ended(self) -> bool:
        """True once nothing about the job will change."""
        return self._ended.is_set()

    def wait(self, seconds: float) -> bool:
        """Wait for the end; return whether it came."""
        return self._ended.wait(seconds)

    def cancel(self) -> None:
        """End the job at once; what has ended stays as it is."""
        self._end(State.CANCELLED)

    def look(self, now: float) -> None:
        """Cancel the job once its session is away for too long; called every few seconds.

        A connection that is lost for a moment is no end: the browser comes back to its session.
        """
        if _is_connected(self.session):
            self._away_since = None
        elif self._away_since is None:
            self._away_since = now
        elif now - self._away_since > RESUMABLE_S:
            self.cancel()

    def run(self, limit_s: float) -> None:
        """Run to the end in a process of its own; called by the pool's thread."""
        with self._lock:
            if self.ended:  # cancelled while it waited
                return
            try:
                self._process = _start()
            except OSError as error:
                self.error = f"no worker can be started: {error.strerror}"
                self.state = State.FAILED
                self._ended.set()
                return
            self.state = State.RUNNING
        too_long = threading.Timer(limit_s, self._end, (State.FAILED, "the job took too long"))
        too_long.daemon = True
        too_long.start()
        with suppress(BrokenPipeError), self._process as process:  # whose end sends what is left
            try:
                self._converse(process)
            finally:
                process.kill()  # it has said its last word or closed its mouth
        too_long.cancel()
        self._end(State.FAILED, f"the worker ended with code {process.returncode}")

    def _converse(self, process: subprocess.Popen[str]) -> None:
        """Send the request and listen until the result, an error or the end of the process."""
        assert process.stdin is not None and process.stdout is not None  # noqa: S101, PT018 - pipes
        process.stdin.write(self._request + "\n")
        process.stdin.flush()
        for line in process.stdout:
            if not line.endswith("\n"):  # it was killed in the middle of a word
                return
            said = json.loads(line)
            if "progress" in said:
                self.progress = float(said["progress"])
            elif "error" in said:
                self._end(State.FAILED, said["error"])
            else:
                self.progress = 1.0
                self._end(State.DONE, result=said["result"])
            if self.ended:
                return

    def _end(self, state: State, error: str = "", result: Any = None) -> None:
        with self._lock:
            if self.ended:
                return
            self.state, self.error, self.result = state, error, result
            self._request = ""  # it may hold a file of patients: nothing keeps that
            self._ended.set()
            if self._process is not None and state is not State.DONE:
                self._process.kill()


class Jobs:
    """A pool of worker processes; jobs run in the order in which they came."""

    def __init__(
        self, workers: int = WORKERS, waiting: int = WAITING, limit_s: float = LIMIT_S
    ) -> None:
        self._queue: queue.Queue[Job] = queue.Queue(waiting)
        self._limit_s = limit_s
        self._workers = workers
        self._threads: list[threading.Thread] = []
        self._jobs: list[Job] = []
        """Those that have not ended, as far as was looked."""
        self._lock = threading.Lock()

    def submit(self, function: str, **arguments: Any) -> Job:
        """Queue a call of `function`.

        Parameters
        ----------
        function
            As `"pipeline.poisoning:run_job"`.
        arguments
            What JSON can hold.

        Raises
        ------
        Busy
            When as many jobs wait as may, or one of the same session has not ended.
        """
        context = get_script_run_ctx(suppress_warning=True)
        job = Job(function, arguments, context.session_id if context else None)
        with self._lock:
            self._jobs = [other for other in self._jobs if not other.ended]
            if job.session in {other.session for other in self._jobs} - {None}:
                raise Busy("one calculation at a time; try again in a minute")
            self._start_threads()
            try:
                self._queue.put_nowait(job)
            except queue.Full:
                raise Busy("too many calculations are waiting; try again in a minute") from None
            self._jobs.append(job)
        return job

    def _start_threads(self) -> None:
        """Start the pool at its first job: no thread where no page asks for work."""
        if self._threads:
            return
        self._threads = [
            threading.Thread(target=work, name="jobs", daemon=True)
            for work in (*[self._serve] * self._workers, self._watch)
        ]
        for thread in self._threads:
            thread.start()

    def _serve(self) -> None:
        while True:
            self._queue.get().run(self._limit_s)

    def _watch(self) -> None:
        while True:
            time.sleep(LOOK_S)
            with self._lock:
                jobs = list(self._jobs)
            for job in jobs:
                job.look(time.monotonic())


def _is_connected(session: str | None) -> bool:
    if session is None:
        return True
    try:
        return runtime.get_instance().is_active_session(session)
    except RuntimeError:  # nothing serves sessions: pages are run one by one, as in tests
        return True


def _start() -> subprocess.Popen[str]:
    return subprocess.Popen(  # noqa: S603 - our own module
        COMMAND,
        cwd=_ROOT,
        env=os.environ | _ONE_THREAD,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        encoding="utf-8",
    )


pool = Jobs()
"""The one pool of this process."""
