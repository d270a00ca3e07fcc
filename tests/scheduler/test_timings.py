"""What the batcher reports of its work: timings, stalls, idleness."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from tests.scheduler.fakes import (
    FakeClassifier,
    a_few_turns,
    batching,
    occupied,
    submit_wait,
)


async def test_timings_say_how_long_a_text_queued_and_its_batch_took(
    put_clock_forward: Callable[[float], None],
) -> None:
    fake = FakeClassifier()
    async with batching(fake) as batcher:
        first = await occupied(batcher, fake)
        (second,) = batcher.submit(["a"])
        put_clock_forward(3)
        fake.release(1)
        await first
        await fake.started()
        put_clock_forward(5)
        fake.release()
        timings = [(await first).timings, (await second).timings]
    assert [timing.queue_seconds for timing in timings] == pytest.approx([0, 3], abs=1)
    assert [timing.inference_seconds for timing in timings] == pytest.approx([3, 5], abs=1)


async def test_the_wait_for_room_is_not_time_in_the_queue(
    put_clock_forward: Callable[[float], None],
) -> None:
    fake = FakeClassifier()
    async with batching(fake, max_queue_texts=1) as batcher:
        await occupied(batcher, fake)
        (leaver,) = batcher.submit(["leaves"])
        waiter = asyncio.create_task(submit_wait(batcher, "waits"))
        await a_few_turns()
        put_clock_forward(5)
        leaver.cancel()
        await a_few_turns()
        put_clock_forward(3)
        fake.release()
        assert (await waiter).timings.queue_seconds == pytest.approx(3, abs=1)


async def test_idle_means_that_nothing_waits_or_computes() -> None:
    fake = FakeClassifier()
    async with batching(fake) as batcher:
        assert batcher.idle
        running = await occupied(batcher, fake)
        assert (batcher.queued_texts, batcher.idle) == (0, False)
        (queued,) = batcher.submit(["queued"])
        assert (batcher.queued_texts, batcher.idle) == (1, False)
        fake.release()
        await asyncio.gather(running, queued)
        await a_few_turns()
        assert batcher.idle
