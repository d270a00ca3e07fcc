"""A slow model is told from one that hangs, by what its largest batch has taken."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest
from valence_service.core.errors import Unhealthy
from valence_service.scheduler.batcher import Batcher
from valence_service.scheduler.canary import ReplicaBroken
from valence_service.scheduler.estimate import ThroughputEstimate
from valence_service.scheduler.hang import HANG_FACTOR, MAX_HANG_FACTOR, HangLimit
from valence_service.scheduler.queue import estimated_tokens
from valence_service.scheduler.replica import ReplicaHung
from valence_service.scheduler.warm_up import largest_batch

from tests.scheduler.fakes import FakeClassifier, a_few_turns, batching, said
from tests.support.waiting import until

HANG_SECONDS = 2.0
FULL_BATCH_SECONDS = 2.0
TEXTS, TOKENS = 4, 100


@asynccontextmanager
async def warming_up(
    *fakes: FakeClassifier,
) -> AsyncIterator[tuple[Batcher, asyncio.Task[None]]]:
    async with batching(
        *fakes, max_batch_texts=TEXTS, max_batch_tokens=TOKENS, hang_seconds=HANG_SECONDS
    ) as batcher:
        await batcher.check_replicas()
        task = asyncio.create_task(batcher.warm_up())
        await asyncio.gather(*(fake.started() for fake in fakes))
        yield batcher, task


@asynccontextmanager
async def slow(
    put_clock_forward: Callable[[float], None],
) -> AsyncIterator[tuple[Batcher, FakeClassifier]]:
    """A model whose largest batch has been seen to take longer than it may at first."""
    fake = FakeClassifier(held=True)
    async with warming_up(fake) as (batcher, task):
        put_clock_forward(FULL_BATCH_SECONDS / 2)
        await a_few_turns()
        fake.release(1)
        await task
        yield batcher, fake


async def test_one_by_one_leaves_the_other_replicas_to_callers() -> None:
    fakes = [FakeClassifier(held=True), FakeClassifier(held=True)]
    async with batching(*fakes, max_batch_texts=TEXTS, max_batch_tokens=TOKENS) as batcher:
        task = asyncio.create_task(batcher.warm_up(one_by_one=True))
        await until(lambda: any(fake.at_gate for fake in fakes))
        busy, idle = sorted(fakes, key=lambda fake: not fake.at_gate)
        (answer,) = batcher.submit(["a"])
        idle.release()
        assert said(await answer) == "a"
        assert not task.done()
        busy.release()
        await task


async def test_a_replica_that_computes_warms_up_afterwards() -> None:
    fakes = [FakeClassifier(held=True), FakeClassifier(held=True)]
    async with batching(*fakes, max_batch_texts=TEXTS, max_batch_tokens=TOKENS) as batcher:
        (answer,) = batcher.submit(["a"])
        await until(lambda: any(fake.at_gate for fake in fakes))
        busy, idle = sorted(fakes, key=lambda fake: not fake.at_gate)
        task = asyncio.create_task(batcher.warm_up())
        idle.release()
        await until(lambda: idle.batches)
        await a_few_turns()
        busy.release()
        assert said(await answer) == "a"
        await until(task.done)


async def test_every_replica_computes_the_largest_batch_at_once() -> None:
    fakes = [FakeClassifier(held=True), FakeClassifier(held=True)]
    async with warming_up(*fakes) as (batcher, task):
        for fake in fakes:
            fake.release()
        await task
        assert batcher.counters.answered == 0
    for fake in fakes:
        (batch,) = fake.batches
        assert len(batch) == TEXTS
        assert TOKENS - TEXTS <= sum(map(estimated_tokens, batch)) <= TOKENS


async def test_the_canary_and_the_largest_batch_pass_every_layer() -> None:
    fake = FakeClassifier()
    async with batching(fake) as batcher:
        await batcher.check_replicas()
        await batcher.warm_up()
        assert set(fake.full_depth) == {True}
        fake.full_depth.clear()
        (answer,) = batcher.submit(["a"])
        await answer
        assert fake.full_depth == [False]


async def test_a_slow_model_is_not_given_up_for_its_first_full_batch(
    put_clock_forward: Callable[[float], None],
) -> None:
    async with slow(put_clock_forward) as (batcher, fake):
        answers = batcher.submit(["x" * 80] * TEXTS)
        await fake.started()
        put_clock_forward(FULL_BATCH_SECONDS)  # a plain limit would be half of HANG_SECONDS
        await a_few_turns()
        assert not batcher.broken_replicas
        fake.release()
        assert [said(await answer) for answer in answers] == ["x" * 80] * TEXTS


async def test_a_slow_model_that_hangs_is_given_up_all_the_same(
    put_clock_forward: Callable[[float], None],
) -> None:
    async with slow(put_clock_forward) as (batcher, fake):
        answers = batcher.submit(["x" * 80] * TEXTS)
        await fake.started()
        put_clock_forward(MAX_HANG_FACTOR * HANG_SECONDS / 2)
        for answer in answers:
            with pytest.raises(Unhealthy):
                await answer
        assert batcher.broken_replicas == 1


async def test_a_largest_batch_that_hangs_is_given_up(
    put_clock_forward: Callable[[float], None],
) -> None:
    fake = FakeClassifier(held=True)
    async with warming_up(fake) as (batcher, task):
        put_clock_forward(HANG_SECONDS)
        with pytest.raises(ReplicaBroken, match="4 texts") as broken:
            await task
        assert isinstance(broken.value.__cause__, ReplicaHung)
        assert batcher.broken_replicas == 1


async def test_a_largest_batch_that_fails_leaves_the_replica_well() -> None:
    fake = FakeClassifier(held=True)
    async with warming_up(fake) as (batcher, task):
        fake.tamper = lambda _: 1 / 0
        fake.release()
        await task
        fake.tamper = lambda answers: answers
        (answer,) = batcher.submit(["a"])
        assert said(await answer) == "a"
    assert fake.canaries == 2


async def test_nobody_is_refused_for_an_estimate_before_the_largest_batch_is_measured(
    put_clock_forward: Callable[[float], None],
) -> None:
    fake = FakeClassifier(held=True)
    loop = asyncio.get_running_loop()
    async with batching(fake, max_queue_texts=1000, hang_seconds=100) as batcher:
        (first,) = batcher.submit(["first"])
        await fake.started()
        put_clock_forward(5)  # a first text may take long, and says little
        task = asyncio.create_task(batcher.warm_up())
        await a_few_turns()
        fake.release(1)
        await first
        await fake.started()
        batcher.submit(["x"] * 500)
        (waits,) = batcher.submit(["y"], deadline=loop.time() + 5)
        fake.release()
        await task
        assert said(await waits) == "y"


@pytest.mark.parametrize("max_batch_texts", [1, 3, 64, 4096])
@pytest.mark.parametrize("max_batch_tokens", [16, 4096])
@pytest.mark.parametrize("max_text_tokens", [8, 512, 8192])
def test_the_largest_batch_is_within_its_bounds(
    max_batch_texts: int, max_batch_tokens: int, max_text_tokens: int
) -> None:
    texts = largest_batch(
        max_batch_texts=max_batch_texts,
        max_batch_tokens=max_batch_tokens,
        max_text_tokens=max_text_tokens,
    )
    tokens = [estimated_tokens(text) for text in texts]

    assert 1 <= len(texts) <= max_batch_texts
    assert sum(tokens) <= max_batch_tokens
    assert max(tokens) <= max_text_tokens


def test_a_batch_may_take_what_is_foreseen_for_it_and_more() -> None:
    estimate = ThroughputEstimate(replicas=2)
    limit = HangLimit(60, estimate)
    for _ in range(40):
        estimate.measured(100, 2.0)

    assert limit.seconds_for(10) == 60
    assert limit.seconds_for(1000) == pytest.approx(HANG_FACTOR * 20)
    assert limit.seconds_for(100_000) == 600


def test_until_a_batch_is_measured_a_single_text_tells_how_long_it_may_take() -> None:
    estimate = ThroughputEstimate(replicas=2)
    estimate.measured_single(10, 5.0)

    assert HangLimit(60, estimate).seconds_for(100) == pytest.approx(HANG_FACTOR * 50, rel=0.2)
