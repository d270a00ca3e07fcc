"""The monitor: when it calls the model healthy, and when it gives the model up."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress

import pytest
import structlog
from valence_service.core.errors import ModelFailed, Unhealthy
from valence_service.core.sentiment import Answer
from valence_service.scheduler import monitor, recovery
from valence_service.scheduler.batcher import Batcher
from valence_service.scheduler.monitor import ModelLost, ReplicaLost

from tests.scheduler.fakes import FakeClassifier, a_few_turns, batching, said, submit
from tests.support.waiting import until

HANG_SECONDS = 6.0


@pytest.fixture(autouse=True)
def _polls_at_every_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(monitor, "POLL_SECONDS", 0)
    monkeypatch.setattr(recovery, "RECOVERY_SECONDS", 0)


class Watched:
    """What the monitor says of a batcher."""

    def __init__(self, batcher: Batcher, *, exit_when_degraded: bool) -> None:
        self.told: asyncio.Queue[bool] = asyncio.Queue()
        self.task = asyncio.create_task(
            monitor.watch(
                batcher,
                self.told.put_nowait,
                hang_seconds=HANG_SECONDS,
                exit_when_degraded=exit_when_degraded,
            )
        )


@asynccontextmanager
async def watched(batcher: Batcher, *, exit_when_degraded: bool = False) -> AsyncIterator[Watched]:
    watching = Watched(batcher, exit_when_degraded=exit_when_degraded)
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


async def test_the_only_replica_that_breaks_is_told_of_once_and_so_is_its_recovery() -> None:
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


async def test_with_a_well_replica_left_the_model_is_healthy() -> None:
    sick, well = FakeClassifier(held=True), FakeClassifier(held=True)
    sick.sick = True
    async with batching(sick, well, max_batch_texts=1) as batcher, watched(batcher) as watching:
        answers = batcher.submit(["a", "b"])
        await asyncio.gather(sick.started(), well.started())
        sick.release()
        await until(lambda: batcher.broken_replicas)
        await a_few_turns()
        assert watching.told.empty()
        well.release()
        assert [said(await answer) for answer in answers] == ["a", "b"]


async def test_with_no_well_replica_left_the_model_is_not_healthy() -> None:
    fakes = [FakeClassifier(), FakeClassifier()]
    for fake in fakes:
        fake.sick = True
    async with batching(*fakes) as batcher, watched(batcher) as watching:
        with pytest.raises(Unhealthy):
            await submit(batcher, "any text")
        assert await watching.told.get() is False
        fakes[1].sick = False
        assert await watching.told.get() is True
        assert said(await submit(batcher, "a")) == "a"
        assert batcher.broken_replicas == 1


async def test_a_batch_that_takes_half_the_limit_is_told_of_and_so_is_its_end(
    put_clock_forward: Callable[[float], None],
) -> None:
    fake = FakeClassifier(held=True)
    async with batching(fake, hang_seconds=HANG_SECONDS) as batcher, watched(batcher) as watching:
        (stuck,) = batcher.submit(["stuck"])
        await fake.started()
        put_clock_forward(HANG_SECONDS / 2 - 1)
        await a_few_turns()
        assert watching.told.empty()
        put_clock_forward(1)
        assert await watching.told.get() is False
        with pytest.raises(Unhealthy):
            await stuck
        fake.release()
        assert await watching.told.get() is True
        assert said(await submit(batcher, "next")) == "next"


async def test_a_batch_that_does_not_end_in_the_limit_is_given_up(
    put_clock_forward: Callable[[float], None],
) -> None:
    fake = FakeClassifier(held=True)
    async with batching(fake, hang_seconds=HANG_SECONDS) as batcher, watched(batcher) as watching:
        (stuck,) = batcher.submit(["stuck"])
        await fake.started()
        put_clock_forward(HANG_SECONDS / 2)
        assert await watching.told.get() is False
        await a_few_turns()
        assert not watching.task.done()
        put_clock_forward(HANG_SECONDS / 2)
        with pytest.raises(ModelLost, match=r"has not ended in 3\.0 s"):
            await watching.task
        with pytest.raises(Unhealthy):
            await stuck


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
        with pytest.raises(ModelLost, match="fails on"):
            await watching.task


@asynccontextmanager
async def degraded(*, exit_when_degraded: bool) -> AsyncIterator[tuple[Batcher, Watched]]:
    """A batcher with a broken replica and a well one."""
    sick, well = FakeClassifier(), FakeClassifier()
    sick.canary = list
    async with (
        batching(sick, well) as batcher,
        watched(batcher, exit_when_degraded=exit_when_degraded) as watching,
    ):
        with suppress(Exception):
            await batcher.check_replicas()
        assert batcher.broken_replicas == 1
        yield batcher, watching


async def test_a_replica_that_does_not_recover_ends_the_service_where_so_configured(
    put_clock_forward: Callable[[float], None],
) -> None:
    async with degraded(exit_when_degraded=True) as (batcher, watching):
        put_clock_forward(HANG_SECONDS - 1)
        await a_few_turns()
        assert not watching.task.done()
        put_clock_forward(1)
        with pytest.raises(ReplicaLost, match="1 of 2 replicas have not recovered"):
            await watching.task
        # For whoever has been accepted by then.
        assert said(await submit(batcher, "a")) == "a"
        assert watching.told.empty()


async def test_else_the_service_goes_on_and_the_log_says_so_once(
    put_clock_forward: Callable[[float], None],
) -> None:
    with structlog.testing.capture_logs() as log:
        async with degraded(exit_when_degraded=False) as (batcher, watching):
            put_clock_forward(HANG_SECONDS)
            for text in "abc":
                assert said(await submit(batcher, text)) == text
            assert not watching.task.done()
            assert watching.told.empty()
    assert [line["event"] for line in log if line["log_level"] == "error"] == [
        "replica_broken",
        "degraded",
    ]


async def blocked(batcher: Batcher, monkeypatch: pytest.MonkeyPatch) -> asyncio.Future[Answer]:
    """A text that waits though a replica is free, as if its worker had not been woken."""
    await a_few_turns()
    with monkeypatch.context() as patch:
        patch.setattr(batcher._queue.arrived, "set", lambda: None)
        (waits,) = batcher.submit(["a"])
    await a_few_turns()
    return waits


async def test_a_queue_that_does_not_move_is_noticed(
    put_clock_forward: Callable[[float], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    fake = FakeClassifier()
    async with batching(fake) as batcher, watched(batcher) as watching:
        waits = await blocked(batcher, monkeypatch)
        assert watching.told.empty()
        put_clock_forward(monitor.BLOCKED_SECONDS)
        assert await watching.told.get() is False
        batcher.fail_all(Unhealthy("as the lifecycle does"))
        with pytest.raises(Unhealthy):
            await waits
        # An empty queue proves nothing.
        put_clock_forward(HANG_SECONDS / 2)
        with pytest.raises(ModelLost, match="a replica is free"):
            await watching.task


async def test_a_queue_that_moves_again_is_healthy_again(
    put_clock_forward: Callable[[float], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    fake = FakeClassifier()
    async with batching(fake) as batcher, watched(batcher) as watching:
        waits = await blocked(batcher, monkeypatch)
        put_clock_forward(monitor.BLOCKED_SECONDS)
        assert await watching.told.get() is False
        batcher._queue.arrived.set()
        assert await watching.told.get() is True
        assert said(await waits) == "a"
