"""What must always hold of the batcher, whatever its callers and its model do.

A machine drives a real batcher, real threads included, through scripts of actions. It is exact:
the clock stands still unless put forward, each batch waits at its classifier's gate, and after
each action everything that can happen does.
"""

from __future__ import annotations

import asyncio
import math
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar, TypeVarTuple

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
)
from valence_service.core.errors import DeadlinePassed, Draining, ModelFailed, Overloaded, Unhealthy
from valence_service.core.sentiment import Answer
from valence_service.scheduler.batcher import RECOVERY_SECONDS, Batcher
from valence_service.scheduler.queue import Flow, estimated_tokens

from tests.scheduler.fakes import GUARD_SECONDS, FakeClassifier, said, sentiment_of

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from concurrent.futures import Executor

    from valence_service.core.sentiment import Sentiment

T = TypeVar("T")
Ts = TypeVarTuple("Ts")
POISONS = [ValueError, StopIteration, SystemExit, KeyboardInterrupt, asyncio.CancelledError]
TAMPERINGS: dict[str, Callable[[list[Sentiment]], Any]] = {
    "one too few": lambda answers: answers[1:],
    "one too many": lambda answers: [*answers, sentiment_of("nobody's")],
    "none": lambda _: None,
}


class Loop(asyncio.SelectorEventLoop):
    """Its time is the test's to set, and it knows how many batches compute."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 1000.0
        self.computing = 0

    def time(self) -> float:
        return self.now

    def run_in_executor(
        self, executor: Executor | None, func: Callable[[*Ts], T], *args: *Ts
    ) -> asyncio.Future[T]:
        future = super().run_in_executor(executor, func, *args)
        self.computing += 1
        future.add_done_callback(self._computed)
        return future

    def _computed(self, _: asyncio.Future[Any]) -> None:
        self.computing -= 1


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
    cut_at: float | None = None
    times_cut_when_left: int | None = None


wishes = st.builds(
    Wish,
    size=st.sampled_from([0, 0, 10, 40, 90]),
    poison=st.none() | st.none() | st.sampled_from(POISONS),
    leaves_at_once=st.sampled_from([False, False, False, True]),
)
deadlines_in_seconds = st.none() | st.none() | st.sampled_from([-1, 0, 1, 2])


class BatcherMachine(RuleBasedStateMachine):
    """Callers come, wait, leave and grow late; batches succeed and fail; the server may end."""

    @initialize(
        workers=st.integers(1, 2),
        max_batch_texts=st.integers(1, 5),
        max_batch_tokens=st.sampled_from([10, 40, 1000]),
        max_queue_texts=st.integers(1, 8),
    )
    def open(
        self, workers: int, max_batch_texts: int, max_batch_tokens: int, max_queue_texts: int
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
            self.fakes = [FakeClassifier(held=True) for _ in range(workers)]
            for fake in self.fakes:
                fake.raises = self.poisons
            self.batcher = Batcher(
                self.fakes,
                max_batch_texts=max_batch_texts,
                max_batch_tokens=max_batch_tokens,
                max_queue_texts=max_queue_texts,
            )

        self.runner.run(build())
        self.settle()

    # What may happen

    @rule(asked=st.lists(wishes, max_size=6), seconds=deadlines_in_seconds)
    def submit(self, asked: Sequence[Wish], seconds: float | None) -> None:
        async def act() -> None:
            texts, deadline = [self.new_text(wish) for wish in asked], self.deadline(seconds)
            queued, call = self.batcher.queued_texts, self.asked
            try:
                futures = self.batcher.submit(texts, deadline=deadline)
            except Draining:
                assert self.closing
            except Unhealthy:
                assert self.batcher.broken_replicas == len(self.fakes)
            except DeadlinePassed:
                assert seconds is not None
                assert seconds <= 0
            except Overloaded:
                full = queued + len(texts) > self.max_queue_texts
                assert full or (seconds is not None and self.batcher.queued_texts == queued)
            else:
                assert not self.closing
                assert queued + len(texts) <= self.max_queue_texts
                assert self.batcher.queued_texts == queued + len(texts)
                for wish, text, future in zip(asked, texts, futures, strict=True):
                    self.callers.append(Caller(text, deadline, future, call, len(texts) == 1))
                    if wish.leaves_at_once:
                        self.cancel(self.callers[-1])

        self.runner.run(act())
        self.settle()

    @rule(wish=wishes, seconds=deadlines_in_seconds)
    def submit_wait(self, wish: Wish, seconds: float | None) -> None:
        text, deadline = self.new_text(wish), self.deadline(seconds)

        async def ask() -> Answer:
            return await (await self.batcher.submit_wait(text, Flow(), deadline=deadline))

        answer = self.loop.create_task(ask())
        caller = Caller(text, deadline, answer, self.asked, alone=True, backpressured=True)
        self.callers.append(caller)
        self.settle()

    @rule(pick=st.integers(0, 1), sick=st.booleans())
    def sicken_or_heal(self, pick: int, sick: bool) -> None:
        self.fakes[pick % len(self.fakes)].sick = sick
        self.settle()

    @precondition(lambda self: self.pending)
    @rule(first=st.integers(0, 30), number=st.integers(1, 3), turns_between=st.integers(0, 3))
    def leave(self, first: int, number: int, turns_between: int) -> None:
        first %= len(self.pending)
        leavers = self.pending[first : first + number]

        async def act() -> None:
            for caller in leavers:
                self.cancel(caller)
                for _ in range(turns_between):
                    await asyncio.sleep(0)

        self.runner.run(act())
        self.settle()

    @precondition(lambda self: self.at_gate)
    @rule(pick=st.integers(0, 1), tampering=st.none() | st.none() | st.sampled_from([*TAMPERINGS]))
    def release(self, pick: int, tampering: str | None) -> None:
        fake = self.at_gate[pick % len(self.at_gate)]
        fake.tamper = self.tampering(tampering)
        fake.release(1)
        self.settle()

    @rule(seconds=st.sampled_from([0.5, 1.0]))
    def put_clock_forward(self, seconds: float) -> None:
        self.loop.now += seconds
        self.settle()

    # Not at once, for little happens afterwards.
    @precondition(lambda self: self.asked > 4 and not self.closing)
    @rule(timeout_seconds=st.sampled_from([0.0, 1.0]))
    def close(self, timeout_seconds: float) -> None:
        out_of_time = self.loop.now + timeout_seconds

        async def act() -> bool:
            in_time = await self.batcher.close(timeout_seconds=timeout_seconds)
            assert in_time == (not self.at_gate)
            assert in_time or self.loop.now >= out_of_time
            assert self.batcher.idle
            assert self.batcher.queued_texts == 0
            return in_time

        self.closing = self.loop.create_task(act())
        self.settle()

    # What must always hold

    @invariant()
    def queue_holds_as_many_as_are_there_and_may_be(self) -> None:
        waiting = [caller for caller in self.pending if caller.cut_at is None]
        backpressured = sum(caller.backpressured for caller in waiting)
        others = len(waiting) - backpressured
        room = min(math.ceil(self.max_queue_texts / 2), self.max_queue_texts - others)
        assert self.batcher.queued_texts == others + min(backpressured, room)

    @invariant()
    def nothing_goes_wrong_unseen(self) -> None:
        assert not self.faults

    @invariant()
    def idle_says_whether_all_are_settled(self) -> None:
        if all(caller.times_cut_when_left is None for caller in self.callers):
            assert self.batcher.idle == (not self.pending)

    @invariant()
    def cuts_are_within_their_bounds_and_sorted(self) -> None:
        for fake in self.fakes:
            for cut in fake.cuts:
                tokens = [estimated_tokens(text) for text in cut]
                assert 1 <= len(cut) <= self.max_batch_texts
                assert len(cut) == 1 or sum(tokens) <= self.max_batch_tokens
                assert tokens == sorted(tokens, reverse=True)

    @invariant()
    def no_worker_rests_while_texts_wait(self) -> None:
        if self.batcher.queued_texts:
            assert len(self.at_gate) + self.batcher.broken_replicas == len(self.fakes)

    def teardown(self) -> None:
        if not hasattr(self, "batcher"):
            return
        try:
            self.end()
        finally:
            for fake in self.fakes:
                fake.release()
            self.settle()
            self.runner.close()

    def end(self) -> None:
        if not self.closing:
            for fake in self.fakes:
                fake.tamper = self.tampering(None)
                fake.sick = False
                fake.release()
            self.loop.now += RECOVERY_SECONDS
            self.settle()
            assert self.batcher.idle
            assert not self.pending
            self.close(timeout_seconds=0.0)
        assert self.closing
        self.loop.now += 1
        self.settle()
        assert self.closing.done()
        assert not asyncio.all_tasks(self.loop)
        for caller in self.callers:
            self.check(caller, all_in_time=self.closing.result())
        self.check_order()
        assert not self.faults

    def check(self, caller: Caller, *, all_in_time: bool) -> None:
        """The caller was settled once, and with what its own text and doings led to."""
        assert caller.answer.done()
        if caller.cut_at is not None:
            assert caller.deadline is None or caller.cut_at < caller.deadline
        if caller.answer.cancelled():
            assert caller.times_cut_when_left is not None
            # Who waited for room may leave in the very turn of the cut, and be noticed after it.
            if not caller.backpressured or caller.times_cut_when_left:
                assert self.times_cut(caller) == caller.times_cut_when_left
            return
        assert caller.times_cut_when_left is None
        error = caller.answer.exception()
        if isinstance(error, Draining):
            assert (
                not all_in_time or (caller.backpressured and caller.cut_at is None) or self.outage
            )
        elif isinstance(error, Unhealthy):
            assert self.outage
        elif isinstance(error, DeadlinePassed):
            assert caller.deadline is not None
            assert caller.deadline <= self.loop.now
            assert caller.cut_at is None
        elif isinstance(error, ModelFailed):
            assert caller.text in self.spoiled or (
                caller.text in self.poisons and self.was_cut_alone(caller)
            )
        else:
            assert error is None
            assert caller.text not in self.poisons
            assert said(caller.answer.result()) == caller.text

    def check_order(self) -> None:
        """The texts of a call are cut in their order, and calls of one text in theirs.

        With two workers it cannot be seen which cut was first.
        """
        if len(self.fakes) > 1:
            return
        cut = [caller for caller in self.callers if self.times_cut(caller)]
        alike: dict[tuple[bool, int], list[int]] = {}
        for caller in cut:
            kind = (caller.backpressured, 0 if caller.alone else caller.call)
            number = next(n for n, texts in enumerate(self.fakes[0].cuts) if caller.text in texts)
            alike.setdefault(kind, []).append(number)
        for numbers in alike.values():
            assert numbers == sorted(numbers)

    # How it is brought about

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

    def cancel(self, caller: Caller) -> None:
        caller.times_cut_when_left = self.times_cut(caller)
        assert caller.answer.cancel()

    def times_cut(self, caller: Caller) -> int:
        return sum(caller.text in cut for fake in self.fakes for cut in fake.cuts)

    def was_cut_alone(self, caller: Caller) -> bool:
        return any(cut == [caller.text] for fake in self.fakes for cut in fake.cuts)

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
                was_quiet, quiet = quiet, self.loop.computing <= len(self.at_gate)
                if was_quiet and quiet:
                    return
                assert time.monotonic() < hung

        self.runner.run(run())
        self.outage = self.outage or self.batcher.broken_replicas == len(self.fakes)
        for caller in self.callers:
            if caller.cut_at is None and self.times_cut(caller):
                caller.cut_at = self.loop.now


TestBatcher = BatcherMachine.TestCase
TestBatcher.settings = settings(
    derandomize=True,
    deadline=None,
    max_examples=150,
    stateful_step_count=30,
)
