"""What requests need: the model, the log's writer, its reader; opened once per process."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Awaitable
from typing import Any

from api import metrics
from api.auth.api_keys import ApiKeys, KeysFileError
from api.monitoring_gauges import MonitoringGauges
from api.server.load_shedding import LoadShedder
from api.wire.problems import FieldError, Problem, unavailable
from db.audit.catalogue import check_catalogue
from db.audit.chain_heads import heads_path
from db.audit.seal_key import SealError, load_key
from db.engine import DatabaseUnavailable, check_integrity, durability_warning, open_engine
from db.reader.queries import Reader
from db.retention.delete_expired import RetentionTask
from db.rollups.rollup_worker import RollupWorker
from db.writer.file_lock import LogLocked
from db.writer.writer import LogUnavailable, LogWriter
from pipeline.model import Model, ModelError, load
from pipeline.model.reference import read_population
from settings import Settings

logger = logging.getLogger("cardiowatch.api")

_RETRY_S = 1.0
"""Pause between two attempts to reach a missing database."""

_CHECK_S = 300.0
"""Longest integrity check of a SQLite file at the start; some 300 MB a second."""

_READY_S = 2.0
"""Longest wait for the database in /readyz and /metrics, which are called every few seconds."""


class Service:
    """What the routes work with, and its start and end."""

    def __init__(self, settings: Settings) -> None:
        self.model: Model = load(settings.model_dir)
        self.model_dir = settings.model_dir
        self.evidence: dict[str, Any] = json.loads(
            (settings.model_dir / "evidence.json").read_text("utf-8")
        )
        self.population = read_population(settings.model_dir, self.model.version, self.evidence)
        self.threshold = settings.threshold
        self.keys = ApiKeys(settings.keys_file) if settings.keys_file else None
        self.seal_key = load_key(settings.database_url, settings.log_hmac_key_file)
        self.rate_per_key = settings.key_rate
        self.writer = LogWriter(
            settings.database_url,
            queue_max=settings.log_queue_max,
            timeout_s=settings.log_timeout_s,
            key=self.seal_key,
            heads_path=heads_path(self.seal_key, settings.log_heads_file),
        )
        self.load_shedder = LoadShedder(max_age_s=settings.log_timeout_s / 4)
        self.reader = Reader(settings.database_url)
        days = settings.retention_days
        expiry = None if days is None else RetentionTask(days, self.seal_key)
        self.rollup_worker = RollupWorker(self.writer.execute, settings.database_url, then=expiry)
        self._integrity_engine = open_engine(
            settings.database_url, read_only=True, timeout_s=_CHECK_S
        )
        # A silent database is given up soon, or it would seem silent long after it is back.
        self._probe = Reader(settings.database_url, timeout_s=_READY_S)
        self.monitoring_gauges = MonitoringGauges(self._probe)
        self._ping_task: asyncio.Task[None] | None = None
        self._check_task: asyncio.Task[dict[str, str]] | None = None
        self.started = False
        self._start_task: asyncio.Task[None] | None = None

    async def open(self) -> None:
        """Start the writer, or keep trying while the database is missing; not ready until then.

        Raises
        ------
        LogTaken
            Another process is writing to the same SQLite file.
        SealError
            The log is sealed with a key that is not ours.
        """
        try:
            await self._start()
            return
        except (DatabaseUnavailable, LogUnavailable) as cause:
            logger.warning("not ready: %s", cause)
        self._start_task = asyncio.create_task(self._keep_starting())

    async def close(self) -> None:
        """Commit what is queued and close the database."""
        if self._start_task is not None:
            self._start_task.cancel()
        await self.rollup_worker.stop()
        await self.writer.stop()
        self.reader.close()
        self._probe.close()

    async def _start(self) -> None:
        """Start the writer, and store the scorecard that explains its rows."""
        await asyncio.to_thread(check_integrity, self._integrity_engine)
        await asyncio.to_thread(check_catalogue, self._integrity_engine)
        if warning := await asyncio.to_thread(durability_warning, self._integrity_engine):
            logger.warning("%s", warning)
        self._integrity_engine.dispose()
        await self.writer.start()
        await self.writer.register_model(self.model.version, self.model.scorecard)
        self.rollup_worker.start()
        self.started = True

    async def _keep_starting(self) -> None:
        while True:
            await asyncio.sleep(_RETRY_S)
            try:
                await self._start()
                return
            except (DatabaseUnavailable, LogLocked, LogUnavailable, SealError) as cause:
                logger.warning("not ready: %s", cause)

    async def check_ready(self) -> dict[str, str]:
        """Check the model's files, the keys and the database, and make the writer really write.

        Concurrent calls share one check, because they need no key.

        Raises
        ------
        Problem
            503, naming what did not respond.
        """
        if self._check_task is None or self._check_task.done():
            self._check_task = asyncio.create_task(self._check())
            self._check_task.add_done_callback(_retrieve_exception)
        return await asyncio.shield(self._check_task)

    async def _check(self) -> dict[str, str]:
        checks: dict[str, Awaitable[object]] = {
            "model": asyncio.to_thread(load, self.model_dir),
            "database": self._ping_database(),
            "log": self._ping_writer(),
        }
        if self.keys is not None:
            checks["keys"] = asyncio.to_thread(self.keys.check)
        results = await asyncio.gather(*(_succeeds(name, check) for name, check in checks.items()))
        failed = [name for name, succeeded in zip(checks, results, strict=True) if not succeeded]
        if failed:
            names = ", ".join(failed)
            raise unavailable(
                "not-ready", f"Not ready: {names} did not respond; see the service log."
            )
        return {"status": "ready", "model_version": self.model.version}

    async def _ping_database(self) -> None:
        """Query the database as a reader does; concurrent calls share one query."""
        if self._ping_task is None or self._ping_task.done():
            self._ping_task = asyncio.create_task(asyncio.to_thread(self._probe.ping))
            self._ping_task.add_done_callback(_retrieve_exception)
        await asyncio.wait_for(asyncio.shield(self._ping_task), _READY_S)

    async def _ping_writer(self) -> None:
        if not self.started:
            raise LogUnavailable("not connected to the database yet")
        await self.writer.ping()

    def count_rejection(self, route: str, source: str, problem: Problem) -> None:
        """Count a rejected request per field and reason, without its values."""
        metrics.rejection_counter(route, problem.status).inc()
        for error in problem.errors or [FieldError("", "", problem.slug)]:
            where = {"route": route, "field": error.field, "source": source}
            self.writer.count_rejection(**where, status=problem.status, reason=error.reason)


def _retrieve_exception(task: asyncio.Task[Any]) -> None:
    """Mark the exception of a task that nobody awaits any more as retrieved."""
    if not task.cancelled():
        task.exception()


async def _succeeds(name: str, check: Awaitable[object]) -> bool:
    try:
        await check
    except TimeoutError:
        logger.warning("not ready: the %s did not respond within %g s", name, _READY_S)
        return False
    except (ModelError, KeysFileError, DatabaseUnavailable, LogUnavailable) as cause:
        logger.warning("not ready: the %s check failed: %s", name, cause)
        return False
    return True


def log_problem(cause: LogUnavailable) -> Problem:
    """Return the 503 for a log that is unavailable; it says whether the row may be logged."""
    if cause.queue_full:
        detail = "The write queue is full. Nothing was logged; try again."
        return unavailable("busy", detail)
    if cause.commit_unknown:
        detail = (
            "The database did not confirm the commit in time; the row may or may not be logged. "
            "Retry with an Idempotency-Key to get exactly one row."
        )
        return unavailable("log-fate-unknown", detail)
    detail = "The log is unavailable, so no prediction is returned. Nothing was logged; try again."
    return unavailable("log-unavailable", detail)
