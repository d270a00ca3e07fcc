"""A batch that fails is split until each failing text is isolated."""

from __future__ import annotations

import asyncio
import concurrent.futures
from collections.abc import Callable
from typing import Any

import pytest
from valence_service.core.errors import ModelFailed
from valence_service.core.sentiment import Answer, Sentiment

from tests.scheduler.fakes import (
    FakeClassifier,
    batching,
    said,
    sentiment_of,
    submit,
)


class Panic(BaseException):
    """As pyo3's PanicException, which a Rust tokenizer may raise: no Exception."""


POISONS = [
    ValueError,
    StopIteration,
    StopAsyncIteration,
    SystemExit,
    KeyboardInterrupt,
    GeneratorExit,
    asyncio.CancelledError,
    concurrent.futures.CancelledError,
    Panic,
]
UNEQUAL: list[Callable[[list[Sentiment]], Any]] = [
    lambda answers: answers[1:],
    lambda answers: [*answers, sentiment_of("nobody's")],
    lambda answers: [],
    lambda answers: None,
]


@pytest.mark.parametrize("poison", POISONS)
async def test_a_poisonous_text_fails_alone_whatever_the_model_raises(
    poison: type[BaseException],
) -> None:
    fake = FakeClassifier()
    fake.raises["bad"] = poison
    async with batching(fake) as batcher:
        *mates, guilty = batcher.submit(["a", "b", "c", "d", "bad"])
        assert [said(await mate) for mate in mates] == ["a", "b", "c", "d"]
        with pytest.raises(ModelFailed) as failed:
            await guilty
        assert failed.value.__cause__ is not None
        assert said(await submit(batcher, "next")) == "next"


async def test_a_batch_that_fails_is_split_until_the_guilty_stand_alone() -> None:
    fake = FakeClassifier()
    fake.raises = {"bad": ValueError, "bad too": KeyError}
    texts = ["a", "bad", "b", "c", "d", "e", "f", "bad too"]
    async with batching(fake) as batcher:
        outcomes = await asyncio.gather(*batcher.submit(texts), return_exceptions=True)
    for text, outcome in zip(texts, outcomes, strict=True):
        if text in fake.raises:
            assert isinstance(outcome, ModelFailed)
            assert isinstance(outcome.__cause__, fake.raises[text])
        else:
            assert isinstance(outcome, Answer)
            assert said(outcome) == text
    assert all([text] in fake.batches for text in fake.raises)


async def test_a_caller_who_leaves_while_a_batch_is_split_is_not_computed_again() -> None:
    fake = FakeClassifier(held=True)
    fake.raises["poison"] = ValueError
    async with batching(fake) as batcher:
        guilty, leaver = batcher.submit(["poison", "leaves"])
        await fake.started()
        fake.release(1)
        assert await fake.started() == ["poison"]
        leaver.cancel()
        fake.release()
        with pytest.raises(ModelFailed):
            await guilty
        await submit(batcher, "next")
    assert fake.batches == [["poison", "leaves"], ["poison"], ["next"]]


@pytest.mark.parametrize("tamper", UNEQUAL)
async def test_a_wrong_number_of_answers_fails_its_batch_and_misleads_nobody(
    tamper: Callable[[list[Sentiment]], Any],
) -> None:
    fake = FakeClassifier()
    fake.tamper = tamper
    async with batching(fake) as batcher:
        outcomes = await asyncio.gather(*batcher.submit(["a", "b", "c"]), return_exceptions=True)
        assert [type(outcome) for outcome in outcomes] == [ModelFailed] * 3
        fake.tamper = lambda answers: answers
        assert said(await submit(batcher, "next")) == "next"


@pytest.mark.parametrize("texts", [["bad"], ["a", "bad", "b"], ["bad"] * 64])
async def test_a_batch_that_fails_asks_the_canary_once(texts: list[str]) -> None:
    fake = FakeClassifier()
    fake.raises["bad"] = ValueError
    async with batching(fake, max_batch_texts=64, max_queue_texts=64) as batcher:
        outcomes = await asyncio.gather(*batcher.submit(texts), return_exceptions=True)
    assert [type(outcome) is ModelFailed for outcome in outcomes] == [
        text == "bad" for text in texts
    ]
    assert fake.canaries == 1


async def test_what_fails_on_a_broken_replica_is_not_split() -> None:
    sick, well = FakeClassifier(held=True), FakeClassifier(held=True)
    sick.sick = True
    async with batching(sick, well, max_batch_texts=4) as batcher:
        answers = batcher.submit([*"abcdefgh"])
        await asyncio.gather(sick.started(), well.started())
        sick.release()
        well.release()
        assert [said(await answer) for answer in answers] == [*"abcdefgh"]
    assert len(sick.batches) == 1
