"""One replica of the model: a classifier, and the thread that is the only one to use it."""

from __future__ import annotations

import asyncio
from concurrent.futures import CancelledError
from typing import TYPE_CHECKING

from valence_service.core.clock import now
from valence_service.process import compute_thread
from valence_service.scheduler.canary import CANARY, Canary, ReplicaBroken

if TYPE_CHECKING:
    from concurrent.futures import ThreadPoolExecutor

    from valence_service.core.classifier import Classifier
    from valence_service.core.sentiment import Sentiment


class Replica:
    """Computes in its own thread. All methods belong to one event loop."""

    def __init__(self, classifier: Classifier, canary: Canary) -> None:
        """Take over the classifier: nothing else may use it from now on."""
        self.classifier = classifier
        self.broken = False
        """Whether it no longer answers the canary."""
        self.computing_since: list[float] = []
        """When each computation was given to the thread, by the loop's clock."""
        self._canary = canary
        self._loop = asyncio.get_running_loop()
        self._thread = _new_thread()

    async def compute(self, texts: list[str]) -> list[Sentiment]:
        """Classify the texts in the thread. Raise whatever the model raises."""
        started = self._loop.time()
        self.computing_since.append(started)
        try:
            return await self._loop.run_in_executor(self._thread, _compute, self.classifier, texts)
        finally:
            self.computing_since.remove(started)

    async def ask_canary(self) -> float:
        """Check the answer to a harmless text, and return the seconds that it took.

        Raise ReplicaBroken if the answer is wrong or does not come.
        """
        asked_at = now()
        try:
            self._canary.check(await self.compute([CANARY]))
        except ReplicaBroken:
            raise
        except Exception as error:
            raise ReplicaBroken(f"it fails on {CANARY!r}: {error!r}") from error
        return now() - asked_at

    def renew_thread(self) -> None:
        """Compute in a new thread from now on: the old one may be what is broken."""
        self.end_thread()
        self._thread = _new_thread()

    def end_thread(self) -> None:
        """Let the thread end once it has computed; do not wait for it."""
        self._thread.shutdown(wait=False, cancel_futures=True)


def _new_thread() -> ThreadPoolExecutor:
    return compute_thread("classify")


def _compute(classifier: Classifier, texts: list[str]) -> list[Sentiment]:
    """Run in the replica's thread; raise only what a future can carry."""
    try:
        return list(classifier.classify(texts))
    except BaseException as error:
        # A future refuses StopIteration and its waiter would hang; a CancelledError of either
        # kind, or the PanicException of a tokenizer in Rust, would end the worker's task;
        # SystemExit and its like would end the event loop. None of it is a model's to decide.
        if isinstance(error, Exception) and not isinstance(error, (StopIteration, CancelledError)):
            raise
        raise RuntimeError(f"the model raised {type(error).__name__}") from error
