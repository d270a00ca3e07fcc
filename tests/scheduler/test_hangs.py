"""A replica that hangs fails its own batch; the others serve on, and it is replaced."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager

import pytest
from valence_service.core.classifier import TokenCount
from valence_service.core.errors import Unhealthy
from valence_service.scheduler.batcher import Batcher

from tests.scheduler.fakes import FakeClassifier, a_few_turns, batching, said, submit
from tests.support.waiting import until

HANG_SECONDS = 6.0


pytestmark = pytest.mark.usefixtures("recovers_at_once")


@asynccontextmanager
async def hung(
    put_clock_forward: Callable[[float], None],
    *classifiers: FakeClassifier,
    new_classifier: Callable[[], FakeClassifier] | None = None,
) -> AsyncIterator[tuple[Batcher, FakeClassifier]]:
    """A batcher, and the one of its classifiers that hangs; its caller has been told."""
    async with batching(
        *classifiers, max_batch_texts=1, hang_seconds=HANG_SECONDS, new_classifier=new_classifier
    ) as batcher:
        (stuck,) = batcher.submit(["stuck"])
        await until(lambda: any(fake.at_gate for fake in classifiers))
        hanging = next(fake for fake in classifiers if fake.at_gate)
        put_clock_forward(HANG_SECONDS / 2)
        with pytest.raises(Unhealthy, match="hung"):
            await stuck
        for fake in classifiers:
            if fake is not hanging:
                fake.release()
        yield batcher, hanging
        hanging.release()


async def test_the_others_serve_on(put_clock_forward: Callable[[float], None]) -> None:
    fakes = [FakeClassifier(held=True), FakeClassifier(held=True)]
    async with hung(put_clock_forward, *fakes) as (batcher, hanging):
        for text in "abcd":
            assert said(await submit(batcher, text)) == text
        assert batcher.broken_replicas == 1
        assert hanging.batches == [["stuck"]]


async def test_without_a_way_to_replace_it_a_replica_stays_out_until_its_batch_ends(
    put_clock_forward: Callable[[float], None],
) -> None:
    fakes = [FakeClassifier(held=True), FakeClassifier(held=True)]
    async with hung(put_clock_forward, *fakes) as (batcher, hanging):
        await a_few_turns()
        assert batcher.broken_replicas == 1
        assert hanging.canaries == 0  # its classifier is not used by two threads at once
        hanging.release()
        await until(lambda: not batcher.broken_replicas)
        assert hanging.canaries == 1


async def test_a_hung_replica_is_replaced(put_clock_forward: Callable[[float], None]) -> None:
    new = FakeClassifier()
    old = FakeClassifier(held=True)
    old.tokens.texts, new.tokens.texts = 5, 3
    old.tokens.layers, new.tokens.layers = {6: 4}, {2: 1, 6: 1}
    async with hung(put_clock_forward, old, new_classifier=lambda: new) as (batcher, _):
        await until(lambda: not batcher.broken_replicas)
        assert batcher.abandoned_threads == 1
        assert said(await submit(batcher, "next")) == "next"
        assert batcher.tokens == TokenCount(texts=8, layers={2: 1, 6: 5})
        old.release()
        await until(lambda: not batcher.abandoned_threads)
        assert said(await submit(batcher, "last")) == "last"
    assert (old.batches, old.canaries) == ([["stuck"]], 0)
    assert (new.batches, new.canaries) == ([["next"], ["last"]], 1)
    assert not old.threads & new.threads


async def test_no_more_than_one_stuck_thread_is_left_behind(
    put_clock_forward: Callable[[float], None],
) -> None:
    made = [FakeClassifier(held=True), FakeClassifier()]
    to_make = iter(made)
    old = FakeClassifier(held=True)
    async with hung(put_clock_forward, old, new_classifier=lambda: next(to_make)) as (
        batcher,
        _,
    ):
        await until(lambda: not batcher.broken_replicas)
        (stuck,) = batcher.submit(["stuck too"])
        await made[0].started()
        put_clock_forward(HANG_SECONDS / 2)
        with pytest.raises(Unhealthy):
            await stuck
        await a_few_turns()
        assert (batcher.broken_replicas, batcher.abandoned_threads) == (1, 1)
        made[0].release()  # either of the two helps
        await until(lambda: not batcher.broken_replicas)
    assert made[1].canaries == 0


async def test_a_classifier_that_cannot_be_made_is_not_used_by_two_threads(
    put_clock_forward: Callable[[float], None],
) -> None:
    attempts = 0

    def fail() -> FakeClassifier:
        nonlocal attempts
        attempts += 1
        raise SystemExit

    old = FakeClassifier(held=True)
    async with hung(put_clock_forward, old, new_classifier=fail) as (batcher, _):
        await until(lambda: attempts)
        await a_few_turns()
        assert (batcher.broken_replicas, old.canaries) == (1, 0)


async def test_a_classifier_that_could_not_be_made_is_made_again(
    put_clock_forward: Callable[[float], None],
) -> None:
    new = FakeClassifier()
    outcomes: Iterator[OSError | FakeClassifier] = iter([OSError("no memory"), new])

    def make() -> FakeClassifier:
        outcome = next(outcomes)
        if isinstance(outcome, OSError):
            raise outcome
        return outcome

    old = FakeClassifier(held=True)
    async with hung(put_clock_forward, old, new_classifier=make) as (batcher, _):
        await until(lambda: not batcher.broken_replicas)
        assert batcher.abandoned_threads == 1
    assert new.canaries > 0


async def test_the_texts_of_a_batch_that_hangs_are_counted(
    put_clock_forward: Callable[[float], None],
) -> None:
    async with hung(put_clock_forward, FakeClassifier(held=True)) as (batcher, _):
        await until(lambda: batcher.broken_replicas)
        assert batcher.counters.failed == 1


async def test_a_replica_that_stays_broken_is_replaced() -> None:
    new, sick = FakeClassifier(), FakeClassifier()
    sick.sick = True
    async with batching(sick, new_classifier=lambda: new) as batcher:
        with pytest.raises(Unhealthy):
            await submit(batcher, "a")
        await until(lambda: not batcher.broken_replicas)
        assert said(await submit(batcher, "b")) == "b"
        assert batcher.abandoned_threads == 0
    assert sick.canaries == 2  # once after the batch, once again in a new thread


async def test_a_canary_that_hangs_sets_the_replica_aside_and_its_batch_is_computed_elsewhere(
    put_clock_forward: Callable[[float], None],
) -> None:
    hanging, well = FakeClassifier(held=True), FakeClassifier(held=True)
    gate = asyncio.Event()
    loop = asyncio.get_running_loop()
    asked = asyncio.Event()

    def never() -> object:
        loop.call_soon_threadsafe(asked.set)
        return asyncio.run_coroutine_threadsafe(gate.wait(), loop).result() and []

    hanging.canary = never
    async with batching(hanging, well, max_batch_texts=1, hang_seconds=HANG_SECONDS) as batcher:
        answers = batcher.submit(["a", "b"])
        (on_hanging,) = await hanging.started()
        await well.started()
        hanging.raises[on_hanging] = ValueError
        hanging.release()
        await asked.wait()
        well.release()
        await answers["ba".index(on_hanging)]
        put_clock_forward(HANG_SECONDS / 2)
        assert [said(await answer) for answer in answers] == ["a", "b"]
        assert batcher.broken_replicas == 1
        gate.set()
