"""A worker's task that ends is noticed at once, whatever ended it; each asks its canary."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest
import structlog
from valence_service.core.errors import ModelFailed, Unhealthy
from valence_service.scheduler import worker
from valence_service.scheduler.backlog import Backlog
from valence_service.scheduler.batcher import Batcher

from tests.scheduler.fakes import (
    FakeClassifier,
    a_few_turns,
    batching,
    occupied,
    said,
    sentiment_of,
    submit,
)
from tests.support.waiting import until

pytestmark = pytest.mark.usefixtures("recovers_at_once")


def fails_once(
    monkeypatch: pytest.MonkeyPatch, owner: type, name: str, error: BaseException
) -> None:
    """Let a method raise at its next call, and work from then on."""
    method = getattr(owner, name)

    def fail(*_: object, **__: object) -> object:
        monkeypatch.setattr(owner, name, method)
        raise error

    monkeypatch.setattr(owner, name, fail)


async def test_an_error_of_the_scheduler_fails_its_batch_and_no_other(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    fake = FakeClassifier()
    async with batching(fake) as batcher:
        fails_once(monkeypatch, worker.Worker, "_settle", ZeroDivisionError("of the scheduler"))
        fails_once(monkeypatch, worker.Worker, "check", ZeroDivisionError("again"))
        with structlog.testing.capture_logs() as log, pytest.raises(ModelFailed) as failed:
            await submit(batcher, "a")
        assert isinstance(failed.value.__cause__, ZeroDivisionError)
        assert log[0]["event"] == "worker_failed"
        assert batcher.trouble == "again"
        await until(lambda: not batcher.broken_replicas)
        assert said(await submit(batcher, "b")) == "b"
        assert batcher.counters.failed == 1


async def test_an_error_before_there_is_a_batch_fails_those_who_wait(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    fake = FakeClassifier()
    async with batching(fake) as batcher:
        fails_once(monkeypatch, Backlog, "next_batch", MemoryError())
        with pytest.raises(Unhealthy):
            await submit(batcher, "a")
        await until(lambda: not batcher.broken_replicas)
        assert said(await submit(batcher, "b")) == "b"


async def test_a_task_that_is_cancelled_is_noticed() -> None:
    fake = FakeClassifier()
    async with batching(fake) as batcher:
        running = await occupied(batcher, fake)
        queued = batcher.submit(["a", "b"])
        (task,) = batcher._pool._tasks.values()
        task.cancel()
        with pytest.raises(ModelFailed):
            await running
        for caller in queued:
            with pytest.raises(Unhealthy):
                await caller
        assert batcher.trouble
        with pytest.raises(Unhealthy):
            batcher.submit(["late"])
        fake.release()


async def test_beside_a_worker_that_ended_the_others_go_on() -> None:
    fakes = [FakeClassifier(), FakeClassifier()]
    async with batching(*fakes) as batcher:
        await a_few_turns()
        next(iter(batcher._pool._tasks.values())).cancel()
        await a_few_turns()
        for text in "abc":
            assert said(await submit(batcher, text)) == text
        assert batcher.broken_replicas == 1
    assert fakes[0].batches == []


# The canary


async def test_every_replica_is_asked_the_canary_now_and_then(
    put_clock_forward: Callable[[float], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(worker, "CANARY_SECONDS", 4)
    fakes = [FakeClassifier(), FakeClassifier()]
    async with batching(*fakes) as batcher:
        await a_few_turns()
        for times in (1, 2):
            put_clock_forward(3)
            await a_few_turns()
            assert [fake.canaries for fake in fakes] == [times - 1] * 2
            put_clock_forward(1.5)
            await until(lambda: [fake.canaries for fake in fakes] == [times] * 2)  # noqa: B023
            await a_few_turns()
        fakes[1].canary = lambda: [sentiment_of("nonsense")]
        put_clock_forward(4.5)
        await until(lambda: batcher.broken_replicas)
        assert said(await submit(batcher, "a")) == "a"


async def test_a_busy_replica_is_asked_as_well(
    put_clock_forward: Callable[[float], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(worker, "CANARY_SECONDS", 2)
    fake = FakeClassifier(held=True)
    async with batching(fake, max_batch_texts=1) as batcher:
        answers = batcher.submit(["a", "b", "c"])
        await fake.started()
        put_clock_forward(1.5)
        fake.release(1)
        await fake.started()
        assert fake.canaries == 0
        put_clock_forward(1.5)
        fake.release(1)
        await fake.started()
        assert fake.canaries == 1
        fake.release()
        await asyncio.gather(*answers)


async def test_the_end_of_a_loop_starts_no_worker_again() -> None:
    async with asyncio.timeout(10):
        batcher = Batcher(
            [FakeClassifier()], max_batch_texts=1, max_batch_tokens=1, max_queue_texts=1
        )
        await a_few_turns()
        (task,) = batcher._pool._tasks.values()
        task.cancel()
        await a_few_turns()
        assert asyncio.all_tasks() == {asyncio.current_task()}
        await batcher.close(timeout_seconds=0)
