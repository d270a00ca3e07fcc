"""Texts in, answers out: worker threads that empty a bounded queue in batches.

Greedy, without a timer: an idle worker takes what is there at once, and a batch forms by itself
while the workers are busy. One worker is one thread with one classifier of its own.

What always holds: every caller is settled exactly once, with an answer, an error or its own
cancellation; nothing that one caller does reaches another; the queue never exceeds its bound;
after ``close`` nothing is pending.
"""

from __future__ import annotations

import asyncio
from collections import deque
from concurrent.futures import CancelledError
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import structlog

from valence_service.core.clock import now
from valence_service.core.errors import Draining, ModelFailed, QueueFull, Unhealthy
from valence_service.core.observer import NoObserver, Observer, TextCounters
from valence_service.core.sentiment import Answer, Timings
from valence_service.process import compute_thread
from valence_service.scheduler.admission import ThroughputEstimate, check_deadline, retry_after
from valence_service.scheduler.canary import CANARY, Canary, ReplicaBroken
from valence_service.scheduler.queue import Flow, Job, Queue, estimated_tokens

if TYPE_CHECKING:
    from collections.abc import Sequence
    from concurrent.futures import ThreadPoolExecutor

    from valence_service.core.classifier import Classifier
    from valence_service.core.sentiment import Sentiment

# A broken replica is asked again so often.
RECOVERY_SECONDS = 1.0
log = structlog.get_logger()


def _new_thread() -> ThreadPoolExecutor:
    return compute_thread("classify")


