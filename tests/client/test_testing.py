"""The fake service for users' tests, asked by both clients."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import pytest
from valence_client import (
    Client,
    InvalidText,
    LabelScore,
    ModelFailed,
    Overloaded,
    Polarity,
    Sentiment,
    ServerFailed,
    Unauthenticated,
    Unavailable,
    ValenceError,
)
from valence_client.testing import MODEL, Answer, FakeService, sentiment

from tests.client import twins


async def test_one_answer_for_every_text(kind: str, capfd: pytest.CaptureFixture[str]) -> None:
    with FakeService() as service:
        async with twins.opened(kind, service.address) as ask:
            answer = await ask.classify("three little words")
            batch = await ask.classify_batch(["one", "two"])
            stream = [answer async for answer in ask.classify_stream(["three", "four"])]
            assert await ask.model() == MODEL
    assert (answer.label, answer.score, answer.valence) == ("POSITIVE", 1.0, 1.0)
    assert (answer.tokens_total, answer.truncated) == (3, False)
    assert [twins.label(each) for each in [*batch, *stream]] == ["POSITIVE"] * 4
    # grpc says it there when a server has no health to watch. Other words may be of other tests'
    # connections, which end in its threads when they will.
    assert "health" not in capfd.readouterr().err
    assert service.texts == ["three little words", "one", "two", "three", "four"]


@pytest.mark.parametrize("number", [math.nan, math.inf])
async def test_a_score_that_is_no_number_is_no_answer(kind: str, number: float) -> None:
    lost = dataclasses.replace(sentiment(0.25), scores=(LabelScore("POSITIVE", number),))
    with FakeService({"lost": lost, "good": 0.5}) as service:
        async with twins.opened(kind, service.address) as ask:
            with pytest.raises(ServerFailed, match="not a finite number"):
                await ask.classify("lost")
            batched = await ask.classify_batch(["lost", "good"])
            streamed = [answer async for answer in ask.classify_stream(["lost", "good"])]
    assert [type(each) for each in [*batched, *streamed]] == [ServerFailed, Sentiment] * 2


async def test_a_document_gets_the_answer_of_the_whole_and_of_each_sentence(kind: str) -> None:
    text = "The 🏠 was good.  Was it dear?\r\nNo end"
    answers = {text: 0.25, "The 🏠 was good.": 0.5, "Was it dear?": 0.0, "No end": -0.5}
    with FakeService(answers) as service:
        async with twins.opened(kind, service.address) as ask:
            document = await ask.classify_document(text)
            with pytest.raises(InvalidText, match="limit of 65536"):
                await ask.classify_document("x" * 65537)
            with pytest.raises(InvalidText, match="limit of 800"):
                service.answers = 1.0
                await ask.classify_document("x\n" * 801)
    assert document.sentiment.valence == 0.25
    assert [each.text for each in document.sentences] == list(answers)[1:]
    assert [each.text for each in document.sentences] == [
        text[each.begin : each.end] for each in document.sentences
    ]
    assert [each.sentiment.valence for each in document.sentences] == [0.5, 0.0, -0.5]
    assert document.mixed == pytest.approx(1 / 3)


async def test_answers_by_text(kind: str) -> None:
    whole = dataclasses.replace(
        sentiment(0.25),
        label="4 stars",
        polarity=Polarity.POSITIVE,
        tokens_total=9,
        tokens_used=7,
        tokens_unknown=2,
        layers_used=3,
    )
    answers: dict[str, Answer] = {
        "bad": -0.5,
        "whole": whole,
        "broken": ModelFailed("it broke", incident="7"),
    }
    with FakeService(answers) as service:
        async with twins.opened(kind, service.address) as ask:
            bad, full, broken, unknown = await ask.classify_batch([*answers, "unknown"])
            with pytest.raises(ServerFailed, match="no answer for 'unknown'"):
                await ask.classify("unknown")
    assert isinstance(bad, Sentiment)
    assert (bad.polarity, bad.valence, bad.score) == (Polarity.NEGATIVE, -0.5, 0.75)
    assert full == whole
    assert isinstance(broken, ServerFailed)
    assert (str(broken), broken.incident) == ("it broke", "7")
    assert isinstance(unknown, ServerFailed)


async def test_answers_from_a_function_that_may_raise(kind: str) -> None:
    def answer(text: str) -> float:
        if "!" in text:
            raise InvalidText("text: shouts", reason="SHOUTS", field="text", description="shouts")
        return -1 if "not" in text else 1

    with FakeService(answer) as service:
        async with twins.opened(kind, service.address) as ask:
            texts = ["good", "not good", "good!"]
            answers = [answer async for answer in ask.classify_stream(texts)]
            assert [twins.label(each) for each in answers] == [
                "POSITIVE",
                "NEGATIVE",
                "InvalidText",
            ]
            with pytest.raises(InvalidText) as caught:
                await ask.classify("good!")
    known = {"reason": "SHOUTS", "field": "text", "description": "shouts"}
    assert known.items() <= vars(caught.value).items()


@pytest.mark.parametrize(
    ("error", "known"),
    [
        (Unavailable("it ends", reason="DRAINING"), {"reason": "DRAINING"}),
        (Overloaded("full", retry_after_seconds=0.125), {"retry_after_seconds": 0.125}),
        (Overloaded("full"), {"reason": "OVERLOADED", "retry_after_seconds": None}),
        (Unauthenticated("who are you?"), {"reason": "UNAUTHENTICATED"}),
        (ModelFailed("no", incident="abc"), {"reason": "MODEL_FAILED", "incident": "abc"}),
    ],
)
async def test_calls_that_fail(kind: str, error: ValenceError, known: dict[str, Any]) -> None:
    with FakeService() as service:
        async with twins.opened(kind, service.address, retries=0) as ask:
            service.fail(error, calls=2)
            for call in (ask.classify("good"), ask.classify_batch(["good"])):
                with pytest.raises(type(error)) as caught:
                    await call
                assert type(caught.value) is type(error)
                assert str(caught.value) == str(error)
                assert known.items() <= vars(caught.value).items()
            assert (await ask.classify("good")).label == "POSITIVE"


async def test_retries_are_calls_too(kind: str) -> None:
    with FakeService() as service:
        async with twins.opened(kind, service.address) as ask:
            service.fail(Unavailable("not yet"), calls=2)
            assert (await ask.classify("good")).label == "POSITIVE"


async def test_limits_are_those_of_the_model(kind: str) -> None:
    limits = dataclasses.replace(MODEL.limits, max_text_bytes=20, max_tokens=3, max_batch_texts=2)
    with FakeService(model=dataclasses.replace(MODEL, limits=limits)) as service:
        async with twins.opened(kind, service.address) as ask:
            for text, said in (
                (" ", "white space"),
                ("\u200b\u0301\0", "zero-width"),
                ("\u3164", "zero-width"),
                ("x" * 21, "21 bytes"),
            ):
                with pytest.raises(InvalidText, match=said):
                    await ask.classify(text)
            with pytest.raises(InvalidText, match="send 1 to 2"):
                await ask.classify_batch(["a", "b", "c"])
            cut = await ask.classify("a b c d")
            assert (cut.truncated, cut.tokens_total, cut.tokens_used) == (True, 4, 3)
            with pytest.raises(InvalidText, match="4 tokens"):
                await ask.classify("a b c d", overlength="reject")


def test_answers_may_change() -> None:
    with FakeService(1.0) as service, Client(service.address) as client:
        assert client.classify("it").polarity is Polarity.POSITIVE
        service.answers = -1.0
        assert client.classify("it").polarity is Polarity.NEGATIVE


@pytest.mark.parametrize("valence", [1.5, float("nan")])
def test_valence_out_of_range(valence: float) -> None:
    with pytest.raises(ValueError, match="give -1 to 1"):
        sentiment(valence)
