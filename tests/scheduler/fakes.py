"""A classifier that a test holds in its hand, and a batcher around it."""

from __future__ import annotations

import asyncio
import math
import threading
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any

from valence_service.core.classifier import TokenCount
from valence_service.core.sentiment import Answer, LabelScore, ModelInfo, Polarity, Sentiment
from valence_service.scheduler.batcher import Batcher
from valence_service.scheduler.canary import CANARY
from valence_service.scheduler.queue import Flow

# A test that waits longer hangs.
GUARD_SECONDS = 20.0
INFO = ModelInfo(
    name="fake", revision="1", labels=(), max_tokens=512, engine="none", precision="f32", device=""
)


def sentiment_of(text: str, *, score: float = 1.0) -> Sentiment:
    """A sentiment that names its text, so that an answer to the wrong caller is seen."""
    return Sentiment(
        scores=(LabelScore(text, score),),
        polarity=Polarity.NEUTRAL,
        valence=0.0,
        tokens_total=1,
        tokens_used=1,
    )


def said(answer: Answer) -> str:
    """The text that an answer is for."""
    return answer.sentiment.scores[0].label


class FakeClassifier:
    """Keeps each batch at a gate until it is released, then answers or fails as it was told.

    The canary passes by the gate, and is answered unless the whole replica is sick.
    """

    def __init__(self, *, held: bool = False) -> None:
        self.info = INFO
        self.tokens = TokenCount()
        self.raises: dict[str, type[BaseException]] = {}
        """What a batch with this text ends with."""
        self.tamper: Callable[[list[Sentiment]], Any] = lambda answers: answers
        """What becomes of good answers on their way out."""
        self.sick = False
        """Whether it fails on everything."""
        self.canary: Callable[[], Any] = lambda: [sentiment_of(CANARY)]
        """What it answers the canary."""
        self.canaries = 0
        self.batches: list[list[str]] = []
        self.failed_alone: set[str] = set()
        """Texts that it failed on in a batch of their own."""
        self.full_depth: list[bool] = []
        """Of each batch, canaries included, whether every layer was to be computed."""
        self.threads: set[int] = set()
        self._gate = threading.Condition()
        self._permits = 0 if held else math.inf
        self._waiting = False
        self._loop = asyncio.get_running_loop()
        self._started: asyncio.Queue[list[str]] = asyncio.Queue()

    def hold(self) -> None:
        """Keep every batch from now on."""
        with self._gate:
            self._permits = 0

    def release(self, batches: float = math.inf) -> None:
        """Let so many batches pass."""
        with self._gate:
            self._permits += batches
            self._gate.notify_all()

    @property
    def at_gate(self) -> bool:
        """Whether a batch stands there and is to stay."""
        with self._gate:
            return self._waiting and not self._permits

    async def started(self) -> list[str]:
        """The next batch that has come to the gate."""
        return await self._started.get()

    def classify(self, texts: Sequence[str], *, full_depth: bool = False) -> Sequence[Sentiment]:
        self.full_depth.append(full_depth)
        if list(texts) == [CANARY]:
            return self._sing()
        with self._gate:
            self.batches.append(list(texts))
            self.threads.add(threading.get_ident())
            self._waiting = True
            self._loop.call_soon_threadsafe(self._started.put_nowait, list(texts))
            self._gate.wait_for(lambda: self._permits)
            self._permits -= 1
            self._waiting = False
        try:
            return self._answer(texts)
        except BaseException:
            if len(texts) == 1:
                self.failed_alone.add(texts[0])
            raise

    def _answer(self, texts: Sequence[str]) -> Sequence[Sentiment]:
        if self.sick:
            raise MemoryError
        for text in texts:
            if text in self.raises:
                raise self.raises[text]
        answers: Sequence[Sentiment] = self.tamper([sentiment_of(text) for text in texts])
        return answers

    def _sing(self) -> Sequence[Sentiment]:
        with self._gate:
            self.threads.add(threading.get_ident())
            self.canaries += 1
        if self.sick:
            raise MemoryError
        answer: Sequence[Sentiment] = self.canary()
        return answer


@asynccontextmanager
async def batching(
    *classifiers: FakeClassifier,
    max_batch_texts: int = 8,
    max_batch_tokens: int = 1000,
    max_queue_texts: int = 16,
    hang_seconds: float = 60.0,
    new_classifier: Callable[[], FakeClassifier] | None = None,
) -> AsyncIterator[Batcher]:
    """A batcher that ends with the test; a hang is a TimeoutError."""
    async with asyncio.timeout(GUARD_SECONDS):
        batcher = Batcher(
            classifiers,
            max_batch_texts=max_batch_texts,
            max_batch_tokens=max_batch_tokens,
            max_queue_texts=max_queue_texts,
            hang_seconds=hang_seconds,
            new_classifier=new_classifier,
        )
        try:
            yield batcher
        finally:
            for classifier in classifiers:
                classifier.release()
            await batcher.close(timeout_seconds=GUARD_SECONDS / 2)


async def a_few_turns() -> None:
    """Let whatever is ready on the loop run."""
    for _ in range(10):
        await asyncio.sleep(0)


async def submit(batcher: Batcher, text: str) -> Answer:
    (future,) = batcher.submit([text])
    return await future


async def submit_wait(batcher: Batcher, text: str, flow: Flow | None = None) -> Answer:
    return await (await batcher.submit_wait(text, flow or Flow()))


async def occupied(batcher: Batcher, fake: FakeClassifier) -> asyncio.Future[Answer]:
    """A batch of one text that stays at the gate, so that what comes next has to wait."""
    fake.hold()
    (future,) = batcher.submit(["occupies"])
    while await fake.started() != ["occupies"]:
        pass
    return future
