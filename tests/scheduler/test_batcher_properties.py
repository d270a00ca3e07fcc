"""What must always hold of the batcher, whatever its callers and its model do."""

from __future__ import annotations

import asyncio
import math
from typing import TYPE_CHECKING

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from valence_service.core.errors import DeadlinePassed, Draining, ModelFailed, Overloaded, Unhealthy
from valence_service.core.sentiment import Answer
from valence_service.scheduler.queue import Flow, estimated_tokens
from valence_service.scheduler.recovery import RECOVERY_SECONDS

from tests.scheduler.fakes import said
from tests.scheduler.world import TAMPERINGS, Caller, Wish, World, deadlines_in_seconds, wishes

if TYPE_CHECKING:
    from collections.abc import Sequence


class BatcherMachine(World):
    """Callers come, wait, leave and grow late; batches succeed and fail; the server may end."""

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
        waiting = [caller for caller in self.pending if caller.batched_at is None]
        backpressured = sum(caller.backpressured for caller in waiting)
        others = len(waiting) - backpressured
        room = min(math.ceil(self.max_queue_texts / 2), self.max_queue_texts - others)
        assert self.batcher.queued_texts == others + min(backpressured, room)

    @invariant()
    def nothing_goes_wrong_unseen(self) -> None:
        assert not self.faults

    @invariant()
    def idle_says_whether_all_are_settled(self) -> None:
        if all(caller.times_batched_when_left is None for caller in self.callers):
            assert self.batcher.idle == (not self.pending)

    @invariant()
    def batches_are_within_their_bounds_and_sorted(self) -> None:
        for fake in self.fakes:
            for batch in fake.batches:
                tokens = [estimated_tokens(text) for text in batch]
                assert 1 <= len(batch) <= self.max_batch_texts
                assert len(batch) == 1 or sum(tokens) <= self.max_batch_tokens
                assert tokens == sorted(tokens, reverse=True)

    @invariant()
    def no_replica_rests_while_texts_wait(self) -> None:
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
        if caller.batched_at is not None:
            assert caller.deadline is None or caller.batched_at < caller.deadline
        if caller.answer.cancelled():
            assert caller.times_batched_when_left is not None
            # Who waited for room may leave in the very turn of the batch, and be noticed after it.
            if not caller.backpressured or caller.times_batched_when_left:
                assert self.times_batched(caller) == caller.times_batched_when_left
            return
        assert caller.times_batched_when_left is None
        error = caller.answer.exception()
        if isinstance(error, Draining):
            assert (
                not all_in_time
                or (caller.backpressured and caller.batched_at is None)
                or self.outage
            )
        elif isinstance(error, Unhealthy):
            assert self.outage
        elif isinstance(error, DeadlinePassed):
            assert caller.deadline is not None
            assert caller.deadline <= self.loop.now
            assert caller.batched_at is None
        elif isinstance(error, ModelFailed):
            assert caller.text in self.spoiled or self.failed_alone(caller)
        else:
            assert error is None
            assert caller.text not in self.poisons
            assert said(caller.answer.result()) == caller.text

    def check_order(self) -> None:
        """The texts of a call are batched in their order, and calls of one text in theirs.

        With two replicas it cannot be seen which batch was first.
        """
        if len(self.fakes) > 1:
            return
        batched = [caller for caller in self.callers if self.times_batched(caller)]
        alike: dict[tuple[bool, int], list[int]] = {}
        for caller in batched:
            kind = (caller.backpressured, 0 if caller.alone else caller.call)
            number = next(
                n for n, texts in enumerate(self.fakes[0].batches) if caller.text in texts
            )
            alike.setdefault(kind, []).append(number)
        for numbers in alike.values():
            assert numbers == sorted(numbers)


SETTINGS = settings(derandomize=True, deadline=None, stateful_step_count=30)


def test_any_few_callers() -> None:
    run_state_machine_as_test(BatcherMachine, settings=settings(SETTINGS, max_examples=50))


@pytest.mark.full
def test_any_callers() -> None:
    run_state_machine_as_test(BatcherMachine, settings=settings(SETTINGS, max_examples=150))
