"""The bound of the queue: some callers are refused, others wait for room."""

from __future__ import annotations

import asyncio
import gc
import weakref
from collections.abc import Callable

import pytest
from valence_service.core.errors import DeadlinePassed, Overloaded
from valence_service.scheduler.queue import Flow

from tests.scheduler.fakes import (
    FakeClassifier,
    a_few_turns,
    batching,
    occupied,
    said,
    submit_wait,
)

# The bound of the queue


async def test_a_full_queue_refuses_and_says_when_to_come_again() -> None:
    fake = FakeClassifier()
    async with batching(fake, max_queue_texts=2) as batcher:
        await occupied(batcher, fake)
        batcher.submit(["a"])
        batcher.submit(["b"])
        with pytest.raises(Overloaded) as refused:
            batcher.submit(["c"])
        assert refused.value.retry_after_seconds > 0
        assert batcher.queued_texts == 2


async def test_several_texts_are_queued_all_or_not_at_all() -> None:
    fake = FakeClassifier()
    async with batching(fake, max_queue_texts=3) as batcher:
        await occupied(batcher, fake)
        batcher.submit(["a", "b"])
        with pytest.raises(Overloaded):
            batcher.submit(["c", "d"])
        assert batcher.queued_texts == 2
        (last,) = batcher.submit(["e"])
        fake.release()
        assert said(await last) == "e"
    assert fake.batches[1:] == [["a", "e", "b"]]


async def test_retrying_takes_longer_the_slower_the_model_and_the_longer_the_queue(
    put_clock_forward: Callable[[float], None],
) -> None:
    async def retry_after(*, queued: int) -> float:
        fake = FakeClassifier()
        async with batching(fake, max_queue_texts=queued) as batcher:
            slow = await occupied(batcher, fake)
            put_clock_forward(3)
            fake.release(1)
            await slow
            await occupied(batcher, fake)
            batcher.submit(["queued"] * queued)
            with pytest.raises(Overloaded) as refused:
                batcher.submit(["one more"])
        return refused.value.retry_after_seconds

    few, many = await retry_after(queued=2), await retry_after(queued=8)
    assert 1.5 < few < many <= 30


# Waiting for room


async def test_who_finds_room_does_not_wait() -> None:
    fake = FakeClassifier()
    async with batching(fake, max_queue_texts=1) as batcher:
        assert said(await submit_wait(batcher, "a")) == "a"


async def test_who_waits_for_room_is_served_first_come_first_served() -> None:
    fake = FakeClassifier()
    async with batching(fake, max_batch_texts=1, max_queue_texts=1) as batcher:
        await occupied(batcher, fake)
        batcher.submit(["queued"])
        waiters = [asyncio.create_task(submit_wait(batcher, text)) for text in ("a", "b", "c")]
        await a_few_turns()
        assert batcher.queued_texts == 1
        fake.release()
        assert [said(await waiter) for waiter in waiters] == ["a", "b", "c"]
    assert fake.batches[1:] == [["queued"], ["a"], ["b"], ["c"]]


async def test_the_order_holds_when_several_places_come_free_together() -> None:
    fake = FakeClassifier()
    async with batching(fake, max_batch_texts=1, max_queue_texts=4) as batcher:
        await occupied(batcher, fake)
        leavers = batcher.submit(["leaves", "leaves too", "leaves as well", "leaves last"])
        waiters = [asyncio.create_task(submit_wait(batcher, text)) for text in "abcde"]
        await a_few_turns()
        for leaver in leavers:
            leaver.cancel()
        await a_few_turns()
        assert batcher.queued_texts == 2
        fake.release()
        await asyncio.gather(*waiters)
    assert fake.batches[1:] == [["a"], ["b"], ["c"], ["d"], ["e"]]


async def test_a_newcomer_does_not_take_the_place_of_one_who_waits() -> None:
    fake = FakeClassifier()
    async with batching(fake, max_batch_texts=1, max_queue_texts=1) as batcher:
        await occupied(batcher, fake)
        (leaver,) = batcher.submit(["leaves"])
        waiter = asyncio.create_task(submit_wait(batcher, "waits"))
        await a_few_turns()
        leaver.cancel()
        await asyncio.sleep(0)
        with pytest.raises(Overloaded):
            batcher.submit(["newcomer"])
        fake.release()
        assert said(await waiter) == "waits"


async def test_a_deadline_that_passes_while_waiting_for_room_is_honoured() -> None:
    fake = FakeClassifier()
    past = asyncio.get_running_loop().time() - 1
    async with batching(fake, max_queue_texts=1) as batcher:
        await occupied(batcher, fake)
        batcher.submit(["queued"])
        waiting = asyncio.create_task(batcher.submit_wait("late", Flow(), deadline=past))
        await a_few_turns()
        fake.release()
        with pytest.raises(DeadlinePassed):
            await (await waiting)
    assert ["late"] not in fake.batches


@pytest.mark.parametrize("turns", range(4))
async def test_who_stops_waiting_does_not_take_a_place_along(turns: int) -> None:
    fake = FakeClassifier()
    async with batching(fake, max_batch_texts=1, max_queue_texts=1) as batcher:
        await occupied(batcher, fake)
        (queued,) = batcher.submit(["queued"])
        leaver = asyncio.create_task(submit_wait(batcher, "leaves"))
        stayer = asyncio.create_task(submit_wait(batcher, "stays"))
        await a_few_turns()
        queued.cancel()
        for _ in range(turns):
            await asyncio.sleep(0)
        leaver.cancel()
        await a_few_turns()
        assert leaver.cancelled()
        assert batcher.queued_texts == 1
        fake.release()
        assert said(await stayer) == "stays"
    assert ["leaves"] not in fake.batches


async def test_who_stops_waiting_leaves_nothing_behind() -> None:
    class Text(str):
        """A text that can be watched."""

        __slots__ = ("__weakref__",)

    fake = FakeClassifier()
    async with batching(fake, max_queue_texts=1) as batcher:
        await occupied(batcher, fake)
        batcher.submit(["queued"])
        text = Text("waits")
        remains = weakref.ref(text)
        waiter = asyncio.create_task(submit_wait(batcher, text))
        del text
        await a_few_turns()
        waiter.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiter
        del waiter
        await a_few_turns()
        gc.collect()
        assert remains() is None


async def test_a_deadline_that_passes_makes_room_for_who_waits(
    put_clock_forward: Callable[[float], None],
) -> None:
    fake = FakeClassifier()
    soon = asyncio.get_running_loop().time() + 2
    async with batching(fake, max_queue_texts=1) as batcher:
        await occupied(batcher, fake)
        (late,) = batcher.submit(["late"], deadline=soon)
        waiter = asyncio.create_task(submit_wait(batcher, "waits"))
        await a_few_turns()
        put_clock_forward(3)
        fake.release()
        assert said(await waiter) == "waits"
        with pytest.raises(DeadlinePassed):
            await late
