"""What a request needs: the model, the log to write, the log to read; opened once per process."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Awaitable
from typing import Any

from api import metrics
from api.auth.api_keys import Keyring, KeysError
from api.monitoring_gauges import LastPass
from api.server.load_shedding import LoadShedder
from api.wire.problems import FieldError, Problem
from db.audit.chain_heads import heads_file
from db.audit.seal_key import SealError, key_for
from db.engine import DatabaseUnavailable, check_file, connect
from db.reader.queries import Reader
from db.retention.delete_expired import Expiry
from db.rollups.rollup_worker import Roller
from db.writer.file_lock import LogTaken
from db.writer.writer import Log, LogUnavailable
from pipeline.model import Model, ModelError, load
from settings import Settings

logger = logging.getLogger("cardiowatch.api")

_RETRY_S = 1.0
"""Pause between two attempts to reach a database that is not there yet."""

_CHECK_S = 300.0
"""Longest look through a SQLite file at the start; some 300 MB a second."""

_READY_S = 2.0
"""Longest wait for the database's part of /readyz, which is asked every few seconds."""


class Service:
    """The parts that the routes put together, and their start and end."""

    def __init__(self, settings: Settings) -> None:
        self.model: Model = load(settings.model_dir)
        self.model_dir = settings.model_dir
        self.evidence: dict[str, Any] = json.loads(
            (settings.model_dir / "evidence.json").read_text("utf-8")
        )
        self.threshold = settings.threshold
        self.keys = Keyring(settings.keys_file) if settings.keys_file else None
        self.seal_key = key_for(settings.database_url, settings.log_hmac_key_file)
        self.key_rate = settings.key_rate
        self.log = Log(
            settings.database_url,
            queue_max=settings.log_queue_max,
            timeout_s=settings.log_timeout_s,
            key=self.seal_key,
            heads=heads_file(self.seal_key, settings.log_heads_file),
        )
        self.crowd = LoadShedder(max_age_s=settings.log_timeout_s / 4)
        self.reader = Reader(settings.database_url)
        self.last_pass = LastPass(self.reader)
        days = settings.retention_days
        expiry = None if days is None else Expiry(days, self.seal_key)
        self.roller = Roller(self.log.execute, settings.database_url, also=expiry)
        self._whole = connect(settings.database_url, read_only=True, answer_s=_CHECK_S)
        # A database that is silent is given up soon, or it would seem so long after it is back.
        self._probe = Reader(settings.database_url, answer_s=_READY_S)
        self._asking: asyncio.Task[None] | None = None
        self._checking: asyncio.Task[dict[str, str]] | None = None
        self.started = False
        self._starting: asyncio.Task[None] | None = None

    async def open(self) -> None:
        """Start the writer; a database that is not there yet is waited for, not ready meanwhile.

        Raises
        ------
        LogTaken
            Another process writes to the same SQLite file.
        SealError
            The log is sealed with a key that is not ours.
        """
        try:
            await self._start()
            return
        except (DatabaseUnavailable, LogUnavailable) as cause:
            logger.warning("not ready: %s", cause)
        self._starting = asyncio.create_task(self._keep_starting())

    async def close(self) -> None:
        """Commit what is queued and let go of the database."""
        if self._starting is not None:
            self._starting.cancel()
        await self.roller.stop()
        await self.log.stop()
        self.last_pass.close()
        self.reader.close()
        self._probe.close()

    async def _start(self) -> None:
        """Open the log, and put the scorecard beside the rows it will explain."""
        await asyncio.to_thread(check_file, self._whole)
        await self.log.start()
        await self.log.register_model(self.model.version, self.model.scorecard)
        self.roller.start()
        self.started = True

    async def _keep_starting(self) -> None:
        while True:
            await asyncio.sleep(_RETRY_S)
            try:
                await self._start()
                return
            except (DatabaseUnavailable, LogTaken, LogUnavailable, SealError) as cause:
                logger.warning("not ready: %s", cause)

    async def check_ready(self) -> dict[str, str]:
        """Ask the model's files, the keys, the database, and the writer for a real write.

        Who comes while others are being answered gets their answer: nobody needs a key to ask.

        Raises
        ------
        Problem
            503, naming what does not answer.
        """
        if self._checking is None or self._checking.done():
            self._checking = asyncio.create_task(self._check())
            self._checking.add_done_callback(_seen)
        return await asyncio.shield(self._checking)

    async def _check(self) -> dict[str, str]:
        questions: dict[str, Awaitable[object]] = {
            "model": asyncio.to_thread(load, self.model_dir),
            "database": self._ask_database(),
            "log": self._ask_log(),
        }
        if self.keys is not None:
            questions["keys"] = asyncio.to_thread(self.keys.check)
        answers = await asyncio.gather(*(_answers(name, q) for name, q in questions.items()))
        silent = [name for name, answered in zip(questions, answers, strict=True) if not answered]
        if silent:
            detail = f"Not ready: no answer from {', '.join(silent)}; the service's log says why."
            raise Problem(503, "not-ready", detail, headers={"Retry-After": "1"})
        return {"status": "ready", "model_version": self.model.version}

    async def _ask_database(self) -> None:
        """Ask as a reader does; while an earlier question waits for its answer, wait with it."""
        if self._asking is None or self._asking.done():
            self._asking = asyncio.create_task(asyncio.to_thread(self._probe.ping))
            self._asking.add_done_callback(_seen)
        await asyncio.wait_for(asyncio.shield(self._asking), _READY_S)

    async def _ask_log(self) -> None:
        if not self.started:
            raise LogUnavailable("the database has not answered yet")
        await self.log.ping()

    def require_started(self) -> None:
        """Raise the 503 while the log is not open, or its rows could not be explained later."""
        if not self.started:
            raise not_logged(LogUnavailable("the database has not answered yet"))

    def count_refusal(self, route: str, source: str, problem: Problem) -> None:
        """Count a refusal without its values, per field and reason."""
        metrics.rejection_counter(route, problem.status).inc()
        for error in problem.errors or [FieldError("", "", problem.slug)]:
            self.log.reject(
                route=route,
                status=problem.status,
                field=error.field,
                reason=error.reason,
                source=source,
            )


def _seen(asked: asyncio.Task[Any]) -> None:
    """Take note of how a question ended for which nobody waits any more."""
    if not asked.cancelled():
        asked.exception()


async def _answers(name: str, question: Awaitable[object]) -> bool:
    try:
        await question
    except TimeoutError:
        logger.warning("not ready: the %s did not answer within %g s", name, _READY_S)
        return False
    except (ModelError, KeysError, DatabaseUnavailable, LogUnavailable) as cause:
        logger.warning("not ready: the %s does not answer: %s", name, cause)
        return False
    return True


def not_logged(cause: LogUnavailable) -> Problem:
    """Return the 503 that says whether the row may nevertheless be in the log."""
    retry = {"Retry-After": str(cause.retry_after_s)}
    if cause.is_full:
        detail = "Too many rows wait to be logged already. Nothing was logged; try again."
        return Problem(503, "busy", detail, headers=retry)
    if cause.fate_unknown:
        return Problem(
            503,
            "log-fate-unknown",
            "The database did not confirm the row in time; it may or may not be in the log. "
            "Repeat the request with an Idempotency-Key to be sure of one row.",
            headers=retry,
        )
    return Problem(
        503,
        "log-unavailable",
        "The log cannot be written now, so no answer is given. Nothing was logged; try again.",
        headers=retry,
    )
