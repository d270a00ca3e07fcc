"""Closing answers what is queued, and leaves nobody waiting."""

from __future__ import annotations

import asyncio
import threading

import pytest
from valence_service.core.errors import Draining
from valence_service.scheduler.batcher import Batcher
from valence_service.scheduler.queue import Flow

from tests.scheduler.fakes import (
    GUARD_SECONDS,
    FakeClassifier,
    a_few_turns,
    batching,
    occupied,
    said,
    submit_wait,
)
from tests.support.waiting import until


async def test_closing_an_idle_batcher_takes_no_time() -> None:
    async with batching(FakeClassifier(), FakeClassifier()) as batcher:
        await a_few_turns()
        assert await batcher.close(timeout_seconds=0)


async def test_closing_answers_what_is_queued_and_takes_nothing_more() -> None:
    fake = FakeClassifier()
    async with batching(fake, max_batch_texts=1) as batcher:
        running = await occupied(batcher, fake)
        queued = batcher.submit(["a", "b"])
        closing = asyncio.create_task(batcher.close(timeout_seconds=10))
        await a_few_turns()
        with pytest.raises(Draining):
            batcher.submit(["too late"])
        with pytest.raises(Draining):
            await batcher.submit_wait("too late", Flow())
        assert not closing.done()
        fake.release()
        assert await closing
        assert [future.done() for future in (running, *queued)] == [True] * 3
        assert [said(future.result()) for future in (running, *queued)] == ["occupies", "a", "b"]
        assert batcher.idle


async def test_while_closing_a_replica_that_is_free_takes_over_from_one_that_breaks() -> None:
    fakes = [FakeClassifier(held=True), FakeClassifier(held=True)]
    async with batching(*fakes) as batcher:
        answer = asyncio.create_task(submit_wait(batcher, "a"))
        await until(lambda: any(fake.at_gate for fake in fakes))
        breaks = next(fake for fake in fakes if fake.at_gate)
        closing = asyncio.create_task(batcher.close(timeout_seconds=10))
        await a_few_turns()
        breaks.sick = True
        for fake in fakes:
            fake.release()
        assert said(await answer) == "a"
        assert await closing
        assert [fake.batches for fake in fakes] == [[["a"]]] * 2


async def test_closing_turns_away_who_waits_for_room() -> None:
    fake = FakeClassifier()
    async with batching(fake, max_queue_texts=1) as batcher:
        await occupied(batcher, fake)
        (queued,) = batcher.submit(["queued"])
        waiters = [asyncio.create_task(submit_wait(batcher, text)) for text in "abc"]
        await a_few_turns()
        closing = asyncio.create_task(batcher.close(timeout_seconds=10))
        for waiter in waiters:
            with pytest.raises(Draining):
                await waiter
        fake.release()
        assert await closing
        assert said(await queued) == "queued"


async def test_closing_without_time_left_fails_the_rest_and_abandons_the_stuck_thread() -> None:
    fake = FakeClassifier()
    async with batching(fake, max_queue_texts=2) as batcher:
        running = await occupied(batcher, fake)
        queued, leaver = batcher.submit(["queued", "leaves"])
        waiter = asyncio.create_task(submit_wait(batcher, "waits"))
        await a_few_turns()
        leaver.cancel()
        assert not await batcher.close(timeout_seconds=0)
        for caller in (running, queued, waiter):
            with pytest.raises(Draining):
                await caller
        assert leaver.cancelled()
        assert batcher.idle
        assert batcher.queued_texts == 0
        assert asyncio.all_tasks() == {asyncio.current_task()}
    assert fake.batches == [["occupies"]]


async def test_closing_ends_the_threads() -> None:
    fakes = [FakeClassifier(), FakeClassifier()]
    async with batching(*fakes) as batcher:
        await batcher.check_replicas()
        idents = {ident for fake in fakes for ident in fake.threads}
        threads = [thread for thread in threading.enumerate() if thread.ident in idents]
        assert len(threads) == 2
        await batcher.close(timeout_seconds=10)
        for thread in threads:
            thread.join(GUARD_SECONDS)
            assert not thread.is_alive()


async def test_closing_twice_is_closing_once() -> None:
    fake = FakeClassifier()
    async with batching(fake) as batcher:
        running = await occupied(batcher, fake)
        assert not await batcher.close(timeout_seconds=0)
        assert not await batcher.close(timeout_seconds=0)
        with pytest.raises(Draining):
            await running


async def test_a_fault_of_the_batcher_itself_does_not_go_unseen(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    fake = FakeClassifier()
    async with asyncio.timeout(10):
        batcher = Batcher([fake], max_batch_texts=1, max_batch_tokens=1, max_queue_texts=1)
        monkeypatch.setattr(
            "valence_service.scheduler.queue.Queue.next_batch", lambda *_, **__: 1 / 0
        )
        with pytest.raises(ZeroDivisionError):
            await batcher.close(timeout_seconds=10)
