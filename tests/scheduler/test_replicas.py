"""A replica that fails is told from a text that does, and harms nobody while another is well."""

from __future__ import annotations

import asyncio
import functools

import pytest
from valence_service.core.errors import Draining, ModelFailed, Unhealthy
from valence_service.core.sentiment import LabelScore, Polarity, Sentiment
from valence_service.scheduler.batcher import Batcher
from valence_service.scheduler.canary import Canary, ReplicaBroken
from valence_service.scheduler.queue import Flow

from tests.scheduler.fakes import (
    FakeClassifier,
    a_few_turns,
    batching,
    occupied,
    said,
    sentiment_of,
    submit,
)

pytestmark = pytest.mark.usefixtures("recovers_at_once")


def answer(score: float, polarity: Polarity = Polarity.POSITIVE) -> list[Sentiment]:
    scores = (LabelScore("GOOD", score), LabelScore("BAD", 1 - score))
    return [Sentiment(scores, polarity, None, tokens_total=1, tokens_used=1)]


# The canary


def test_the_first_answer_is_the_known_one() -> None:
    canary = Canary()
    canary.check(answer(0.9))
    canary.check(answer(0.91))
    with pytest.raises(ReplicaBroken, match=r"0\.9.* at the start"):
        canary.check(answer(0.5))


@pytest.mark.parametrize("answers", [0, 2])
def test_one_text_has_one_answer(answers: int) -> None:
    with pytest.raises(ReplicaBroken, match=f"{answers} answers"):
        Canary().check(answer(0.9) * answers)


def test_a_model_that_is_known_to_be_right_must_be() -> None:
    with pytest.raises(ReplicaBroken, match="NEGATIVE"):
        Canary(positive=True).check(answer(0.9, Polarity.NEGATIVE))
    Canary(positive=True).check(answer(0.9))


# Asking every replica


async def test_every_replica_is_asked_in_its_own_thread() -> None:
    fakes = [FakeClassifier(), FakeClassifier()]
    async with batching(*fakes, max_batch_texts=1) as batcher:
        await batcher.check_replicas()
        await asyncio.gather(*batcher.submit(["a", "b", "c", "d"]))
    assert [fake.canaries for fake in fakes] == [1, 1]
    assert [len(fake.threads) for fake in fakes] == [1, 1]


async def test_one_that_is_sick_is_found() -> None:
    well, sick = FakeClassifier(), FakeClassifier()
    sick.sick = True
    async with batching(well, sick) as batcher:
        with pytest.raises(ReplicaBroken) as broken:
            await batcher.check_replicas()
        assert isinstance(broken.value.__cause__, MemoryError)


async def test_one_that_answers_otherwise_is_found() -> None:
    well, odd = FakeClassifier(), FakeClassifier()
    odd.canary = lambda: [sentiment_of("something else")]
    async with batching(well, odd) as batcher:
        with pytest.raises(ReplicaBroken, match="something else"):
            await batcher.check_replicas()


# While it serves


async def test_a_poisonous_text_is_told_from_a_broken_replica() -> None:
    fake = FakeClassifier()
    fake.raises["bad"] = ValueError
    async with batching(fake) as batcher:
        for _ in range(5):
            with pytest.raises(ModelFailed):
                await submit(batcher, "bad")
        assert batcher.broken_replicas == 0
        assert said(await submit(batcher, "good")) == "good"
    assert fake.canaries == 5


async def test_what_a_broken_replica_leaves_another_computes() -> None:
    sick, well = FakeClassifier(held=True), FakeClassifier(held=True)
    sick.sick = True
    async with batching(sick, well, max_batch_texts=4) as batcher:
        answers = batcher.submit([*"abcdefgh"])
        await asyncio.gather(sick.started(), well.started())
        well.release()
        sick.release()
        assert [said(await answer) for answer in answers] == [*"abcdefgh"]
        assert batcher.broken_replicas == 1
        batches_of_the_sick = len(sick.batches)
        for text in "ijkl":
            assert said(await submit(batcher, text)) == text
        assert len(sick.batches) == batches_of_the_sick
        assert batcher.idle


