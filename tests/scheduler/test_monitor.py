"""The watch over a batcher: what it tells, and when it gives the model up."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress

import pytest
from valence_service.core.errors import ModelFailed, Unhealthy
from valence_service.scheduler import monitor, worker
from valence_service.scheduler.batcher import Batcher
from valence_service.scheduler.monitor import ModelLost

from tests.scheduler.fakes import FakeClassifier, a_few_turns, batching, said, sentiment_of, submit

HANG_SECONDS = 6.0


@pytest.fixture(autouse=True)
def _polls_at_every_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(monitor, "POLL_SECONDS", 0)
    monkeypatch.setattr(worker, "RECOVERY_SECONDS", 0)


class Watched:
    """What the watch tells of a batcher."""

    def __init__(self, batcher: Batcher) -> None:
        self.told: asyncio.Queue[bool] = asyncio.Queue()
        self.task = asyncio.create_task(
            monitor.watch(batcher, self.told.put_nowait, hang_seconds=HANG_SECONDS)
        )


@asynccontextmanager
async def watched(batcher: Batcher) -> AsyncIterator[Watched]:
    watching = Watched(batcher)
    try:
        yield watching
    finally:
        watching.task.cancel()
        with suppress(asyncio.CancelledError, ModelLost):
            await watching.task


async def test_a_healthy_model_is_not_spoken_of() -> None:
    fake = FakeClassifier()
    async with batching(fake) as batcher, watched(batcher) as watching:
        for text in "abc":
            assert said(await submit(batcher, text)) == text
            await a_few_turns()
        assert watching.told.empty()
        assert not watching.task.done()
    assert fake.canaries == 0


async def test_one_callers_poison_never_makes_the_model_unhealthy() -> None:
    fake = FakeClassifier()
    fake.raises["bad"] = ValueError
    async with batching(fake) as batcher, watched(batcher) as watching:
        for _ in range(5):
            with pytest.raises(ModelFailed):
                await submit(batcher, "bad")
        await a_few_turns()
        assert watching.told.empty()


async def test_a_broken_replica_is_told_of_once_and_so_is_its_recovery() -> None:
    fake = FakeClassifier()
    fake.sick = True
    async with batching(fake) as batcher, watched(batcher) as watching:
        with pytest.raises(Unhealthy):
            await submit(batcher, "any text")
        assert await watching.told.get() is False
        await a_few_turns()
        assert watching.told.empty()
        fake.sick = False
        assert await watching.told.get() is True
        await a_few_turns()
        assert watching.told.empty()


async def test_one_broken_replica_of_two_is_told_of() -> None:
    sick, well = FakeClassifier(held=True), FakeClassifier(held=True)
    sick.sick = True
    async with batching(sick, well, max_batch_texts=1) as batcher, watched(batcher) as watching:
        answers = batcher.submit(["a", "b"])
        await asyncio.gather(sick.started(), well.started())
        sick.release()
        assert await watching.told.get() is False
        well.release()
        await asyncio.gather(*answers)


async def test_an_idle_model_is_asked_the_canary_now_and_then(
    put_clock_forward: Callable[[float], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(monitor, "IDLE_CANARY_SECONDS", 4)
    fake = FakeClassifier()
    async with batching(fake) as batcher, watched(batcher) as watching:
        for times in (1, 2):
            put_clock_forward(3)
            await a_few_turns()
            assert fake.canaries == times - 1
            put_clock_forward(1.5)
            while fake.canaries < times or batcher.stalled_seconds:
                await a_few_turns()
            await a_few_turns()
        assert watching.told.empty()
        fake.canary = lambda: [sentiment_of("nonsense")]
        put_clock_forward(4.5)
        assert await watching.told.get() is False


async def test_a_busy_model_is_not_asked(
    put_clock_forward: Callable[[float], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(monitor, "IDLE_CANARY_SECONDS", 2)
    fake = FakeClassifier(held=True)
    async with batching(fake) as batcher, watched(batcher):
        for _ in range(4):
            batcher.submit(["a"])
            await fake.started()
            await a_few_turns()
            put_clock_forward(1.5)
            fake.release(1)
            await a_few_turns()
    assert fake.canaries == 0


async def test_a_batch_that_takes_half_the_limit_is_told_of_and_so_is_its_end(
    put_clock_forward: Callable[[float], None],
) -> None:
    fake = FakeClassifier(held=True)
    async with batching(fake) as batcher, watched(batcher) as watching:
        batcher.submit(["stuck"])
        await fake.started()
        put_clock_forward(HANG_SECONDS / 2 - 1)
        await a_few_turns()
        assert watching.told.empty()
        put_clock_forward(1)
        assert await watching.told.get() is False
        fake.release()
        assert await watching.told.get() is True
        assert not watching.task.done()


async def test_a_batch_that_does_not_end_in_the_limit_is_given_up(
    put_clock_forward: Callable[[float], None],
) -> None:
    fake = FakeClassifier(held=True)
    async with batching(fake) as batcher, watched(batcher) as watching:
        batcher.submit(["stuck"])
        await fake.started()
        put_clock_forward(HANG_SECONDS / 2)
        assert await watching.told.get() is False
        await a_few_turns()
        assert not watching.task.done()
        put_clock_forward(HANG_SECONDS / 2)
        with pytest.raises(ModelLost, match="a batch has been computing for 6"):
            await watching.task


async def test_replicas_that_stay_broken_are_given_up(
    put_clock_forward: Callable[[float], None],
) -> None:
    fake = FakeClassifier()
    fake.sick = True
    async with batching(fake) as batcher, watched(batcher) as watching:
        with pytest.raises(Unhealthy):
            await submit(batcher, "any text")
        assert await watching.told.get() is False
        put_clock_forward(HANG_SECONDS / 2)
        with pytest.raises(ModelLost, match="1 of its replicas"):
            await watching.task
