"""Calls take turns: one of many texts does not keep one of a single text waiting."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest
from valence_service.core.errors import Overloaded
from valence_service.scheduler.batcher import Batcher
from valence_service.scheduler.queue import SINGLES_SECONDS, Flow

from tests.scheduler.fakes import (
    FakeClassifier,
    a_few_turns,
    batching,
    occupied,
    said,
    submit,
    submit_wait,
)


async def streamed(batcher: Batcher, texts: str) -> list[asyncio.Task[object]]:
    """The texts of one stream, as many at once as there is room for."""
    flow = Flow()
    tasks: list[asyncio.Task[object]] = [
        asyncio.create_task(submit_wait(batcher, text, flow)) for text in texts
    ]
    await a_few_turns()
    return tasks


async def test_calls_take_turns_a_text_at_a_time() -> None:
    fake = FakeClassifier()
    async with batching(fake, max_batch_texts=1) as batcher:
        await occupied(batcher, fake)
        answers = batcher.submit(["a1", "a2", "a3"]) + batcher.submit(["b1", "b2"])
        answers += batcher.submit(["c"])
        fake.release()
        await asyncio.gather(*answers)
    assert fake.batches[1:] == [["a1"], ["b1"], ["c"], ["a2"], ["b2"], ["a3"]]


async def test_who_comes_later_waits_for_one_turn_of_each_call_and_no_more() -> None:
    fake = FakeClassifier()
    async with batching(fake, max_batch_texts=2) as batcher:
        await occupied(batcher, fake)
        stream = await streamed(batcher, "12345678")
        batch = batcher.submit(["x", "y", "z"])
        (single,) = batcher.submit(["single"])
        fake.release()
        assert said(await single) == "single"
        await asyncio.gather(*stream, *batch)
    assert [sorted(batch) for batch in fake.batches[1:3]] == [["1", "x"], ["2", "single"]]


async def test_singles_that_keep_coming_do_not_starve_a_stream() -> None:
    fake = FakeClassifier()
    async with batching(fake, max_batch_texts=1) as batcher:
        await occupied(batcher, fake)
        stream = await streamed(batcher, "12")
        for number in range(6):
            batcher.submit([f"single {number}"])
            fake.release(1)
            await fake.started()
        assert ["1"] in fake.batches
        assert ["2"] in fake.batches
        fake.release()
        await asyncio.gather(*stream)


async def test_streams_leave_half_of_the_places_to_calls_that_would_be_refused() -> None:
    fake = FakeClassifier()
    async with batching(fake, max_queue_texts=6) as batcher:
        await occupied(batcher, fake)
        streams = [*await streamed(batcher, "12345"), *await streamed(batcher, "67")]
        assert batcher.queued_texts == 3
        batcher.submit(["a", "b", "c"])
        with pytest.raises(Overloaded):
            batcher.submit(["d"])
        fake.release()
        await asyncio.gather(*streams)


async def test_a_batch_beside_singles_takes_no_longer_than_two_of_them(
    put_clock_forward: Callable[[float], None],
) -> None:
    fake = FakeClassifier()
    async with batching(fake, max_queue_texts=100, max_batch_texts=50) as batcher:
        await batcher.check_replicas()  # shows how long a single takes

        async def second_batch_of_the_stream() -> int:
            await occupied(batcher, fake)
            stream = await streamed(batcher, "s" * 20)
            fake.release(1)
            await fake.started()
            fake.release()
            await asyncio.gather(*stream)
            return len(fake.batches[-1])

        # Texts of three tokens, a second each: so long does no single take.
        slow = await occupied(batcher, fake)
        put_clock_forward(8)
        fake.release(1)
        await slow
        assert await second_batch_of_the_stream() == 1
        put_clock_forward(SINGLES_SECONDS)
        fake.batches.clear()
        stream = await streamed(batcher, "s" * 20)
        await asyncio.gather(*stream)
        assert max(map(len, fake.batches)) > 1


async def test_a_batch_where_no_single_comes_is_as_large_as_it_may_be() -> None:
    fake = FakeClassifier()
    async with batching(fake, max_queue_texts=100, max_batch_texts=50) as batcher:
        await batcher.check_replicas()
        fake.hold()
        stream = await streamed(batcher, "s" * 21)
        fake.release()
        await asyncio.gather(*stream)
        assert said(await submit(batcher, "later")) == "later"
    assert max(map(len, fake.batches)) > 10
