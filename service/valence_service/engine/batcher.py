"""Texts in, answers out: worker threads that empty a bounded queue in batches.

Greedy, without a timer: an idle worker takes what is there at once, and a batch forms by itself
while the workers are busy. One worker is one thread with one classifier of its own.

What always holds: every caller is settled exactly once, with an answer, an error or its own
cancellation; nothing that one caller does reaches another; the queue never exceeds its bound;
after ``close`` nothing is pending.
"""

from __future__ import annotations

import asyncio
from concurrent.futures import CancelledError, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from valence_service.engine.queue import Job, Queue
from valence_service.sentiment import Answer, Draining, ModelFailed, Overloaded, Timings

if TYPE_CHECKING:
    from collections.abc import Sequence

    from valence_service.sentiment import Classifier, Sentiment


@dataclass(slots=True, eq=False)
class _Worker:
    """A thread and the replica that only it touches."""

    classifier: Classifier
    thread: ThreadPoolExecutor = field(
        default_factory=lambda: ThreadPoolExecutor(1, thread_name_prefix="classify")
    )
    busy_since: float | None = None


class Batcher:
    """Classifies texts together. All methods belong to one event loop."""

    def __init__(
        self,
        classifiers: Sequence[Classifier],
        *,
        max_batch_texts: int,
        max_batch_tokens: int,
        max_queue_texts: int,
    ) -> None:
        self._workers = [_Worker(classifier) for classifier in classifiers]
        self._max_text_tokens = classifiers[0].info.max_tokens
        self._max_batch_texts = max_batch_texts
        self._max_batch_tokens = max_batch_tokens
        self._max_queue_texts = max_queue_texts
        self._queue = Queue(max_texts=max_queue_texts)
        self._running: set[Job] = set()
        self._loop = asyncio.get_running_loop()
        self._tasks = [self._loop.create_task(self._work(worker)) for worker in self._workers]
        self._seconds_per_text = 0.01  # a first guess, until batches have been measured
        self.failures_in_a_row = 0

    @property
    def queued_texts(self) -> int:
        """Texts that wait for a worker."""
        return len(self._queue)

    @property
    def idle(self) -> bool:
        """Whether no text waits or is being computed."""
        return not self._queue and not self._running

    @property
    def stalled_seconds(self) -> float:
        """How long the batch that has been computing longest has been at it."""
        started = [worker.busy_since for worker in self._workers if worker.busy_since is not None]
        return self._loop.time() - min(started) if started else 0.0

    def submit(
        self, texts: Sequence[str], *, deadline: float | None = None
    ) -> list[asyncio.Future[Answer]]:
        """Queue all of texts or none; a future for each, in order.

        ``deadline`` is in seconds of the event loop's clock. To leave, cancel the future.
        Raises Overloaded or Draining; a future ends with DeadlinePassed, ModelFailed or Draining.
        """
        if self._queue.closed:
            raise Draining("the server is ending")
        if len(texts) > self._queue.room_texts:
            raise Overloaded(
                f"the queue has no room for {len(texts)} more: it holds {len(self._queue)} of at "
                f"most {self._max_queue_texts} texts",
                retry_after_seconds=self._drained_in_seconds(),
            )
        jobs = [Job(text, deadline, self._loop.create_future()) for text in texts]
        for job in jobs:
            self._queue.put(job)
        return [job.future for job in jobs]

    async def submit_when_room(
        self, text: str, *, deadline: float | None = None
    ) -> asyncio.Future[Answer]:
        """As submit for one text, but waits for a place in the queue, first come first served."""
        if self._queue.room_texts > 0 or self._queue.closed:
            return self.submit([text], deadline=deadline)[0]
        job = Job(text, deadline, self._loop.create_future())
        await self._queue.put_when_room(job)
        return job.future

    async def warm_up(self, text: str) -> None:
        """Classify text once with every replica. Raises ModelFailed."""
        computed = (
            self._loop.run_in_executor(worker.thread, _compute, worker.classifier, [text])
            for worker in self._workers
        )
        try:
            await asyncio.gather(*computed)
        except Exception as error:
            raise _model_failed(error) from error

    async def close(self, *, timeout_seconds: float) -> bool:
        """Take nothing more, wait for what is queued, then fail what is left with Draining.

        Returns whether every worker thread ended in time; one that did not is abandoned.
        """
        self._queue.close()
        _, late = await asyncio.wait(self._tasks, timeout=timeout_seconds)
        ending = Draining("the server is ending")
        self._queue.fail(ending)
        for job in self._running:
            job.fail(ending)
        self._running.clear()
        for task in late:
            task.cancel()
        await asyncio.gather(*late, return_exceptions=True)
        for worker in self._workers:
            worker.thread.shutdown(wait=False, cancel_futures=True)
        for task in self._tasks:
            if not task.cancelled():
                task.result()  # a fault of the batcher itself must not go unseen
        return not any(task.cancelled() for task in self._tasks)

    def _drained_in_seconds(self) -> float:
        waiting = len(self._queue) + len(self._running)
        return min(max(waiting * self._seconds_per_text, 0.05), 30.0)

    async def _work(self, worker: _Worker) -> None:
        """Take cuts until closed and empty."""
        while True:
            await self._queue.arrived.wait()
            cut = self._queue.cut(
                max_texts=self._max_batch_texts,
                max_tokens=self._max_batch_tokens,
                max_text_tokens=self._max_text_tokens,
            )
            if cut:
                self._running.update(cut)
                await self._run(worker, cut)
                self._running.difference_update(cut)
            elif self._queue.closed:
                return

    async def _run(self, worker: _Worker, cut: list[Job]) -> None:
        """Compute a batch and settle it; one that fails is split until the guilty stand alone."""
        if not cut:
            return
        started = worker.busy_since = self._loop.time()
        try:
            sentiments = await self._loop.run_in_executor(
                worker.thread, _compute, worker.classifier, [job.text for job in cut]
            )
        except Exception as error:
            self.failures_in_a_row += 1
            if len(cut) == 1:
                cut[0].fail(_model_failed(error))
                return
            middle = len(cut) // 2
            for half in (cut[:middle], cut[middle:]):
                await self._run(worker, [job for job in half if job.alive])
            return
        finally:
            worker.busy_since = None
        if len(sentiments) != len(cut):
            # Which answer belongs to which text is unknown, so none of them is one.
            self.failures_in_a_row += 1
            wrong = ValueError(f"{len(sentiments)} results for {len(cut)} texts")
            for job in cut:
                job.fail(_model_failed(wrong))
            return
        self.failures_in_a_row = 0
        self._settle(cut, sentiments, started)

    def _settle(self, cut: list[Job], sentiments: Sequence[Sentiment], started: float) -> None:
        seconds = self._loop.time() - started
        self._seconds_per_text += 0.2 * (
            seconds / len(cut) / len(self._workers) - self._seconds_per_text
        )
        for job, sentiment in zip(cut, sentiments, strict=True):
            if job.alive:
                timings = Timings(started - job.queued_at, seconds)
                job.future.set_result(Answer(sentiment, timings))


def _compute(classifier: Classifier, texts: list[str]) -> list[Sentiment]:
    """Runs in the worker's thread; raises only what a future can carry."""
    try:
        return list(classifier.classify(texts))
    except BaseException as error:
        # A future refuses StopIteration and its waiter would hang; a CancelledError of either
        # kind, or the PanicException of a tokenizer in Rust, would end the worker's task;
        # SystemExit and its like would end the event loop. None of it is a model's to decide.
        if isinstance(error, Exception) and not isinstance(error, (StopIteration, CancelledError)):
            raise
        raise RuntimeError(f"the model raised {type(error).__name__}") from error


def _model_failed(cause: Exception) -> ModelFailed:
    error = ModelFailed("the model failed on this text")
    error.__cause__ = cause
    return error
