"""One replica of the model: a classifier, and the thread that is the only one to use it."""

from __future__ import annotations

import asyncio
import functools
from concurrent.futures import CancelledError, Future
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

from valence_service.core.classifier import TokenCount
from valence_service.core.clock import now
from valence_service.process import compute_thread
from valence_service.scheduler.canary import CANARY, Canary, ReplicaBroken

if TYPE_CHECKING:
    from collections.abc import Callable
    from concurrent.futures import ThreadPoolExecutor

    from valence_service.core.classifier import Classifier
    from valence_service.core.sentiment import Sentiment

T = TypeVar("T")


class ReplicaHung(Exception):
    """A computation has not ended in the time that it may take."""


@dataclass(frozen=True, slots=True)
class Computation:
    """The result of a batch, and when and how long the thread computed it."""

    sentiments: list[Sentiment]
    started: float
    """By ``core.clock``."""
    seconds: float


class Replica:
    """Computes in its own thread, one batch at a time. All methods belong to one event loop."""

    def __init__(self, classifier: Classifier, canary: Canary) -> None:
        """Take over the classifier: nothing else may use it from now on."""
        self.trouble = ""
        """Why it is set aside; empty while it is well."""
        self.set_aside_at = 0.0
        """When it was set aside, by the loop's clock."""
        self._classifier = classifier
        self._canary = canary
        self._loop = asyncio.get_running_loop()
        self._lock = asyncio.Lock()
        self._thread = _new_thread()
        # What the thread does, and what uses the classifier: the same, unless a thread is
        # abandoned. A thread that is stuck in a model cannot be ended.
        self._work: Future[Any] | None = None
        self._use: Future[Any] | None = None
        self._abandoned: list[Future[Any]] = []
        self._replaced = TokenCount()

    @property
    def well(self) -> bool:
        """Whether batches may be computed on it."""
        return not self.trouble

    @property
    def free(self) -> bool:
        """Whether it is well and computes nothing now."""
        return not self.trouble and not self._lock.locked()

    @property
    def stuck(self) -> bool:
        """Whether a thread still uses the classifier after its time was up."""
        return _runs(self._use) and not self._lock.locked()

    @property
    def abandoned_threads(self) -> int:
        """Number of stuck threads that it has left behind."""
        return sum(map(_runs, self._abandoned))

    @property
    def replaceable(self) -> bool:
        """Whether replacing the classifier leaves behind no more than one stuck thread."""
        left_behind = filter(_runs, (*self._abandoned, self._work))
        return all(work is self._use for work in left_behind)

    @property
    def tokens(self) -> TokenCount:
        """What its classifiers have computed so far."""
        return self._classifier.tokens + self._replaced

    def set_aside(self, trouble: str) -> None:
        """Note that it is not well, and why."""
        self.trouble = trouble
        self.set_aside_at = self._loop.time()

    async def compute(
        self, texts: list[str], *, limit_seconds: float, full_depth: bool = False
    ) -> Computation:
        """Classify the texts in the thread, once it has computed what was asked before.

        Raise whatever the model raises, or ReplicaHung if it takes longer than the limit.
        """
        async with self._lock:
            if _runs(self._use):
                raise ReplicaHung("its thread is still stuck in a computation")
            started = now()
            self._use = self._submit(
                functools.partial(_classify, self._classifier, texts, full_depth=full_depth)
            )
            sentiments = await self._wait(self._use, limit_seconds)
            return Computation(sentiments, started, now() - started)

    async def ask_canary(self, *, limit_seconds: float) -> float:
        """Check the answer of every layer to a harmless text, and return the seconds that it took.

        Raise ReplicaBroken if the answer is wrong or does not come.
        """
        try:
            computation = await self.compute([CANARY], limit_seconds=limit_seconds, full_depth=True)
            self._canary.check(computation.sentiments)
        except ReplicaBroken:
            raise
        except Exception as error:
            raise ReplicaBroken(f"it fails on {CANARY!r}: {error!r}") from error
        return computation.seconds

    async def replace(self, make: Callable[[], Classifier], *, limit_seconds: float) -> None:
        """Make a new classifier in a new thread, and compute with these from now on.

        Raise whatever make raises, or ReplicaHung if it takes longer than the limit.
        """
        async with self._lock:
            self._renew_thread()
            classifier = await self._wait(self._submit(make), limit_seconds)
            self._replaced = self.tokens
            self._classifier = classifier
            self._use = None

    async def renew_thread(self) -> None:
        """Compute in a new thread from now on: the old one may be what is broken."""
        async with self._lock:
            self._renew_thread()

    def end_thread(self) -> None:
        """Let the thread end once it has computed; do not wait for it."""
        self._thread.shutdown(wait=False, cancel_futures=True)

    def _renew_thread(self) -> None:
        self.end_thread()
        if self._work is not None and _runs(self._work):
            self._abandoned = [*filter(_runs, self._abandoned), self._work]
            self._work = None
        self._thread = _new_thread()

    def _submit(self, function: Callable[[], T]) -> Future[T]:
        self._work = work = self._thread.submit(guarded, function)
        return work

    async def _wait(self, work: Future[T], limit_seconds: float) -> T:
        # asyncio.timeout would cost every lone caller 20 microseconds more. The message tells its
        # cancellation from that of the task.
        waiter = asyncio.wrap_future(work)
        timer = self._loop.call_later(limit_seconds, waiter.cancel, limit_seconds)
        try:
            return await waiter
        except asyncio.CancelledError as cancelled:
            if cancelled.args != (limit_seconds,):
                raise
            raise ReplicaHung(f"a computation has not ended in {limit_seconds:.1f} s") from None
        finally:
            timer.cancel()


def _runs(work: Future[Any] | None) -> bool:
    return work is not None and not work.done()


def _new_thread() -> ThreadPoolExecutor:
    return compute_thread("classify")


def _classify(classifier: Classifier, texts: list[str], *, full_depth: bool) -> list[Sentiment]:
    return list(classifier.classify(texts, full_depth=full_depth))


def guarded(function: Callable[[], T]) -> T:
    """Run a function in the replica's thread; raise only what a future can carry."""
    try:
        return function()
    except BaseException as error:
        # A future refuses StopIteration and its waiter would hang; a CancelledError of either
        # kind, or the PanicException of a tokenizer in Rust, would end the worker's task;
        # SystemExit and its like would end the event loop. None of it is a model's to decide.
        if isinstance(error, Exception) and not isinstance(error, (StopIteration, CancelledError)):
            raise
        raise RuntimeError(f"the model raised {type(error).__name__}") from error