async def test_a_text_that_breaks_two_replicas_does_not_reach_the_third() -> None:
    fakes = [FakeClassifier() for _ in range(3)]

    def break_down(fake: FakeClassifier, answers: list[Sentiment]) -> list[Sentiment]:
        if answers[0].scores[0].label == "breaks":
            fake.sick = True
            raise MemoryError
        return answers

    for fake in fakes:
        fake.tamper = functools.partial(break_down, fake)
    async with batching(*fakes, max_batch_texts=1) as batcher:
        with pytest.raises(Unhealthy, match="two replicas"):
            await submit(batcher, "breaks")
        assert batcher.broken_replicas == 2
        assert said(await submit(batcher, "a")) == "a"
        assert batcher.idle


async def test_a_replica_that_is_well_again_works_again() -> None:
    fake = FakeClassifier()
    fake.sick = True
    async with batching(fake) as batcher:
        with pytest.raises(Unhealthy):
            await submit(batcher, "a")
        fake.sick = False
        while batcher.broken_replicas:
            await a_few_turns()
        assert said(await submit(batcher, "b")) == "b"


async def test_without_a_replica_everyone_is_told_and_nobody_taken() -> None:
    fake = FakeClassifier()
    async with batching(fake, max_queue_texts=2) as batcher:
        running = await occupied(batcher, fake)
        (queued,) = batcher.submit(["queued"])
        fake.sick = True
        fake.release()
        for caller in (running, queued):
            with pytest.raises(Unhealthy):
                await caller
        with pytest.raises(Unhealthy):
            batcher.submit(["late"])
        with pytest.raises(Unhealthy):
            await batcher.submit_wait("late", Flow())
        await a_few_turns()
        assert batcher.idle


async def test_a_thread_that_has_ended_is_replaced() -> None:
    fake = FakeClassifier()
    async with batching(fake) as batcher:
        await submit(batcher, "a")
        # What is left where a thread could not be started, or has died.
        batcher._pool.replicas[0].end_thread()
        with pytest.raises(Unhealthy):
            await submit(batcher, "b")
        while batcher.broken_replicas:
            await a_few_turns()
        assert said(await submit(batcher, "c")) == "c"


@pytest.mark.parametrize("leave_at", ["the gate", "the recovery"])
async def test_who_leaves_a_broken_replica_is_not_computed(leave_at: str) -> None:
    sick, well = FakeClassifier(held=True), FakeClassifier(held=True)
    sick.sick = True
    async with batching(sick, well, max_batch_texts=1) as batcher:
        answers = batcher.submit(["a", "b"])
        (on_sick,) = await sick.started()
        await well.started()
        leaver = answers["ab".index(on_sick)]
        if leave_at == "the gate":
            leaver.cancel()
        sick.release()
        await until_broken(batcher)
        leaver.cancel()
        well.release()
        await answers["ba".index(on_sick)]
        assert said(await submit(batcher, "c")) == "c"
    assert [on_sick] not in well.batches


async def test_closing_fails_what_a_broken_replica_left() -> None:
    sick, stuck = FakeClassifier(held=True), FakeClassifier(held=True)
    sick.sick = True
    async with batching(sick, stuck, max_batch_texts=1) as batcher:
        answers = batcher.submit(["a", "b"])
        await asyncio.gather(sick.started(), stuck.started())
        sick.release()
        await until_broken(batcher)
        assert not await batcher.close(timeout_seconds=0)
        assert all(isinstance(answer.exception(), Draining) for answer in answers)
        assert batcher.idle


async def until_broken(batcher: Batcher) -> None:
    while not batcher.broken_replicas:
        await a_few_turns()


async def test_everyone_can_be_told_of_an_end() -> None:
    fake = FakeClassifier()
    async with batching(fake) as batcher:
        running = await occupied(batcher, fake)
        queued = batcher.submit(["a", "b"])
        batcher.fail_all(Unhealthy("told"))
        for caller in (running, *queued):
            with pytest.raises(Unhealthy, match="told"):
                await caller
        fake.release()
        assert said(await submit(batcher, "c")) == "c"
