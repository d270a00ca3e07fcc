"""A worker feeds one replica: it takes a batch, computes it, settles its callers, and repeats."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING

import structlog

from valence_service.core.errors import ModelFailed, Unhealthy
from valence_service.core.sentiment import Answer, Timings
from valence_service.scheduler.canary import CANARY, ReplicaBroken
from valence_service.scheduler.queue import estimated_tokens
from valence_service.scheduler.recovery import Recovery
from valence_service.scheduler.replica import ReplicaHung
from valence_service.scheduler.warm_up import WarmUp

if TYPE_CHECKING:
    from collections.abc import Callable

    from valence_service.core.classifier import Classifier
    from valence_service.core.observer import Observer, TextCounters
    from valence_service.core.sentiment import Sentiment
    from valence_service.scheduler.backlog import Backlog
    from valence_service.scheduler.estimate import ThroughputEstimate
    from valence_service.scheduler.hang import HangLimit
    from valence_service.scheduler.queue import Job
    from valence_service.scheduler.replica import Computation, Replica

# How often a replica is asked the canary, busy or not.
CANARY_SECONDS = 60.0
CANARY_TOKENS = estimated_tokens(CANARY)
log = structlog.get_logger()


class _WrongCount(ValueError):
    """Nobody knows which answer belongs to which text, so none is given."""


class Worker:
    """Computes batches on one replica, and recovers the replica when it breaks or hangs."""

    def __init__(
        self,
        replica: Replica,
        backlog: Backlog,
        estimate: ThroughputEstimate,
        counters: TextCounters,
        observer: Observer,
        *,
        hang_limit: HangLimit,
        new_classifier: Callable[[], Classifier] | None,
        on_change: Callable[[], None],
    ) -> None:
        """Call on_change each time that the replica is set aside or recovered."""
        self.replica = replica
        self._backlog = backlog
        self._estimate = estimate
        self._counters = counters
        self._observer = observer
        self._hang_limit = hang_limit
        self._recovery = Recovery(
            replica, self.check, new_classifier, replace_seconds=hang_limit.max_seconds
        )
        self._on_change = on_change
        self._loop = asyncio.get_running_loop()
        self._batch: list[Job] = []
        self._warm_up: WarmUp | None = None
        self._check_timer: asyncio.TimerHandle | None = None
        self._schedule_check()

    async def run(self) -> None:
        """Compute batches until the queue is closed, and no text is left.

        A text that another worker computes is left: should its replica break, this one takes over.
        """
        queue = self._backlog.queue
        while self.replica.well or not queue.closed:
            if not self.replica.well:
                await self._recovery.run()
                self._on_change()
            # Others may have cleared the event that announced them, while this replica computed.
            if (self._warm_up is None or queue.closed) and not self._check_due:
                await queue.arrived.wait()
            if self._warm_up is not None and not queue.closed:
                warm_up, self._warm_up = self._warm_up, None
                with warm_up.settled():
                    warm_up.sentiments = await self._compute_warm_up(warm_up.texts)
                continue
            if self._check_due:
                with suppress(ReplicaBroken):
                    await self.check()
                continue
            await self._backlog.coalesce_arrivals()
            self._batch = self._backlog.next_batch()
            if self._batch:
                await self._process()
            elif queue.closed and self._backlog.idle:
                return

    async def check(self, *, limit_seconds: float | None = None) -> None:
        """Ask the replica the canary. Set it aside and raise ReplicaBroken if it is not well."""
        self._schedule_check()
        try:
            seconds = await self.replica.ask_canary(
                limit_seconds=limit_seconds or self._hang_limit.seconds_for(CANARY_TOKENS) / 2
            )
        except ReplicaBroken as broken:
            self.set_aside(broken)
            raise
        self._estimate.measured_single(CANARY_TOKENS, seconds)

    def cancel_check(self) -> None:
        """Wake no more for the canary."""
        if self._check_timer is not None:
            self._check_timer.cancel()

    async def warm_up(self, texts: list[str]) -> list[Sentiment]:
        """Compute and measure a batch that no client waits for, instead of the next batch.

        Set the replica aside and raise ReplicaBroken if it hangs or breaks. A model that fails on
        the batch alone is only logged, and nothing returned: such a batch will be split.
        """
        self._warm_up = warm_up = WarmUp(texts)
        self._backlog.queue.arrived.set()
        return await warm_up.done

    async def _compute_warm_up(self, texts: list[str]) -> list[Sentiment]:
        tokens = sum(map(estimated_tokens, texts))
        seconds = self._hang_limit.seconds_for(tokens)
        try:
            computation = await self.replica.compute(texts, limit_seconds=seconds, full_depth=True)
        except ReplicaHung as hung:
            self.set_aside(hung)
            raise ReplicaBroken(f"it hangs on a batch of {len(texts)} texts") from hung
        except Exception:
            log.exception("warm_up", hint="--max-batch-tokens may be more than the machine can do")
            await self.check()
            return []
        self._estimate.measured(tokens, computation.seconds)
        return computation.sentiments

    def set_aside(self, error: BaseException) -> None:
        """Give the replica no more batches until it is recovered."""
        if self.replica.well:
            self.replica.set_aside(str(error) or repr(error))
            log.error("replica_broken", reason=self.replica.trouble, exc_info=error.__cause__)
            self._on_change()

    def fail_batch(self, error: BaseException) -> None:
        """Fail the callers of the batch under way: an error of the worker ended it."""
        self._fail([job for job in self._batch if job.alive], error)
        self._end_batch()

    def _schedule_check(self) -> None:
        """Wake the worker when its canary is due. A timeout for each wait would cost more."""
        self.cancel_check()
        self._check_due = False
        self._check_timer = self._loop.call_later(CANARY_SECONDS, self._wake_to_check)

    def _wake_to_check(self) -> None:
        self._check_due = True
        self._backlog.queue.arrived.set()

    async def _process(self) -> None:
        """Compute the batch and settle it, whatever happens to the replica."""
        batch = self._batch
        try:
            await self._run([job for job in batch if job.alive])
        except ReplicaHung as hung:
            # The next replica might hang on it, too.
            self._backlog.fail(
                batch, Unhealthy("the model hung on the batch that this text was in")
            )
            self._end_batch()
            self.set_aside(hung)
        except ReplicaBroken:
            self._batch = []
            self._backlog.requeue(batch)
        else:
            self._end_batch()

    def _end_batch(self) -> None:
        batch, self._batch = self._batch, []
        self._backlog.settled(batch)

    async def _run(self, batch: list[Job]) -> None:
        """Compute a batch and settle it; if it fails, isolate the texts that fail.

        Raise ReplicaBroken or ReplicaHung if the replica fails; some callers are unsettled then.
        """
        try:
            await self._compute(batch)
        except ReplicaHung:
            raise
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
            except ReplicaHung:
                raise
            except Exception as half_error:
                await self._isolate(alive, half_error)

    async def _compute(self, batch: list[Job]) -> None:
        """Compute a batch and settle it. Raise whatever the model raises, or _WrongCount."""
        if not batch:
            return
        tokens = sum(job.tokens for job in batch)
        computation = await self.replica.compute(
            [job.text for job in batch], limit_seconds=self._hang_limit.seconds_for(tokens) / 2
        )
        if len(computation.sentiments) != len(batch):
            raise _WrongCount(f"{len(computation.sentiments)} results for {len(batch)} texts")
        self._estimate.measured(tokens, computation.seconds)
        self._settle(batch, computation)

    def _settle(self, batch: list[Job], computation: Computation) -> None:
        waits = [computation.started - job.queued_at for job in batch]
        for job, sentiment, wait in zip(batch, computation.sentiments, waits, strict=True):
            if job.alive:
                timings = Timings(wait, computation.seconds, queued_at=job.queued_at)
                job.future.set_result(Answer(sentiment, timings))
                self._counters.answered += 1
            else:
                self._counters.wasted += 1
        self._observer.computed(waits, computation.seconds)

    def _fail(self, batch: list[Job], cause: BaseException) -> None:
        self._counters.failed += len(batch)
        for job in batch:
            job.fail(_model_failed(cause))


def _model_failed(cause: BaseException) -> ModelFailed:
    error = ModelFailed("the model failed on this text")
    error.__cause__ = cause
    return error
