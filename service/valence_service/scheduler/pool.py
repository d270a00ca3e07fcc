"""The replicas and their workers: their health, restarts and end."""

from __future__ import annotations

import asyncio
import functools
from typing import TYPE_CHECKING

import structlog

from valence_service.core.errors import Draining, Unhealthy
from valence_service.scheduler.hang import HangLimit
from valence_service.scheduler.replica import Replica
from valence_service.scheduler.worker import Worker

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterable, Sequence

    from valence_service.core.classifier import Classifier
    from valence_service.core.observer import Observer, TextCounters
    from valence_service.core.sentiment import Sentiment
    from valence_service.scheduler.backlog import Backlog
    from valence_service.scheduler.canary import Canary
    from valence_service.scheduler.estimate import ThroughputEstimate

log = structlog.get_logger()


class ReplicaPool:
    """Runs a worker for each replica. All methods belong to one event loop."""

    def __init__(
        self,
        classifiers: Sequence[Classifier],
        backlog: Backlog,
        estimate: ThroughputEstimate,
        *,
        counters: TextCounters,
        observer: Observer,
        canary: Canary,
        hang_seconds: float,
        new_classifier: Callable[[], Classifier] | None,
    ) -> None:
        """Start a worker for each classifier, on the same backlog."""
        self.health_changed = asyncio.Event()
        """Set each time that a replica is set aside or recovered. For the monitor to clear."""
        self.replicas = [Replica(classifier, canary) for classifier in classifiers]
        self._backlog = backlog
        self._estimate = estimate
        self._loop = asyncio.get_running_loop()
        hang_limit = HangLimit(hang_seconds, estimate)
        workers = [
            Worker(
                replica,
                backlog,
                estimate,
                counters,
                observer,
                hang_limit=hang_limit,
                new_classifier=new_classifier,
                on_change=self._replica_changed,
            )
            for replica in self.replicas
        ]
        self._tasks = {worker: self._start(worker) for worker in workers}

    @property
    def broken(self) -> int:
        """Number of replicas that are set aside: they hang, or do not answer the canary."""
        return sum(not replica.well for replica in self.replicas)

    @property
    def broken_seconds(self) -> float:
        """Seconds that the replica longest set aside has been out."""
        times = [replica.set_aside_at for replica in self.replicas if not replica.well]
        return self._loop.time() - min(times) if times else 0.0

    @property
    def trouble(self) -> str:
        """Why no text can be computed; empty while a replica is well."""
        troubles = [replica.trouble for replica in self.replicas]
        return "" if "" in troubles else troubles[0]

    @property
    def busy_share(self) -> float:
        """The share of the replicas that compute, or are set aside."""
        return sum(not replica.free for replica in self.replicas) / len(self.replicas)

    @property
    def free(self) -> bool:
        """Whether a replica is well and computes nothing."""
        return any(replica.free for replica in self.replicas)

    async def check(self, *, limit_seconds: float | None) -> None:
        """Ask every replica the canary. Raise ReplicaBroken."""
        await _all(worker.check(limit_seconds=limit_seconds) for worker in self._tasks)

    async def warm_up(self, texts: list[str], *, one_by_one: bool) -> None:
        """Let every replica compute a batch, at the same time or not. Raise ReplicaBroken."""
        self._estimate.warming_up = True
        try:
            if one_by_one:
                for worker in self._tasks:
                    await worker.warm_up(texts)
            else:
                await _all(worker.warm_up(texts) for worker in self._tasks)
        finally:
            self._estimate.warming_up = False

    async def compute_apart(self, texts: list[str]) -> list[Sentiment]:
        """Let a replica compute a batch instead of its next one. Raise ReplicaBroken."""
        return await next(iter(self._tasks)).warm_up(texts)

    async def close(self, *, timeout_seconds: float) -> bool:
        """Let the workers empty the closed queue, then fail what is left with Draining.

        Return whether every thread ended in time. A thread that did not is abandoned.
        """
        tasks = self._tasks.values()
        for worker, task in self._tasks.items():
            if not worker.replica.well:
                task.cancel()  # it would wait for the replica to recover
        _, late = await asyncio.wait(tasks, timeout=timeout_seconds)
        self._backlog.abandon(Draining("the server is ending"))
        for task in late:
            task.cancel()
        await asyncio.gather(*late, return_exceptions=True)
        for replica in self.replicas:
            replica.end_thread()
        for task in tasks:
            if not task.cancelled():
                task.result()  # a fault of the scheduler itself must not go unseen
        return not any(replica.stuck for replica in self.replicas)

    def _start(self, worker: Worker) -> asyncio.Task[None]:
        task = self._loop.create_task(worker.run())
        task.add_done_callback(functools.partial(self._worker_ended, worker))
        return task

    def _worker_ended(self, worker: Worker, task: asyncio.Task[None]) -> None:
        """Notice a worker that ends before the queue closes: its callers would wait for ever."""
        worker.cancel_check()
        if self._backlog.queue.closed:
            return
        if task.cancelled():
            error: BaseException = asyncio.CancelledError("its task was cancelled")
        else:
            error = task.exception() or RuntimeError("its task ended")
        log.critical("worker_failed", exc_info=error)
        worker.fail_batch(error)
        worker.set_aside(error)
        # A task is cancelled where the loop ends: a new one would be left over.
        if not task.cancelled():
            self._tasks[worker] = self._start(worker)

    def _replica_changed(self) -> None:
        well = len(self.replicas) - self.broken
        self._estimate.replicas = max(1, well)
        if not well:
            self._backlog.abandon(Unhealthy("the model no longer answers"))
        self._backlog.queue.arrived.set()  # the worker of the replica may wait there
        self.health_changed.set()


async def _all(calls: Iterable[Coroutine[None, None, object]]) -> None:
    """Await all of them, then raise the first error."""
    for outcome in await asyncio.gather(*calls, return_exceptions=True):
        if isinstance(outcome, BaseException):
            raise outcome
