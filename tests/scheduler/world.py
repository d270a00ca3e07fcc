"""A real batcher, real threads included, that a test drives through scripts of actions.

It is exact: the clock stands still unless put forward, each batch waits at its classifier's gate,
and after each action everything that can happen does.
"""

from __future__ import annotations

import asyncio
import math
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
)
from valence_service.core.sentiment import Answer
from valence_service.scheduler.batcher import Batcher

from tests.scheduler.fakes import GUARD_SECONDS, FakeClassifier, sentiment_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from valence_service.core.sentiment import Sentiment

POISONS = [ValueError, StopIteration, SystemExit, KeyboardInterrupt, asyncio.CancelledError]
TAMPERINGS: dict[str, Callable[[list[Sentiment]], Any]] = {
    "one too few": lambda answers: answers[1:],
    "one too many": lambda answers: [*answers, sentiment_of("nobody's")],
    "none": lambda _: None,
}


class Loop(asyncio.SelectorEventLoop):
    """Its time is the test's to set."""

    now = 1000.0

    def time(self) -> float:
        return self.now


@dataclass(frozen=True)
class Wish:
    """A text that a caller is going to ask for."""

    size: int
    poison: type[BaseException] | None
    leaves_at_once: bool


@dataclass(eq=False)
class Caller:
    """One who asked, and what for. The text is nobody else's."""

    text: str
    deadline: float | None
    answer: asyncio.Future[Answer]
    call: int
    """Which call it is of: the texts of one keep their order, and so do calls of one text."""
    alone: bool
    backpressured: bool = False
    batched_at: float | None = None
    times_batched_when_left: int | None = None


wishes = st.builds(
    Wish,
    size=st.sampled_from([0, 0, 10, 40, 90]),
    poison=st.none() | st.none() | st.sampled_from(POISONS),
    leaves_at_once=st.sampled_from([False, False, False, True]),
)
deadlines_in_seconds = st.none() | st.none() | st.sampled_from([-1, 0, 1, 2])


class World(RuleBasedStateMachine):
    """A batcher, the fake classifiers that it computes with, and its callers."""

    @initialize(
        replicas=st.integers(1, 2),
        max_batch_texts=st.integers(1, 5),
        max_batch_tokens=st.sampled_from([10, 40, 1000]),
        max_queue_texts=st.integers(1, 8),
    )
    def open(
        self, replicas: int, max_batch_texts: int, max_batch_tokens: int, max_queue_texts: int
    ) -> None:
        self.loop = Loop()
        self.runner = asyncio.Runner(loop_factory=lambda: self.loop)
        self.faults: list[dict[str, Any]] = []
        self.max_batch_texts = max_batch_texts
        self.max_batch_tokens = max_batch_tokens
        self.max_queue_texts = max_queue_texts
        self.callers: list[Caller] = []
        self.asked = 0
        self.poisons: dict[str, type[BaseException]] = {}
        self.spoiled: set[str] = set()
        self.closing: asyncio.Task[bool] | None = None
        self.outage = False

        async def build() -> None:
            self.loop.set_exception_handler(lambda _, context: self.faults.append(context))
            self.fakes = [FakeClassifier(held=True) for _ in range(replicas)]
            for fake in self.fakes:
                fake.raises = self.poisons
            self.batcher = Batcher(
                self.fakes,
                max_batch_texts=max_batch_texts,
                max_batch_tokens=max_batch_tokens,
                max_queue_texts=max_queue_texts,
                hang_seconds=math.inf,
            )

        self.runner.run(build())
        self.settle()

    def new_text(self, wish: Wish) -> str:
        self.asked += 1
        text = f"{self.asked:03} " + "x" * wish.size
        if wish.poison:
            self.poisons[text] = wish.poison
        return text

    def deadline(self, seconds: float | None) -> float | None:
        return None if seconds is None else self.loop.now + seconds

    def tampering(self, name: str | None) -> Callable[[list[Sentiment]], Any]:
        if name is None:
            return lambda answers: answers

        def tamper(answers: list[Sentiment]) -> Any:
            self.spoiled.update(answer.scores[0].label for answer in answers)
            return TAMPERINGS[name](answers)

        return tamper

    @property
    def pending(self) -> list[Caller]:
        return [caller for caller in self.callers if not caller.answer.done()]

    @property
    def at_gate(self) -> list[FakeClassifier]:
        return [fake for fake in self.fakes if fake.at_gate]

    @property
    def computing(self) -> int:
        replicas = self.batcher._pool.replicas
        return sum(replica._lock.locked() or replica.stuck for replica in replicas)

    def cancel(self, caller: Caller) -> None:
        caller.times_batched_when_left = self.times_batched(caller)
        assert caller.answer.cancel()

    def times_batched(self, caller: Caller) -> int:
        return sum(caller.text in batch for fake in self.fakes for batch in fake.batches)

    def failed_alone(self, caller: Caller) -> bool:
        return any(caller.text in fake.failed_alone for fake in self.fakes)

    def settle(self) -> None:
        """Run until nothing more can happen: every batch that computes stands at its gate."""

        async def run() -> None:
            hung = time.monotonic() + GUARD_SECONDS
            quiet = False
            while True:
                for _ in range(12):
                    await asyncio.sleep(0)
                # Before these turns as well: one that has just ended has turns to come. Fewer,
                # where a stuck one was abandoned.
                was_quiet, quiet = quiet, self.computing <= len(self.at_gate)
                if was_quiet and quiet:
                    return
                assert time.monotonic() < hung

        self.runner.run(run())
        self.outage = self.outage or self.batcher.broken_replicas == len(self.fakes)
        for caller in self.callers:
            if caller.batched_at is None and self.times_batched(caller):
                caller.batched_at = self.loop.now
