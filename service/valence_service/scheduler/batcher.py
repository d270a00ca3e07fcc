"""Batches concurrent requests: texts in, answers out.

Batches form greedily, without a timer: an idle worker takes what is there at once, and texts that
arrive while all workers compute form the next batches.

Invariants: every caller is settled exactly once, with an answer, an error or its own cancellation;
no caller affects another; the queue never exceeds its bound; after ``close`` nothing is pending.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from valence_service.core.classifier import TokenCount
from valence_service.core.errors import Draining, Unhealthy
from valence_service.core.observer import NoObserver, Observer, TextCounters
from valence_service.scheduler.admission import Admission
from valence_service.scheduler.backlog import Backlog
from valence_service.scheduler.canary import Canary
from valence_service.scheduler.estimate import ThroughputEstimate
from valence_service.scheduler.pool import ReplicaPool
from valence_service.scheduler.queue import Flow, Job, Queue, estimated_tokens
from valence_service.scheduler.warm_up import largest_batch

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from valence_service.core.classifier import Classifier
    from valence_service.core.sentiment import Answer, Sentiment


class Batcher:
    """Classifies texts together. All methods belong to one event loop."""

    def __init__(
        self,
        classifiers: Sequence[Classifier],
        *,
        max_batch_texts: int,
        max_batch_tokens: int,
        max_queue_texts: int,
        hang_seconds: float = 60.0,
        new_classifier: Callable[[], Classifier] | None = None,
        canary: Canary | None = None,
        observer: Observer | None = None,
    ) -> None:
        """Start a worker for each classifier.

        A replica that takes too long for a batch is set aside, and replaced by a classifier that
        new_classifier makes (see LoadedModel). It may take half of hang_seconds, or four times
        what the throughput foresees for the batch, whichever is more.
        """
        self.counters = TextCounters()
        self._condemned = ""
        self._max_text_tokens = classifiers[0].info.max_tokens
        self._max_queue_texts = max_queue_texts
        self._largest_batch = largest_batch(
            max_batch_texts=max_batch_texts,
            max_batch_tokens=max_batch_tokens,
            max_text_tokens=self._max_text_tokens,
        )
        self._loop = asyncio.get_running_loop()
        self._queue = Queue(max_texts=max_queue_texts, counters=self.counters)
        estimate = ThroughputEstimate(len(classifiers))
        self._backlog = Backlog(
            self._queue,
            estimate,
            self.counters,
            max_batch_texts=max_batch_texts,
            max_batch_tokens=max_batch_tokens,
        )
        self._pool = ReplicaPool(
            classifiers,
            self._backlog,
            estimate,
            counters=self.counters,
            observer=observer or NoObserver(),
            canary=canary or Canary(),
            hang_seconds=hang_seconds,
            new_classifier=new_classifier,
        )
        self._admission = Admission(
            self._backlog, estimate, self._pool, max_queue_texts=max_queue_texts
        )

    @property
    def queued_texts(self) -> int:
        """Texts that wait for a worker."""
        return len(self._queue)

    @property
    def queued_tokens(self) -> int:
        """Tokens of these texts, by estimate."""
        return self._queue.tokens

    @property
    def max_queue_texts(self) -> int:
        """The most texts that may wait."""
        return self._max_queue_texts

    @property
    def replicas(self) -> int:
        """Number of replicas."""
        return len(self._pool.replicas)

    @property
    def broken_replicas(self) -> int:
        """Number of replicas that are set aside: they hang, or do not answer the canary."""
        return self._pool.broken

    @property
    def broken_seconds(self) -> float:
        """Seconds since the first replica of those set aside was."""
        return self._pool.broken_seconds

    @property
    def trouble(self) -> str:
        """Why no text can be computed; empty while a replica is well."""
        return self._condemned or self._pool.trouble

    @property
    def health_changed(self) -> asyncio.Event:
        """Set each time that a replica is set aside or recovered. For the monitor to clear."""
        return self._pool.health_changed

    @property
    def abandoned_threads(self) -> int:
        """Number of threads that are stuck in a classifier that has been replaced."""
        return sum(replica.abandoned_threads for replica in self._pool.replicas)

    @property
    def tokens(self) -> TokenCount:
        """What the model has computed so far."""
        return sum((replica.tokens for replica in self._pool.replicas), TokenCount())

    @property
    def idle(self) -> bool:
        """Whether no text waits or is being computed."""
        return self._backlog.idle

    @property
    def forecast_wait_seconds(self) -> float:
        """How long the last text in the queue will wait, by estimate."""
        return self._admission.forecast_wait_seconds

    @property
    def utilization(self) -> float:
        """How loaded the replicas are: their busy share, and more the longer texts wait."""
        return self._admission.utilization

    @property
    def blocked(self) -> bool:
        """Whether texts wait although a replica is free to compute them."""
        return bool(self._queue) and self._pool.free

    @property
    def batches(self) -> int:
        """Number of batches that were taken from the queue so far."""
        return self._backlog.batches

    def check_admission(self, texts: int = 1, tokens: int = 0, *, deadline: float | None) -> None:
        """Raise Overloaded if so many texts have no room, or would not be answered in time.

        Raise DeadlinePassed if the deadline has passed already.
        """
        self._admission.check(texts, tokens, deadline=deadline)

    def submit(
        self, texts: Sequence[str], *, deadline: float | None = None
    ) -> list[asyncio.Future[Answer]]:
        """Queue all texts or none, and return a future for each, in order.

        ``deadline`` is in seconds of the event loop's clock. To leave, cancel the future.
        Raise Overloaded, DeadlinePassed, Draining or Unhealthy. A future ends with an answer, or
        with DeadlinePassed, ModelFailed, Draining or Unhealthy.
        """
        self._check_open()
        flow = Flow()
        jobs = [self._job(text, deadline, flow, single=len(texts) == 1) for text in texts]
        self.check_admission(len(jobs), sum(job.tokens for job in jobs), deadline=deadline)
        for job in jobs:
            self._queue.put(job)
        return [job.future for job in jobs]

    async def submit_wait(
        self, text: str, flow: Flow, *, deadline: float | None = None
    ) -> asyncio.Future[Answer]:
        """Queue one text of a call as soon as the queue has room.

        Callers are served in order of arrival, and never Overloaded. Together they take half of
        the queue at most. Raise Draining or Unhealthy.
        """
        self._check_open()
        job = self._job(text, deadline, flow, backpressured=True)
        if self._queue.room_for_backpressured:
            self._queue.put(job)
        else:
            await self._queue.put_when_room(job)
        return job.future

    async def check_replicas(self, *, limit_seconds: float | None = None) -> None:
        """Ask every replica the canary, and set aside those that do not answer it.

        Raise ReplicaBroken for the first of these; its cause is ReplicaHung if the answer has not
        come within the limit, which is half of hang_seconds unless given.
        """
        await self._pool.check(limit_seconds=limit_seconds)

    async def warm_up(self, *, one_by_one: bool = False) -> None:
        """Compute the largest batch on every replica through every layer, and measure it.

        One by one leaves the other replicas to the calls that come meanwhile. No text is refused
        for its deadline until the end. Raise ReplicaBroken if a replica breaks or hangs on it.
        """
        await self._pool.warm_up(self._largest_batch, one_by_one=one_by_one)

    async def compute_apart(self, texts: list[str]) -> list[Sentiment]:
        """Return the sentiments of a batch that no client waits for; none where the model fails.

        The same replica computes each such batch. Raise ReplicaBroken if it breaks or hangs on it.
        """
        return await self._pool.compute_apart(texts)

    def condemn(self, trouble: str) -> None:
        """Compute no more texts: the model answers, and its answers are wrong."""
        self._condemned = trouble
        self.health_changed.set()

    def fail_all(self, error: Exception) -> None:
        """End the wait of every caller, of texts that are being computed too."""
        self._backlog.fail_all(error)

    async def close(self, *, timeout_seconds: float) -> bool:
        """Take nothing more, wait for what is queued, then fail what is left with Draining.

        Return whether every thread ended in time. A thread that did not is abandoned.
        """
        self._queue.close()
        return await self._pool.close(timeout_seconds=timeout_seconds)

    def _job(self, text: str, deadline: float | None, flow: Flow, **kind: bool) -> Job:
        tokens = min(estimated_tokens(text), self._max_text_tokens)
        return Job(text, deadline, self._loop.create_future(), tokens, flow, **kind)

    def _check_open(self) -> None:
        if self._queue.closed:
            raise Draining("the server is ending")
        if self.trouble:
            raise Unhealthy("the model no longer answers")
