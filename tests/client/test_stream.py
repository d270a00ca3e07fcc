"""Streams, on both stacks: order, bounds, and how they end."""

from __future__ import annotations

import asyncio
import itertools
import threading
from collections.abc import AsyncIterator, Iterator

import pytest
from valence.v1 import sentiment_pb2 as pb
from valence_client import (
    AsyncClient,
    Client,
    InvalidText,
    Sentiment,
    ServerFailed,
    StreamItem,
)

from tests.client.conftest import Open, Serving
from tests.client.twins import counted, label


async def test_answers_in_order(client: Open, server: Serving) -> None:
    texts = ["good", "bad", "", "good", "\ud800"]
    async with client() as ask:
        answers = [answer async for answer in ask.classify_stream(iter(texts), overlength="reject")]
    assert [label(answer) for answer in answers] == [
        "POSITIVE",
        "NEGATIVE",
        "InvalidText",
        "POSITIVE",
        "InvalidText",
    ]
    assert isinstance(answers[0], Sentiment)
    assert answers[0].timings is not None
    assert isinstance(answers[4], InvalidText)
    assert "lone surrogate" in answers[4].description
    first, *others = (request.options for request in server.contract.requests)
    assert (first.overlength, first.order) == (pb.OVERLENGTH_REJECT, pb.ORDER_REQUEST)
    assert others == [pb.StreamOptions()] * 4


async def test_answers_as_they_are_ready_have_their_index(client: Open) -> None:
    texts = ["good", "bad", "", "\ud800"]
    async with client() as ask:
        items = [item async for item in ask.classify_stream(texts, in_order=False)]
    assert all(isinstance(item, StreamItem) for item in items)
    assert [(item.index, label(item.outcome)) for item in items] == [
        (3, "InvalidText"),
        (2, "InvalidText"),
        (1, "NEGATIVE"),
        (0, "POSITIVE"),
    ]


async def test_no_texts_no_answers(client: Open) -> None:
    async with client() as ask:
        assert [answer async for answer in ask.classify_stream([])] == []


async def test_nothing_is_read_before_the_first_answer_is_wanted(client: Open) -> None:
    read: list[int] = []
    async with client() as ask:
        ask.classify_stream(counted(itertools.repeat("good"), read.append))
    assert read == []


async def test_endless_texts_are_read_as_answers_are_taken(client: Open) -> None:
    read = 0

    def told(count: int) -> None:
        nonlocal read
        read = count

    texts = counted(itertools.repeat("good"), told)
    async with client() as ask:
        answers = ask.classify_stream(texts, window_texts=8)
        for taken in range(1, 101):
            assert label(await anext(answers)) == "POSITIVE"
            assert read <= taken + 8
        await answers.aclose()


async def test_a_server_that_does_not_answer_bounds_the_reading(client: Open) -> None:
    read = 0
    loop = asyncio.get_running_loop()
    full = asyncio.Event()

    def told(count: int) -> None:
        nonlocal read
        read = count
        if count == 8:
            loop.call_soon_threadsafe(full.set)

    texts = counted(itertools.repeat("hold"), told)
    async with client() as ask:
        answers = ask.classify_stream(texts, window_texts=8)
        first = asyncio.ensure_future(anext(answers))
        await full.wait()
        await ask.classify("good")
        assert read == 8
        first.cancel()


async def test_texts_may_depend_on_answers(server: Serving) -> None:
    answered = asyncio.Event()

    async def texts() -> AsyncIterator[str]:
        for text in ("good", "bad"):
            yield text
            await answered.wait()
            answered.clear()

    labels = []
    async with AsyncClient(server.address) as ask:
        async for answer in ask.classify_stream(texts()):
            labels.append(label(answer))
            answered.set()
    assert labels == ["POSITIVE", "NEGATIVE"]


async def test_what_the_texts_raise_comes_after_the_answers(client: Open) -> None:
    def texts() -> Iterator[str]:
        yield "good"
        yield "bad"
        raise LookupError("no more")

    labels = []
    async with client() as ask:
        with pytest.raises(LookupError, match="no more"):
            async for answer in ask.classify_stream(texts()):
                labels.append(label(answer))  # noqa: PERF401 - what came before the error counts
    assert labels == ["POSITIVE", "NEGATIVE"]


async def test_what_is_no_text_is_raised(client: Open) -> None:
    async with client() as ask:
        with pytest.raises(TypeError, match="text is int, not str"):
            [answer async for answer in ask.classify_stream(["good", 7])]  # type: ignore[list-item]


async def test_leaving_early_ends_the_call(client: Open, server: Serving) -> None:
    async with client() as ask:
        answers = ask.classify_stream(itertools.repeat("good"))
        await anext(answers)
        await answers.aclose()
        await server.contract.stream_left.wait()
        assert label(await ask.classify("good")) == "POSITIVE"


async def test_leaving_frees_the_thread_that_reads_the_texts(server: Serving) -> None:
    ended = threading.Event()

    class Texts:
        """Gone once nobody reads it any more."""

        def __iter__(self) -> Iterator[str]:
            return self

        def __next__(self) -> str:
            return "good"

        def __del__(self) -> None:
            ended.set()

    def leave() -> None:
        with Client(server.address) as client:
            answers = client.classify_stream(Texts(), window_texts=1)
            next(answers)
            answers.close()
            del answers
            assert ended.wait(30)

    await asyncio.to_thread(leave)


async def test_cancelling_ends_the_call(server: Serving) -> None:
    async with AsyncClient(server.address) as ask:
        answers = ask.classify_stream(["good", "hold"])
        await anext(answers)
        waiting = asyncio.ensure_future(anext(answers))
        await server.contract.holding.wait()
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        await server.contract.stream_left.wait()


@pytest.mark.parametrize("in_order", [True, False])
async def test_missing_answers_do_not_go_unseen(client: Open, in_order: bool) -> None:
    async with client() as ask:
        with pytest.raises(ServerFailed, match="before it had answered every text"):
            [a async for a in ask.classify_stream(["good", "end"], in_order=in_order)]
        with pytest.raises(ServerFailed, match="before it had answered every text"):
            [a async for a in ask.classify_stream(itertools.repeat("end"), in_order=in_order)]


async def test_answers_to_nothing_do_not_go_unseen(client: Open) -> None:
    async with client() as ask:
        with pytest.raises(ServerFailed, match="out of turn: id '1'"):
            [answer async for answer in ask.classify_stream(["good", "twice"])]
