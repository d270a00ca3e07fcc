"""A call whose deadline would pass before its answer is refused at once, and told when to come."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest
from valence_service.core.errors import DeadlinePassed, Overloaded
from valence_service.scheduler import admission
from valence_service.scheduler.admission import check_deadline, retry_after
from valence_service.scheduler.batcher import Batcher
from valence_service.scheduler.queue import Flow

from tests.scheduler.fakes import FakeClassifier, a_few_turns, batching, said, submit

TEXT = "x" * 28  # ten tokens, as they are estimated
SECONDS = 2.0


@asynccontextmanager
async def slow(
    put_clock_forward: Callable[[float], None], *, queued: int = 0
) -> AsyncIterator[tuple[Batcher, FakeClassifier]]:
    """A replica known to take SECONDS for TEXT, that computes one while others wait."""
    fake = FakeClassifier(held=True)
    async with batching(fake, max_batch_texts=1, max_queue_texts=50) as batcher:
        # Until what was assumed at first no longer counts.
        for _ in range(4):
            (answer,) = batcher.submit([TEXT])
            await fake.started()
            put_clock_forward(SECONDS)
            fake.release(1)
            await answer
        batcher.submit([TEXT])
        await fake.started()
        for _ in range(queued):
            batcher.submit([TEXT])
        yield batcher, fake


def in_seconds(seconds: float) -> float:
    return asyncio.get_running_loop().time() + seconds


async def test_the_forecast_wait_is_that_of_the_whole_queue(
    put_clock_forward: Callable[[float], None],
) -> None:
    async with slow(put_clock_forward, queued=3) as (batcher, fake):
        assert 2.5 * SECONDS < batcher.forecast_wait_seconds < 3.5 * SECONDS
        fake.release()
        await batcher.close(timeout_seconds=20)
        assert batcher.forecast_wait_seconds == 0


async def test_nothing_is_forecast_before_a_batch_was_measured() -> None:
    fake = FakeClassifier(held=True)
    async with batching(fake, max_batch_texts=1) as batcher:
        answers = [batcher.submit([TEXT])[0] for _ in range(2)]
        await fake.started()
        assert batcher.queued_texts == 1
        assert batcher.forecast_wait_seconds == 0
        fake.release()
        await asyncio.gather(*answers)


async def test_refused_where_the_deadline_would_pass(
    put_clock_forward: Callable[[float], None],
) -> None:
    async with slow(put_clock_forward, queued=3) as (batcher, _):
        # One computes, three wait, and its own: 10 s and the margin.
        with pytest.raises(
            Overloaded, match=r"take 14\.\d+ s, and the deadline is in 8\."
        ) as refused:
            batcher.submit([TEXT], deadline=in_seconds(8.9))
        assert 5 < refused.value.retry_after_seconds < 9
        assert batcher.queued_texts == 3
        batcher.submit([TEXT], deadline=in_seconds(18))
        batcher.submit([TEXT])  # who can wait for ever is not refused
        assert batcher.queued_texts == 5


async def test_each_text_of_a_batch_weighs(put_clock_forward: Callable[[float], None]) -> None:
    async with slow(put_clock_forward) as (batcher, _):
        batcher.submit([TEXT] * 2, deadline=in_seconds(12))
        with pytest.raises(Overloaded):
            batcher.submit([TEXT] * 20, deadline=in_seconds(20))


async def test_a_single_text_is_foreseen_to_wait_for_a_turn_and_not_for_all(
    put_clock_forward: Callable[[float], None],
) -> None:
    async with slow(put_clock_forward) as (batcher, _):
        batcher.submit([TEXT] * 20)
        batcher.submit([TEXT], deadline=in_seconds(12))
        with pytest.raises(Overloaded):
            batcher.submit([TEXT] * 5, deadline=in_seconds(20))


async def test_with_an_idle_replica_nobody_is_refused(
    put_clock_forward: Callable[[float], None],
) -> None:
    async with slow(put_clock_forward) as (batcher, fake):
        fake.release()
        while not batcher.idle:
            await a_few_turns()
        # The estimate may be wrong by now: a refusal would leave it so.
        assert said(await submit(batcher, TEXT)) == TEXT
        (answer,) = batcher.submit([TEXT], deadline=in_seconds(1.5))
        assert said(await answer) == TEXT


async def test_a_stream_is_held_back_and_never_refused(
    put_clock_forward: Callable[[float], None],
) -> None:
    async with slow(put_clock_forward, queued=10) as (batcher, fake):
        answer = await batcher.submit_wait(TEXT, Flow(), deadline=in_seconds(4))
        put_clock_forward(8)
        fake.release()
        with pytest.raises(DeadlinePassed):
            await answer


async def test_who_would_be_answered_too_late_gives_up_the_place(
    put_clock_forward: Callable[[float], None],
) -> None:
    async with slow(put_clock_forward) as (batcher, fake):
        # In time for all when they came; then the one before them took longer than foreseen.
        (late,) = batcher.submit([TEXT], deadline=in_seconds(8))
        (in_time,) = batcher.submit([TEXT], deadline=in_seconds(24))
        put_clock_forward(6.5)
        fake.release()
        with pytest.raises(DeadlinePassed, match="was about to pass"):
            await late
        assert said(await in_time) == TEXT


async def test_who_is_alone_is_computed_while_there_is_time_at_all(
    put_clock_forward: Callable[[float], None],
) -> None:
    async with slow(put_clock_forward) as (batcher, fake):
        (last,) = batcher.submit([TEXT], deadline=in_seconds(8))
        put_clock_forward(6.5)
        fake.release()
        assert said(await last) == TEXT


async def test_a_deadline_that_has_passed_is_told_as_such(
    put_clock_forward: Callable[[float], None],
) -> None:
    async with slow(put_clock_forward) as (batcher, _):
        with pytest.raises(DeadlinePassed):
            batcher.submit([TEXT], deadline=in_seconds(-1))


async def test_two_replicas_foresee_half_the_wait(
    put_clock_forward: Callable[[float], None],
) -> None:
    fakes = [FakeClassifier(), FakeClassifier()]
    async with batching(*fakes, max_batch_texts=1) as batcher:
        for fake in fakes:
            fake.hold()
        answers = batcher.submit([TEXT, TEXT])
        await asyncio.gather(*(fake.started() for fake in fakes))
        put_clock_forward(2)
        for fake in fakes:
            fake.release(1)
        await asyncio.gather(*answers)
        batcher.submit([TEXT, TEXT])
        await asyncio.gather(*(fake.started() for fake in fakes))
        with pytest.raises(Overloaded, match=r"take 4\."):
            batcher.submit([TEXT], deadline=in_seconds(3.5))
        batcher.submit([TEXT], deadline=in_seconds(5.5))


def test_retrying_is_spread_and_bounded() -> None:
    delays = {retry_after(10) for _ in range(100)}
    assert len(delays) > 50
    assert all(10 <= delay <= 13 for delay in delays)
    assert retry_after(0) == admission.MIN_RETRY_SECONDS
    assert retry_after(1e9) == admission.MAX_RETRY_SECONDS


def test_an_answer_in_time_is_not_refused() -> None:
    check_deadline(answered_in_seconds=1, left_seconds=2)
