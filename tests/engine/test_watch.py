"""The canary, and the watch that asks it."""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress

import pytest
from valence_service.engine import watch
from valence_service.engine.batcher import Batcher
from valence_service.engine.watch import CANARY, CanaryDied, ask_canary
from valence_service.sentiment import ModelFailed

from tests.engine.fakes import FakeClassifier, a_few_turns, batching, said, sentiment_of


@pytest.fixture(autouse=True)
def _polls_at_every_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watch, "POLL_SECONDS", 0)


@asynccontextmanager
async def watched(batcher: Batcher) -> AsyncIterator[asyncio.Queue[bool]]:
    """What the watch tells of a batcher."""
    told: asyncio.Queue[bool] = asyncio.Queue()
    watching = asyncio.create_task(watch.watch(batcher, told.put_nowait))
    try:
        yield told
        assert not watching.done()
    finally:
        watching.cancel()
        with suppress(asyncio.CancelledError):
            await watching


async def fail(batcher: Batcher, text: str, *, times: int = watch.DOUBT_FAILURES) -> None:
    """By default as often as makes the watch doubt."""
    for _ in range(times):
        with pytest.raises(ModelFailed):
            await batcher.submit([text])[0]


async def canary_asked(fake: FakeClassifier) -> None:
    while CANARY not in await fake.started():
        pass


# The canary


async def test_a_canary_that_is_answered_lives() -> None:
    fake = FakeClassifier()
    async with batching(fake) as batcher:
        await ask_canary(batcher)
    assert fake.cuts == [[CANARY]]


async def test_a_canary_that_fails_is_dead_and_says_of_what() -> None:
    fake = FakeClassifier()
    fake.raises[CANARY] = MemoryError
    async with batching(fake) as batcher:
        with pytest.raises(CanaryDied) as died:
            await ask_canary(batcher)
    assert isinstance(died.value.__cause__, ModelFailed)
    assert isinstance(died.value.__cause__.__cause__, MemoryError)


@pytest.mark.parametrize("score", [math.nan, math.inf, -math.inf])
async def test_a_canary_whose_score_is_no_number_is_dead(score: float) -> None:
    fake = FakeClassifier()
    fake.tamper = lambda _: [sentiment_of(CANARY, score=score)]
    async with batching(fake) as batcher:
        with pytest.raises(CanaryDied, match="not numbers"):
            await ask_canary(batcher)


@pytest.mark.parametrize("queued", [0, 1])
async def test_a_canary_without_an_answer_in_time_is_dead_and_leaves_nothing_behind(
    queued: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watch, "CANARY_SECONDS", 0)
    fake = FakeClassifier(held=True)
    async with batching(fake, max_queue_texts=1) as batcher:
        batcher.submit(["occupies"])
        await fake.started()
        batcher.submit(["queued"] * queued)
        with pytest.raises(CanaryDied, match="no answer in 0 s"):
            await ask_canary(batcher)
        await a_few_turns()
        assert batcher.queued_texts == queued


async def test_a_full_queue_does_not_kill_the_canary() -> None:
    fake = FakeClassifier(held=True)
    async with batching(fake, max_queue_texts=1) as batcher:
        batcher.submit(["occupies"])
        await fake.started()
        batcher.submit(["queued"])
        asking = asyncio.create_task(ask_canary(batcher))
        await a_few_turns()
        fake.release()
        await asking


async def test_a_batcher_that_ends_has_no_canary() -> None:
    async with batching(FakeClassifier()) as batcher:
        await batcher.close(timeout_seconds=1)
        with pytest.raises(CanaryDied):
            await ask_canary(batcher)


# The watch


async def test_a_healthy_model_is_not_spoken_of_nor_asked() -> None:
    fake = FakeClassifier()
    async with batching(fake) as batcher, watched(batcher) as told:
        for text in "abc":
            assert said(await batcher.submit([text])[0]) == text
            await a_few_turns()
        assert told.empty()
    assert fake.cuts == [["a"], ["b"], ["c"]]


async def test_a_model_that_fails_on_everything_is_told_of_once_and_so_is_its_recovery() -> None:
    fake = FakeClassifier()
    fake.tamper = lambda _: None
    async with batching(fake) as batcher, watched(batcher) as told:
        await fail(batcher, "any text")
        assert await told.get() is False
        await canary_asked(fake)
        await canary_asked(fake)
        assert told.empty()
        fake.tamper = lambda answers: answers
        assert await told.get() is True
        await a_few_turns()
        assert told.empty()


async def test_fewer_failures_raise_no_doubt() -> None:
    fake = FakeClassifier()
    fake.raises["bad"] = ValueError
    async with batching(fake) as batcher, watched(batcher):
        await fail(batcher, "bad", times=watch.DOUBT_FAILURES - 1)
        await a_few_turns()
    assert [CANARY] not in fake.cuts


async def test_one_callers_poison_alone_never_makes_the_model_unhealthy() -> None:
    fake = FakeClassifier()
    fake.raises["bad"] = ValueError
    async with batching(fake) as batcher, watched(batcher) as told:
        for _ in range(5):
            await fail(batcher, "bad")
            await canary_asked(fake)
        await a_few_turns()
        assert told.empty()
        assert batcher.failures_in_a_row == 0


async def test_poison_and_a_full_queue_together_do_not_make_the_model_unhealthy() -> None:
    fake = FakeClassifier()
    fake.raises["bad"] = ValueError
    async with batching(fake, max_batch_texts=1, max_queue_texts=1) as batcher:
        await fail(batcher, "bad")
        fake.hold()
        batcher.submit(["occupies"])
        while await fake.started() != ["occupies"]:
            pass
        batcher.submit(["queued"])
        async with watched(batcher) as told:
            await a_few_turns()
            fake.release()
            await canary_asked(fake)
            await a_few_turns()
            assert told.empty()


async def test_a_batch_that_does_not_end_is_told_of_and_so_is_its_end(
    put_clock_forward: Callable[[float], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watch, "DOUBT_STALLED_SECONDS", 5)
    fake = FakeClassifier(held=True)
    async with batching(fake) as batcher, watched(batcher) as told:
        batcher.submit(["stuck"])
        await fake.started()
        await a_few_turns()
        assert told.empty()
        put_clock_forward(6)
        assert await told.get() is False
        fake.release()
        assert await told.get() is True
