"""Batches concurrent requests: texts in, answers out.

Batches form greedily, without a timer: an idle worker takes what is there at once, and texts that
arrive while all workers compute form the next batches.

Invariants: every caller is settled exactly once, with an answer, an error or its own cancellation;
no caller affects another; the queue never exceeds its bound; after ``close`` nothing is pending.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from valence_service.core.errors import Draining, Unhealthy
from valence_service.core.observer import NoObserver, Observer, TextCounters
from valence_service.scheduler.admission import Admission
from valence_service.scheduler.backlog import Backlog
from valence_service.scheduler.canary import Canary
from valence_service.scheduler.estimate import ThroughputEstimate
from valence_service.scheduler.queue import Flow, Job, Queue, estimated_tokens
from valence_service.scheduler.replica import Replica
from valence_service.scheduler.worker import Worker

if TYPE_CHECKING:
    from collections.abc import Sequence

    from valence_service.core.classifier import Classifier
    from valence_service.core.sentiment import Answer


class Batcher:
    """Classifies texts together. All methods belong to one event loop."""

    def __init__(
        self,
        classifiers: Sequence[Classifier],
        *,
        max_batch_texts: int,
        max_batch_tokens: int,
        max_queue_texts: int,
        canary: Canary | None = None,
        observer: Observer | None = None,
    ) -> None:
        """Start a worker for each classifier."""
        self.counters = TextCounters()
        self._max_text_tokens = classifiers[0].info.max_tokens
        self._max_queue_texts = max_queue_texts
        self._loop = asyncio.get_running_loop()
        canary = canary or Canary()
        self._replicas = [Replica(classifier, canary) for classifier in classifiers]
        estimate = ThroughputEstimate(len(classifiers))
        self._queue = Queue(max_texts=max_queue_texts, counters=self.counters)
        self._backlog = Backlog(
            self._queue,
            estimate,
            max_batch_texts=max_batch_texts,
            max_batch_tokens=max_batch_tokens,
        )
        self._admission = Admission(
            self._backlog, estimate, self._replicas, max_queue_texts=max_queue_texts
        )
        self._closing = asyncio.Event()
        self._workers = [
            Worker(
                replica,
                self._backlog,
                estimate,
                self.counters,
                observer or NoObserver(),
                orphan=self._orphan,
                closing=self._closing,
            )
            for replica in self._replicas
        ]
        self._tasks = [self._loop.create_task(worker.run()) for worker in self._workers]

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
        return len(self._replicas)

    @property
    def broken_replicas(self) -> int:
        """Number of replicas that no longer answer the canary."""
        return sum(replica.broken for replica in self._replicas)

    @property
    def tokens(self) -> tuple[int, int]:
        """Tokens that the model has been given so far: of texts, and of padding."""
        counts = [replica.classifier.tokens for replica in self._replicas]
        return sum(count.texts for count in counts), sum(count.padding for count in counts)

    @property
    def idle(self) -> bool:
        """Whether no text waits or is being computed."""
        return self._backlog.idle

    @property
    def stalled_seconds(self) -> float:
        """Seconds since the start of the longest computation under way."""
        started = [since for replica in self._replicas for since in replica.computing_since]
        return self._loop.time() - min(started) if started else 0.0

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

    async def check_replicas(self) -> None:
        """Ask every replica the canary. Raise ReplicaBroken."""
        checks = [worker.check() for worker in self._workers]
        for outcome in await asyncio.gather(*checks, return_exceptions=True):
            if outcome is not None:
                raise outcome

    def fail_all(self, error: Exception) -> None:
        """End the wait of every caller, of texts that are being computed too."""
        self._backlog.fail_all(error)

    async def close(self, *, timeout_seconds: float) -> bool:
        """Take nothing more, wait for what is queued, then fail what is left with Draining.

        Return whether every thread ended in time. A thread that did not is abandoned.
        """
        self._closing.set()
        self._queue.close()
        _, late = await asyncio.wait(self._tasks, timeout=timeout_seconds)
        self.fail_all(Draining("the server is ending"))
        self._backlog.forget_running()
        for task in late:
            task.cancel()
        await asyncio.gather(*late, return_exceptions=True)
        for replica in self._replicas:
            replica.end_thread()
        for task in self._tasks:
            if not task.cancelled():
                task.result()  # a fault of the scheduler itself must not go unseen
        return not any(task.cancelled() for task in self._tasks)

    def _job(self, text: str, deadline: float | None, flow: Flow, **kind: bool) -> Job:
        tokens = min(estimated_tokens(text), self._max_text_tokens)
        return Job(text, deadline, self._loop.create_future(), tokens, flow, **kind)

    def _check_open(self) -> None:
        if self._queue.closed:
            raise Draining("the server is ending")
        if self.broken_replicas == len(self._replicas):
            raise Unhealthy("the model no longer answers")

    def _orphan(self, batch: list[Job]) -> None:
        """Let another worker compute the batch of a broken replica, if a replica is left."""
        if self.broken_replicas < len(self._replicas):
            self._backlog.requeue(batch)
        else:
            self.fail_all(Unhealthy("the model no longer answers"))
            self._backlog.forget_running()