@dataclass(slots=True, eq=False)
class _Worker:
    """A thread and the replica that only it touches."""

    classifier: Classifier
    thread: ThreadPoolExecutor = field(default_factory=_new_thread)
    computing_since: list[float] = field(default_factory=list)
    """A time for each batch that its thread has been given."""
    broken: bool = False


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
        self.counters = TextCounters()
        self._workers = [_Worker(classifier) for classifier in classifiers]
        self._max_text_tokens = classifiers[0].info.max_tokens
        self._max_batch_texts = max_batch_texts
        self._max_batch_tokens = max_batch_tokens
        self._max_queue_texts = max_queue_texts
        self._canary = canary or Canary()
        self._observer = observer or NoObserver()
        self._estimate = ThroughputEstimate(len(classifiers))
        self._queue = Queue(max_texts=max_queue_texts, counters=self.counters)
        self._closing = asyncio.Event()
        self._running: set[Job] = set()
        self._running_tokens = 0
        # Batches that a broken replica left: another worker takes them before the queue.
        self._orphaned: deque[list[Job]] = deque()
        self._loop = asyncio.get_running_loop()
        self._tasks = [self._loop.create_task(self._work(worker)) for worker in self._workers]

    @property
    def queued_texts(self) -> int:
        """Texts that wait for a worker."""
        return len(self._queue)

    @property
    def queued_tokens(self) -> int:
        """About how many tokens they have."""
        return self._queue.tokens

    @property
    def max_queue_texts(self) -> int:
        """The most texts that may wait."""
        return self._max_queue_texts

    @property
    def replicas(self) -> int:
        """How many there are."""
        return len(self._workers)

    @property
    def tokens(self) -> tuple[int, int]:
        """Tokens that the model has been given so far: of texts, and of padding."""
        counts = [worker.classifier.tokens for worker in self._workers]
        return sum(count.texts for count in counts), sum(count.padding for count in counts)

    @property
    def idle(self) -> bool:
        """Whether no text waits or is being computed."""
        return not self._queue and not self._running

    @property
    def stalled_seconds(self) -> float:
        """How long the batch that has been computing longest has been at it."""
        started = [since for worker in self._workers for since in worker.computing_since]
        return self._loop.time() - min(started) if started else 0.0

    @property
    def broken_replicas(self) -> int:
        """How many replicas no longer answer the canary."""
        return sum(worker.broken for worker in self._workers)

    def submit(
        self, texts: Sequence[str], *, deadline: float | None = None
    ) -> list[asyncio.Future[Answer]]:
        """Queue all of texts or none; a future for each, in order.

        ``deadline`` is in seconds of the event loop's clock. To leave, cancel the future.
        Raises Overloaded, Draining or Unhealthy; a future ends with DeadlinePassed, ModelFailed,
        Draining or Unhealthy.
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
        """As submit for one text of a call, but waits for a place in the queue.

        First come, first served, and never Overloaded. Such callers together take half of the
        places at most.
        """
        self._check_open()
        job = self._job(text, deadline, flow, backpressured=True)
        if self._queue.room_for_backpressured:
            self._queue.put(job)
        else:
            await self._queue.put_when_room(job)
        return job.future

    async def check_replicas(self) -> None:
        """Ask every replica the canary. Raises ReplicaBroken."""
        asked = [self._ask_canary(worker) for worker in self._workers]
        for outcome in await asyncio.gather(*asked, return_exceptions=True):
            if outcome is not None:
                raise outcome

    def fail_all(self, error: Exception) -> None:
        """End the wait of everyone, of those whose texts are being computed too."""
        self._queue.fail(error)
        for job in self._running:
            job.fail(error)

    async def close(self, *, timeout_seconds: float) -> bool:
        """Take nothing more, wait for what is queued, then fail what is left with Draining.

        Returns whether every worker thread ended in time; one that did not is abandoned.
        """
        self._closing.set()
        self._queue.close()
        _, late = await asyncio.wait(self._tasks, timeout=timeout_seconds)
        self.fail_all(Draining("the server is ending"))
        self._set_running(set())
        for task in late:
            task.cancel()
        await asyncio.gather(*late, return_exceptions=True)
        for worker in self._workers:
            worker.thread.shutdown(wait=False, cancel_futures=True)
        for task in self._tasks:
            if not task.cancelled():
                task.result()  # a fault of the batcher itself must not go unseen
        return not any(task.cancelled() for task in self._tasks)

    def _job(self, text: str, deadline: float | None, flow: Flow, **kind: bool) -> Job:
        tokens = min(estimated_tokens(text), self._max_text_tokens)
        return Job(text, deadline, self._loop.create_future(), tokens, flow, **kind)

    def _check_open(self) -> None:
        if self._queue.closed:
            raise Draining("the server is ending")
        if self.broken_replicas == len(self._workers):
            raise Unhealthy("the model no longer answers")

    def check_admission(self, texts: int = 1, tokens: int = 0, *, deadline: float | None) -> None:
        """Raises Overloaded where so many could not be queued, or be answered by the deadline."""
        if texts > self._queue.room_texts:
            waiting = self._running_tokens + self._queue.tokens
            raise QueueFull(
                f"the queue has no room for {texts} more: it holds {len(self._queue)} of at "
                f"most {self._max_queue_texts} texts",
                retry_after_seconds=retry_after(self._estimate.seconds_for(waiting)),
            )
        if deadline is None or not texts or self._could_start_now:
            return
        ahead = self._running_tokens + self._queue.tokens_ahead(texts)
        check_deadline(self._estimate.seconds_for(ahead + tokens), deadline - self._loop.time())

    def _set_running(self, jobs: set[Job]) -> None:
        self._running = jobs
        # Every admission asks for it, so it is counted where it changes.
        self._running_tokens = sum(job.tokens for job in jobs)

    @property
    def _could_start_now(self) -> bool:
        """Nothing is foreseen then: only a new measure can mend a wrong estimate."""
        return not self._queue and not all(worker.computing_since for worker in self._workers)

    async def _work(self, worker: _Worker) -> None:
        """Take batches until closed and empty."""
        while True:
            await self._queue.arrived.wait()
            await self._coalesce_arrivals()
            cut = self._next_batch()
            if cut:
                try:
                    await self._run(worker, [job for job in cut if job.alive])
                    self._set_running(self._running.difference(cut))
                except ReplicaBroken as broken:
                    self._requeue(worker, cut, broken)
                    await self._recover(worker)
            if self._queue.closed and (worker.broken or not cut):
                return

    async def _coalesce_arrivals(self) -> None:
        """While others compute, let the loop bring in what comes with the first text.

        Callers who were answered together come back together, each with a step of the loop. To
        begin with the first of them would leave the rest to wait for a batch of one.
        """
        seen = 0
        while self._running and seen < len(self._queue) < self._max_batch_texts:
            seen = len(self._queue)
            await asyncio.sleep(0)

    def _next_batch(self) -> list[Job]:
        if self._orphaned:
            return self._orphaned.popleft()
        max_tokens = float(self._max_batch_tokens)
        if self._queue.singles_meet_many:
            # A call of one text waits for what is being computed, so that is kept short.
            max_tokens = min(
                max_tokens, self._estimate.tokens_in(2 * self._estimate.single_seconds)
            )
        cut = self._queue.cut(
            max_texts=self._max_batch_texts,
            max_tokens=max_tokens,
            batch_seconds=self._estimate.batch_seconds,
        )
        self._set_running(self._running.union(cut))
        return cut

    async def _run(self, worker: _Worker, cut: list[Job]) -> None:
        """Compute a batch and settle it; one that fails is split until the guilty stand alone.

        Raises ReplicaBroken where it is the replica that fails, with some callers left unsettled.
        """
        if not cut:
            return
        started = now()
        try:
            sentiments = await self._computed(worker, [job.text for job in cut])
        except Exception as error:
            if len(cut) > 1:
                middle = len(cut) // 2
                for half in (cut[:middle], cut[middle:]):
                    await self._run(worker, [job for job in half if job.alive])
                return
            # The text or the replica? A harmless one tells.
            await self._ask_canary(worker)
            self._fail(cut, error)
            return
        if len(sentiments) != len(cut):
            # Which answer belongs to which text is unknown, so none of them is one.
            wrong = ValueError(f"{len(sentiments)} results for {len(cut)} texts")
            self._fail(cut, wrong)
            await self._ask_canary(worker)
            return
        self._settle(cut, sentiments, started)

    def _settle(self, cut: list[Job], sentiments: Sequence[Sentiment], started: float) -> None:
        seconds = now() - started
        self._estimate.measured(sum(job.tokens for job in cut), seconds)
        waits = [started - job.queued_at for job in cut]
        for job, sentiment, wait in zip(cut, sentiments, waits, strict=True):
            if job.alive:
                timings = Timings(wait, seconds, queued_at=job.queued_at)
                job.future.set_result(Answer(sentiment, timings))
                self.counters.answered += 1
            else:
                self.counters.wasted += 1
        self._observer.computed(waits, seconds)

    def _fail(self, jobs: Sequence[Job], cause: Exception) -> None:
        self.counters.failed += len(jobs)
        for job in jobs:
            job.fail(_model_failed(cause))

    async def _computed(self, worker: _Worker, texts: list[str]) -> list[Sentiment]:
        started = self._loop.time()
        worker.computing_since.append(started)
        try:
            return await self._loop.run_in_executor(
                worker.thread, _compute, worker.classifier, texts
            )
        finally:
            worker.computing_since.remove(started)

    async def _ask_canary(self, worker: _Worker) -> None:
        try:
            asked_at = now()
            self._canary.check(await self._computed(worker, [CANARY]))
            seconds = now() - asked_at
            self._estimate.single_seconds = min(self._estimate.single_seconds, seconds)
        except ReplicaBroken:
            raise
        except Exception as error:
            raise ReplicaBroken(f"it fails on {CANARY!r}: {error!r}") from error

    def _requeue(self, worker: _Worker, jobs: list[Job], broken: ReplicaBroken) -> None:
        """Another worker is to compute them, if there is one."""
        log.error("replica_broken", reason=str(broken), exc_info=broken.__cause__)
        worker.broken = True
        if self.broken_replicas < len(self._workers):
            self._orphaned.append(jobs)
            self._queue.arrived.set()
        else:
            self.fail_all(Unhealthy("the model no longer answers"))
            self._orphaned.clear()
            self._set_running(set())

    async def _recover(self, worker: _Worker) -> None:
        while worker.broken and not self._closing.is_set():
            with suppress(TimeoutError):
                await asyncio.wait_for(self._closing.wait(), RECOVERY_SECONDS)
                return
            worker.thread.shutdown(wait=False, cancel_futures=True)
            worker.thread = _new_thread()  # the old one may be what is broken
            with suppress(ReplicaBroken):
                await self._ask_canary(worker)
                worker.broken = False
                log.warning("replica_well")


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
