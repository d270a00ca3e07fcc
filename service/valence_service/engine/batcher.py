"""A bounded queue of texts, cut into batches by worker threads.

Greedy, without a timer: an idle worker takes what is there at once, and a batch forms by itself
while the workers are busy. One worker is one thread with one classifier of its own.

What always holds: every caller is settled exactly once, with an answer, an error or its own
cancellation; nothing that one caller does reaches another; the queue never exceeds its bound;
after ``close`` nothing is pending.
"""

from __future__ import annotations

import asyncio
import functools
import math
from collections import OrderedDict
from concurrent.futures import CancelledError, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from valence_service.sentiment import (
    Answer,
    DeadlinePassed,
    Draining,
    ModelFailed,
    Overloaded,
    Timings,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from valence_service.sentiment import Classifier, Sentiment

# English has about four bytes to a token, other scripts about three; two for the specials. Only
# the size of a cut rests on it: the classifier counts for itself.
BYTES_PER_TOKEN = 3.5
SPECIAL_TOKENS = 2


@dataclass(slots=True, eq=False)
class _Job:
    """One text and the caller who waits for it."""

    text: str
    tokens: int
    deadline: float | None
    queued_at: float
    future: asyncio.Future[Answer]


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
        self._max_tokens = classifiers[0].info.max_tokens
        self._max_batch_texts = max_batch_texts
        self._max_batch_tokens = max_batch_tokens
        self._max_queue_texts = max_queue_texts
        # Ordered, and not a deque: a caller who leaves gives up the place in O(1).
        self._queue: OrderedDict[_Job, None] = OrderedDict()
        self._running: set[_Job] = set()
        self._arrived = asyncio.Event()
        # Who waits for a place, and what tells that caller of it. Nobody waits while there is one.
        self._waiting: OrderedDict[_Job, asyncio.Future[None]] = OrderedDict()
        self._closed = False
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
        if self._closed:
            raise Draining("the server is ending")
        if len(self._queue) + len(texts) > self._max_queue_texts:
            raise Overloaded(
                f"the queue has no room for {len(texts)} more: it holds {len(self._queue)} of at "
                f"most {self._max_queue_texts} texts",
                retry_after_seconds=self._drained_in_seconds(),
            )
        jobs = [self._job(text, deadline) for text in texts]
        for job in jobs:
            self._enqueue(job)
        return [job.future for job in jobs]

    async def submit_when_room(
        self, text: str, *, deadline: float | None = None
    ) -> asyncio.Future[Answer]:
        """As submit for one text, but waits for a place in the queue, first come first served."""
        if len(self._queue) < self._max_queue_texts or self._closed:
            return self.submit([text], deadline=deadline)[0]
        job = self._job(text, deadline)
        placed = self._waiting[job] = self._loop.create_future()
        try:
            await placed
        except asyncio.CancelledError:
            self._waiting.pop(job, None)
            job.future.cancel()  # the text may stand in the queue already
            raise
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
        self._closed = True
        self._arrived.set()
        self._make_room()
        _, late = await asyncio.wait(self._tasks, timeout=timeout_seconds)
        for job in [*self._queue, *self._running]:
            _fail(job, Draining("the server is ending"))
        self._queue.clear()
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

    def _job(self, text: str, deadline: float | None) -> _Job:
        return _Job(text, self._tokens(text), deadline, 0.0, self._loop.create_future())

    def _enqueue(self, job: _Job) -> None:
        job.queued_at = self._loop.time()
        self._queue[job] = None
        job.future.add_done_callback(functools.partial(self._leave, job))
        self._arrived.set()

    def _tokens(self, text: str) -> int:
        """A cheap estimate of the tokens that the model will read."""
        size = len(text) if text.isascii() else len(text.encode())
        return min(self._max_tokens, math.ceil(size / BYTES_PER_TOKEN) + SPECIAL_TOKENS)

    def _drained_in_seconds(self) -> float:
        waiting = len(self._queue) + len(self._running)
        return min(max(waiting * self._seconds_per_text, 0.05), 30.0)

    def _leave(self, job: _Job, _: asyncio.Future[Answer]) -> None:
        """The caller is settled or gone: free the place if the text still waits."""
        if job in self._queue:
            del self._queue[job]
            self._make_room()

    def _make_room(self) -> None:
        """Give each free place to who has waited for one longest; when closed, turn all away.

        The text is queued here and not by its caller once awake: in between, another could take
        the place, and the caller would have to wait behind those who came later.
        """
        while self._waiting and (self._closed or len(self._queue) < self._max_queue_texts):
            job, placed = self._waiting.popitem(last=False)
            if placed.done():
                continue  # cancelled, and not yet awake to know
            if self._closed:
                placed.set_exception(Draining("the server is ending"))
            else:
                self._enqueue(job)
                placed.set_result(None)

    async def _work(self, worker: _Worker) -> None:
        """Take cuts until closed and empty."""
        while True:
            await self._arrived.wait()
            cut = self._cut()
            if cut:
                self._running.update(cut)
                await self._run(worker, cut)
                self._running.difference_update(cut)
            elif self._closed:
                return
            elif not self._queue:
                self._arrived.clear()

    def _cut(self) -> list[_Job]:
        """The next batch: live jobs in order of arrival within both bounds, longest first."""
        cut: list[_Job] = []
        tokens = 0
        now = self._loop.time()
        while self._queue and len(cut) < self._max_batch_texts:
            job = next(iter(self._queue))
            if not job.future.done() and job.deadline is not None and now >= job.deadline:
                job.future.set_exception(DeadlinePassed("the deadline passed in the queue"))
            if job.future.done():
                del self._queue[job]
                continue
            if cut and tokens + job.tokens > self._max_batch_tokens:
                break
            del self._queue[job]
            tokens += job.tokens
            cut.append(job)
        self._make_room()
        # Neighbours of like length make little padding.
        return sorted(cut, key=lambda job: -job.tokens)

    async def _run(self, worker: _Worker, cut: list[_Job]) -> None:
        """Compute a batch and settle it; one that fails is split until the guilty stand alone."""
        cut = [job for job in cut if not job.future.done()]
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
                _fail(cut[0], _model_failed(error))
                return
            middle = len(cut) // 2
            await self._run(worker, cut[:middle])
            await self._run(worker, cut[middle:])
            return
        finally:
            worker.busy_since = None
        if len(sentiments) != len(cut):
            # Which answer belongs to which text is unknown, so none of them is one.
            self.failures_in_a_row += 1
            wrong = ValueError(f"{len(sentiments)} results for {len(cut)} texts")
            for job in cut:
                _fail(job, _model_failed(wrong))
            return
        self.failures_in_a_row = 0
        self._settle(cut, sentiments, started)

    def _settle(self, cut: list[_Job], sentiments: Sequence[Sentiment], started: float) -> None:
        seconds = self._loop.time() - started
        self._seconds_per_text += 0.2 * (
            seconds / len(cut) / len(self._workers) - self._seconds_per_text
        )
        for job, sentiment in zip(cut, sentiments, strict=True):
            if not job.future.done():
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


def _fail(job: _Job, error: Exception) -> None:
    if not job.future.done():
        job.future.set_exception(error)
