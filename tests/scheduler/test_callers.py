"""Callers who leave or whose deadline passes affect nobody else."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from valence_service.core.errors import DeadlinePassed
from valence_service.core.sentiment import Sentiment

from tests.scheduler.fakes import (
    FakeClassifier,
    a_few_turns,
    batching,
    occupied,
    said,
    sentiment_of,
    submit,
)

UNEQUAL: list[Callable[[list[Sentiment]], Any]] = [
    lambda answers: answers[1:],
    lambda answers: [*answers, sentiment_of("nobody's")],
    lambda answers: [],
    lambda answers: None,
]


# Callers who leave


async def test_a_caller_who_leaves_the_queue_frees_the_place_and_is_not_computed() -> None:
    fake = FakeClassifier()
    async with batching(fake, max_queue_texts=2) as batcher:
        await occupied(batcher, fake)
        leaver, stayer = batcher.submit(["leaves", "stays"])
        leaver.cancel()
        await a_few_turns()
        assert batcher.queued_texts == 1
        (newcomer,) = batcher.submit(["comes"])
        fake.release()
        assert said(await stayer) == "stays"
        assert said(await newcomer) == "comes"
    assert fake.batches[1:] == [["stays", "comes"]]


async def test_a_caller_who_leaves_in_the_instant_of_its_batch_is_skipped() -> None:
    fake = FakeClassifier()
    async with batching(fake) as batcher:
        leaver, stayer = batcher.submit(["leaves", "stays"])
        leaver.cancel()
        assert said(await stayer) == "stays"
    assert fake.batches == [["stays"]]


async def test_who_has_left_or_is_late_takes_no_place_in_a_cut(
    put_clock_forward: Callable[[float], None],
) -> None:
    fake = FakeClassifier()
    loop = asyncio.get_running_loop()
    async with batching(fake, max_batch_texts=2, max_batch_tokens=20) as batcher:
        await occupied(batcher, fake)
        (leaver,) = batcher.submit(["leaves " + "x" * 30])
        (late,) = batcher.submit(["late " + "x" * 30], deadline=loop.time() + 2)
        stayers = batcher.submit(["stays", "stays too"])
        leaver.cancel()
        put_clock_forward(3)
        fake.release()
        await asyncio.gather(*stayers)
        with pytest.raises(DeadlinePassed):
            await late
    assert fake.batches[1:] == [["stays too", "stays"]]


async def test_when_all_leave_the_classifier_is_not_asked() -> None:
    fake = FakeClassifier()
    async with batching(fake) as batcher:
        for future in batcher.submit(["a", "b"]):
            future.cancel()
        await a_few_turns()
        assert batcher.idle
        assert said(await submit(batcher, "c")) == "c"
    assert fake.batches == [["c"]]


async def test_a_caller_who_leaves_a_running_batch_does_not_touch_the_others() -> None:
    fake = FakeClassifier(held=True)
    async with batching(fake) as batcher:
        leaver, stayer = batcher.submit(["leaves", "stays"])
        await fake.started()
        leaver.cancel()
        fake.release()
        assert said(await stayer) == "stays"
        assert leaver.cancelled()
        assert said(await submit(batcher, "next")) == "next"


@pytest.mark.parametrize("tamper", UNEQUAL)
async def test_a_caller_who_leaves_a_batch_that_fails_does_not_touch_the_others(
    tamper: Callable[[list[Sentiment]], Any],
) -> None:
    fake = FakeClassifier(held=True)
    async with batching(fake) as batcher:
        (leaver,) = batcher.submit(["leaves"])
        await fake.started()
        leaver.cancel()
        fake.tamper = tamper
        fake.release(1)
        (stayer,) = batcher.submit(["stays"])
        await fake.started()
        fake.tamper = lambda answers: answers
        fake.release()
        assert said(await stayer) == "stays"


async def test_a_poisonous_text_whose_caller_has_left_does_not_end_the_worker() -> None:
    fake = FakeClassifier(held=True)
    fake.raises["bad"] = ValueError
    async with batching(fake) as batcher:
        (leaver,) = batcher.submit(["bad"])
        await fake.started()
        leaver.cancel()
        fake.release()
        assert said(await submit(batcher, "good")) == "good"


# Deadlines


async def test_a_deadline_that_passes_in_the_queue_ends_the_wait_and_saves_the_work(
    put_clock_forward: Callable[[float], None],
) -> None:
    fake = FakeClassifier()
    loop = asyncio.get_running_loop()
    async with batching(fake) as batcher:
        await occupied(batcher, fake)
        (late,) = batcher.submit(["late"], deadline=loop.time() + 2)
        (later,) = batcher.submit(["in time"], deadline=loop.time() + 60)
        put_clock_forward(3)
        fake.release()
        with pytest.raises(DeadlinePassed):
            await late
        assert said(await later) == "in time"
    assert fake.batches[1:] == [["in time"]]


async def test_a_deadline_that_passes_during_the_computation_costs_nothing(
    put_clock_forward: Callable[[float], None],
) -> None:
    fake = FakeClassifier(held=True)
    async with batching(fake) as batcher:
        (future,) = batcher.submit(["a"], deadline=asyncio.get_running_loop().time() + 2)
        await fake.started()
        put_clock_forward(3)
        fake.release()
        assert said(await future) == "a"


async def test_a_caller_who_has_left_is_not_also_told_of_the_deadline() -> None:
    fake = FakeClassifier()
    async with batching(fake) as batcher:
        (leaver,) = batcher.submit(["a"], deadline=asyncio.get_running_loop().time() - 1)
        leaver.cancel()
        assert said(await submit(batcher, "b")) == "b"
        assert leaver.cancelled()
