"""A worker feeds one replica: it takes a batch, computes it, settles its callers, and repeats."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING

import structlog

from valence_service.core.clock import now
from valence_service.core.errors import ModelFailed
from valence_service.core.sentiment import Answer, Timings
from valence_service.scheduler.canary import ReplicaBroken

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from valence_service.core.observer import Observer, TextCounters
    from valence_service.core.sentiment import Sentiment
    from valence_service.scheduler.backlog import Backlog
    from valence_service.scheduler.estimate import ThroughputEstimate
    from valence_service.scheduler.queue import Job
    from valence_service.scheduler.replica import Replica

# The time between two attempts to recover a broken replica.
RECOVERY_SECONDS = 1.0
log = structlog.get_logger()


class _WrongCount(ValueError):
    """Nobody knows which answer belongs to which text, so none is given."""


class Worker:
    """Computes batches on one replica, and recovers the replica when it breaks."""

    def __init__(
        self,
        replica: Replica,
        backlog: Backlog,
        estimate: ThroughputEstimate,
        counters: TextCounters,
        observer: Observer,
        *,
        orphan: Callable[[list[Job]], None],
        closing: asyncio.Event,
    ) -> None:
        """Call orphan with each batch that the replica leaves uncomputed when it breaks."""
        self.replica = replica
        self._backlog = backlog
        self._estimate = estimate
        self._counters = counters
        self._observer = observer
        self._orphan = orphan
        self._closing = closing

    async def run(self) -> None:
        """Compute batches until the queue is closed and empty."""
        queue = self._backlog.queue
        while True:
            await queue.arrived.wait()
            await self._backlog.coalesce_arrivals()
            batch = self._backlog.next_batch()
            if batch:
                try:
                    await self._run([job for job in batch if job.alive])
                    self._backlog.settled(batch)
                except ReplicaBroken as broken:
                    log.error("replica_broken", reason=str(broken), exc_info=broken.__cause__)
                    self.replica.broken = True
                    self._orphan(batch)
                    await self._recover()
            if queue.closed and (self.replica.broken or not batch):
                return

    async def check(self) -> None:
        """Ask the replica the canary. Raise ReplicaBroken."""
        self._estimate.measured_single(await self.replica.ask_canary())

    async def _run(self, batch: list[Job]) -> None:
        """Compute a batch and settle it; if it fails, isolate the texts that fail.

        Raise ReplicaBroken if the replica fails; its callers are unsettled then.
        """
        try:
            await self._compute(batch)
        except Exception as error:
            # The texts or the replica? A harmless text tells, once for each batch that fails.
            await self.check()
            await self._isolate(batch, error)

    async def _isolate(self, batch: list[Job], error: Exception) -> None:
        """Split a batch that failed until each failing text is isolated, and fail these."""
        if len(batch) == 1 or isinstance(error, _WrongCount):
            self._fail(batch, error)
            return
        middle = len(batch) // 2
        for half in (batch[:middle], batch[middle:]):
            alive = [job for job in half if job.alive]
            try:
                await self._compute(alive)
            except Exception as half_error:
                await self._isolate(alive, half_error)

    async def _compute(self, batch: list[Job]) -> None:
        """Compute a batch and settle it. Raise whatever the model raises, or _WrongCount."""
        if not batch:
            return
        started = now()
        sentiments = await self.replica.compute([job.text for job in batch])
        if len(sentiments) != len(batch):
            raise _WrongCount(f"{len(sentiments)} results for {len(batch)} texts")
        self._settle(batch, sentiments, started)

    def _settle(self, batch: list[Job], sentiments: Sequence[Sentiment], started: float) -> None:
        seconds = now() - started
        self._estimate.measured(sum(job.tokens for job in batch), seconds)
        waits = [started - job.queued_at for job in batch]
        for job, sentiment, wait in zip(batch, sentiments, waits, strict=True):
            if job.alive:
                timings = Timings(wait, seconds, queued_at=job.queued_at)
                job.future.set_result(Answer(sentiment, timings))
                self._counters.answered += 1
            else:
                self._counters.wasted += 1
        self._observer.computed(waits, seconds)

    def _fail(self, batch: list[Job], cause: Exception) -> None:
        self._counters.failed += len(batch)
        for job in batch:
            job.fail(_model_failed(cause))

    async def _recover(self) -> None:
        """Ask the canary again and again, until it is answered or the batcher closes."""
        while self.replica.broken and not self._closing.is_set():
            with suppress(TimeoutError):
                await asyncio.wait_for(self._closing.wait(), RECOVERY_SECONDS)
                return
            self.replica.renew_thread()
            with suppress(ReplicaBroken):
                await self.check()
                self.replica.broken = False
                log.warning("replica_well")


def _model_failed(cause: Exception) -> ModelFailed:
    error = ModelFailed("the model failed on this text")
    error.__cause__ = cause
    return error
