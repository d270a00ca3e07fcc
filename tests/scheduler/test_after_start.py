"""A quick start checks the model's answers while it serves."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest
from structlog.testing import capture_logs
from valence_service.after_start import settle_in
from valence_service.core.errors import Unhealthy
from valence_service.core.sentiment import Sentiment
from valence_service.scheduler.monitor import watch

from tests.scheduler.fakes import INFO, FakeClassifier, batching, said, sentiment_of


def lower_in_company(answers: list[Sentiment]) -> list[Sentiment]:
    if len(answers) == 1:
        return answers
    return [sentiment_of(answer.scores[0].label, score=0.9) for answer in answers]


def lose(answers: list[Sentiment]) -> list[Sentiment]:
    raise ValueError("the model's logits are not numbers")


async def test_right_answers_are_told_in_the_log() -> None:
    async with batching(FakeClassifier(), FakeClassifier()) as batcher:
        with capture_logs() as logged:
            await settle_in(batcher, INFO, self_check=True)
        (told,) = [entry for entry in logged if entry["event"] == "self_check"]
        assert told["texts"] > 10
        (answer,) = batcher.submit(["a"])
        assert said(await answer) == "a"


@pytest.mark.parametrize("tamper", [lower_in_company, lose])
async def test_wrong_answers_end_the_serving(
    tamper: Callable[[list[Sentiment]], list[Sentiment]],
) -> None:
    wrong = FakeClassifier()
    wrong.tamper = tamper
    unhealthy: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
    async with batching(wrong) as batcher:
        watching = asyncio.create_task(watch(batcher, unhealthy.set_result, hang_seconds=60.0))
        with capture_logs() as logged:
            await settle_in(batcher, INFO, self_check=True)
            assert await unhealthy is False
        watching.cancel()
        with pytest.raises(Unhealthy):
            batcher.submit(["a"])
    (told,) = [entry for entry in logged if entry["event"] == "self_check"]
    assert told["log_level"] == "error"
    (told,) = [entry for entry in logged if entry["event"] == "model"]
    assert "its answers are wrong" in told["reason"]


async def test_no_self_check_computes_the_largest_batch_alone() -> None:
    fake = FakeClassifier()
    async with batching(fake) as batcher:
        await settle_in(batcher, INFO, self_check=False)
    assert len(fake.batches) == 1


async def test_a_replica_that_breaks_meanwhile_condemns_no_model() -> None:
    fake = FakeClassifier()
    async with batching(fake) as batcher:
        fake.sick = True
        await settle_in(batcher, INFO, self_check=True)
        assert batcher.broken_replicas == 1
        fake.sick = False
        while batcher.trouble:
            batcher.health_changed.clear()
            await batcher.health_changed.wait()
        (answer,) = batcher.submit(["a"])
        assert said(await answer) == "a"
