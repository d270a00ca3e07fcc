"""Streams whose server goes away, on both stacks: opened again, and each text answered once."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Iterator
from typing import Any

import grpc
import pytest
from google.rpc.status_pb2 import Status
from valence.v1 import sentiment_pb2 as pb
from valence_client import AsyncClient, Client, StreamItem, Unavailable

from tests.client import twins
from tests.client.conftest import Open, Serving
from tests.client.contract import DRAINING, RESET, status
from tests.client.twins import label


@pytest.mark.parametrize(
    "end", [DRAINING, status(grpc.StatusCode.INTERNAL, RESET)], ids=["draining", "reset"]
)
async def test_what_is_not_answered_is_asked_again(
    client: Open, server: Serving, end: Status
) -> None:
    server.contract.drains, server.contract.drained = 3, end
    texts = ["good", "drain", "good", "\ud800", "bad"]
    async with client() as ask:
        answers = [answer async for answer in ask.classify_stream(texts, overlength="reject")]
    labels = ["POSITIVE", "NEGATIVE", "POSITIVE", "InvalidText", "NEGATIVE"]
    assert [label(answer) for answer in answers] == labels
    opened = [request for request in server.contract.requests if request.HasField("options")]
    assert [request.id for request in opened] == ["0", "1", "1", "1"]
    assert {request.options.overlength for request in opened} == {pb.OVERLENGTH_REJECT}


async def test_out_of_order_too(client: Open, server: Serving) -> None:
    texts = ["bad", "good", "drain", "good"]
    async with client() as ask:
        items = [item async for item in ask.classify_stream(texts, in_order=False)]
    assert all(isinstance(item, StreamItem) for item in items)
    assert [(item.index, label(item.outcome)) for item in items] == [
        (1, "POSITIVE"),
        (0, "NEGATIVE"),
        (3, "POSITIVE"),
        (2, "NEGATIVE"),
    ]
    last = server.contract.requests[-1]
    assert (last.id, server.contract.requests[-2].options.order) == ("3", pb.ORDER_READY)


async def test_a_text_that_no_server_was_available_for_is_asked_again(
    client: Open, server: Serving
) -> None:
    class Once(dict[str, Status]):
        def get(self, text: str, default: Any = None) -> Any:
            return self.pop(text, default)

    server.contract.failures = Once(bad=DRAINING)
    async with client() as ask:
        answers = [label(answer) async for answer in ask.classify_stream(["good", "bad", "good"])]
    assert answers == ["POSITIVE", "NEGATIVE", "POSITIVE"]
    assert [request.id for request in server.contract.requests].count("1") == 2


async def test_texts_that_wait_for_an_answer_that_was_lost_in_a_thread(server: Serving) -> None:
    answered = threading.Event()

    def texts() -> Iterator[str]:
        yield from ("good", "drain")
        # Asked for in the thread of the call that breaks.
        assert answered.wait(30)
        yield "bad"

    def ask() -> Iterator[str]:
        with Client(server.address) as client:
            for answer in client.classify_stream(texts()):
                yield (got := label(answer))
                if got == "NEGATIVE":
                    answered.set()

    labels = await asyncio.to_thread(list, ask())
    assert labels == ["POSITIVE", "NEGATIVE", "NEGATIVE"]


async def test_texts_that_wait_for_an_answer_that_was_lost_in_a_task(server: Serving) -> None:
    answered = asyncio.Event()

    async def texts() -> AsyncIterator[str]:
        for text in ("good", "drain"):
            yield text
        await answered.wait()
        yield "bad"

    labels = []
    async with AsyncClient(server.address) as ask:
        async for answer in ask.classify_stream(texts()):
            labels.append(label(answer))
            if labels[-1] == "NEGATIVE":
                answered.set()
    assert labels == ["POSITIVE", "NEGATIVE", "NEGATIVE"]


async def test_server_that_stays_away(client: Open, server: Serving) -> None:
    server.contract.drains = attempts = 1_000_000
    labels = []
    async with client(timeout_seconds=0.5) as ask:
        with pytest.raises(Unavailable, match="the server is ending") as caught:
            async for answer in ask.classify_stream(["good", "bad", "drain", "good"]):
                labels.append(label(answer))  # noqa: PERF401 - what came before the error counts
    assert labels == ["POSITIVE", "NEGATIVE"]
    assert caught.value.reason == "DRAINING"
    assert attempts - server.contract.drains > 1


async def test_without_retries_why_the_server_ends_is_known_while_texts_are_sent(
    client: Open, server: Serving
) -> None:
    server.contract.drains = rounds = 20
    async with client(retries=0) as ask:
        # grpc.aio alone would get it wrong in about half of the rounds.
        for _ in range(rounds):
            with pytest.raises(Unavailable, match="the server is ending"):
                [a async for a in ask.classify_stream(["good", "drain", *["good"] * 200])]


async def test_a_server_that_never_answered_is_not_waited_for(kind: str, refusing: str) -> None:
    async with twins.opened(kind, refusing, retries=1, timeout_seconds=600) as ask:
        with pytest.raises(Unavailable, match="no server answers"):
            [answer async for answer in ask.classify_stream(["good"])]
