"""All texts that have no answer yet: those in the queue, and those in a batch."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING

from valence_service.core.errors import Unhealthy

if TYPE_CHECKING:
    from collections.abc import Iterable

    from valence_service.core.observer import TextCounters
    from valence_service.scheduler.estimate import ThroughputEstimate
    from valence_service.scheduler.queue import Job, Queue


class Backlog:
    """Hand out batches to the workers, and keep count of what they compute."""

    def __init__(
        self,
        queue: Queue,
        estimate: ThroughputEstimate,
        counters: TextCounters,
        *,
        max_batch_texts: int,
        max_batch_tokens: int,
    ) -> None:
        """Form batches within both bounds from the texts in the queue."""
        self.queue = queue
        self.running_tokens = 0
        """Tokens of the batches that workers compute, by estimate."""
        self.batches = 0
        """Number of batches that were taken from the queue so far."""
        self._estimate = estimate
        self._counters = counters
        self._max_batch_texts = max_batch_texts
        self._max_batch_tokens = max_batch_tokens
        self._running: set[Job] = set()
        # Batches whose replica broke: another worker takes them before the queue.
        self._orphaned: deque[list[Job]] = deque()

    @property
    def idle(self) -> bool:
        """Whether no text waits or is being computed."""
        return not self.queue and not self._running

    async def coalesce_arrivals(self) -> None:
        """While other workers compute, let the loop bring in the calls that arrive together.

        Clients whose answers came together call again together, and the loop takes a turn for each
        of these calls. A batch that began with the first would leave the rest to wait for it.
        """
        seen = 0
        while self._running and seen < len(self.queue) < self._max_batch_texts:
            seen = len(self.queue)
            await asyncio.sleep(0)

    def next_batch(self) -> list[Job]:
        """Take the texts to compute next, longest first; an empty list if none waits."""
        if self._orphaned:
            return self._orphaned.popleft()
        max_tokens = float(self._max_batch_tokens)
        if self.queue.singles_meet_many:
            # A call of one text waits for the batch that computes, so the batch is kept short.
            max_tokens = min(
                max_tokens, self._estimate.tokens_in(2 * self._estimate.single_seconds)
            )
        batch = self.queue.next_batch(
            max_texts=self._max_batch_texts,
            max_tokens=max_tokens,
            batch_seconds=self._estimate.batch_seconds,
        )
        if batch:
            self.batches += 1
            self._set_running(self._running.union(batch))
        elif self._running and not self.queue:
            # A closed queue keeps the event set, but the worker waits for the others' end.
            self.queue.arrived.clear()
        return batch

    def settled(self, batch: list[Job]) -> None:
        """Forget a batch: each of its callers has an answer or an error, or has left."""
        self._set_running(self._running.difference(batch))

    def requeue(self, batch: list[Job]) -> None:
        """Give a batch whose replica broke to another worker, once.

        A text that breaks every replica must not reach all of them.
        """
        again = [job for job in batch if job.alive and not job.requeued]
        for job in batch:
            job.requeued = True
        self.fail(
            set(batch).difference(again),
            Unhealthy("two replicas of the model broke while they computed this text"),
        )
        self._set_running(self._running.difference(batch).union(again))
        if again:
            self._orphaned.append(again)
            self.queue.arrived.set()

    def fail(self, batch: Iterable[Job], error: Exception) -> None:
        """Fail the callers of a batch that nothing will settle, and count its texts."""
        for job in batch:
            self._counters.failed += job.alive
            job.fail(error)

    def fail_all(self, error: Exception) -> None:
        """End the wait of every caller, of texts that are being computed too."""
        self.queue.fail(error)
        for job in self._running:
            job.fail(error)

    def abandon(self, error: Exception) -> None:
        """Fail every caller: no worker will settle the texts."""
        self.fail(self._running, error)
        self.queue.fail(error)
        self._orphaned.clear()
        self._set_running(set())

    def _set_running(self, jobs: set[Job]) -> None:
        self._running = jobs
        # Every admission reads the sum, so it is made where it changes.
        self.running_tokens = sum(job.tokens for job in jobs)
        if self.queue.closed and not jobs:
            self.queue.arrived.set()  # the other workers may end
