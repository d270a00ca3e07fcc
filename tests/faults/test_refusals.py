"""Calls that cannot be taken, or that nobody reads the answers of."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import TypeAlias

import grpc
import pytest
from valence.v1 import sentiment_pb2 as pb

from tests.faults.answers import Answers
from tests.faults.callers import OWN_CONNECTION, check_all_is_well, outcome, stubs
from tests.faults.running import Running
from tests.support.errors import Told, told
from tests.support.stubs import async_stub

SERVICE = "/valence.v1.SentimentService/"
OVER_LARGEST_BYTES = 17 << 20
NOT_UTF8 = b"\x0a\x04go\xffd"
HALF_CLOSED = 20
TEXTS = 200
PATIENCE_SECONDS = 60

Call: TypeAlias = "grpc.aio.StreamStreamCall[pb.StreamClassifyRequest, pb.StreamClassifyResponse]"


@pytest.fixture
async def channel(server: Running) -> AsyncIterator[grpc.aio.Channel]:
    async with grpc.aio.insecure_channel(server.address, OWN_CONNECTION) as opened:
        yield opened


async def check_connection_lives(channel: grpc.aio.Channel, answers: Answers) -> None:
    response = await async_stub(channel).Classify(
        pb.ClassifyRequest(text=answers.text(1)), timeout=20
    )
    answers.check(answers.text(1), response.sentiment)


async def test_a_message_over_the_limit_is_refused_alone(
    channel: grpc.aio.Channel, server: Running, answers: Answers
) -> None:
    stub = async_stub(channel)
    beside = [
        stub.Classify(pb.ClassifyRequest(text=answers.text(number)), timeout=PATIENCE_SECONDS)
        for number in range(100)
    ]
    large = pb.ClassifyRequest(text="x" * OVER_LARGEST_BYTES)
    refused = await outcome(stub.Classify(large, timeout=PATIENCE_SECONDS))
    assert isinstance(refused, grpc.aio.AioRpcError)
    assert refused.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    for number, call in enumerate(beside):
        answers.check(answers.text(number), (await call).sentiment)
    await check_connection_lives(channel, answers)
    await check_all_is_well(server, answers)


@pytest.mark.parametrize(
    "metadata",
    [[("x-large", "y" * 17_000)], [(f"x-{number}", "y" * 100) for number in range(200)]],
    ids=["one large", "many"],
)
async def test_metadata_over_the_limit_is_refused_alone(
    channel: grpc.aio.Channel, answers: Answers, metadata: list[tuple[str, str]]
) -> None:
    stub = async_stub(channel)
    await check_connection_lives(channel, answers)  # and so both sides know the limits
    call = stub.Classify(pb.ClassifyRequest(text="good"), metadata=metadata, timeout=20)
    refused = await outcome(call)
    assert isinstance(refused, grpc.aio.AioRpcError)
    assert refused.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    await check_connection_lives(channel, answers)


async def test_a_text_that_is_no_utf8_is_refused_alone(
    channel: grpc.aio.Channel, answers: Answers
) -> None:
    for method in ("Classify", "BatchClassify"):
        unary: grpc.aio.UnaryUnaryMultiCallable[bytes, bytes]
        unary = channel.unary_unary(SERVICE + method)
        refused = await outcome(unary(NOT_UTF8, timeout=20))
        assert isinstance(refused, grpc.aio.AioRpcError)
        assert told(refused).reason == "MALFORMED_MESSAGE"
    good = pb.StreamClassifyRequest(id="2", text=answers.text(2)).SerializeToString()
    stream: grpc.aio.StreamStreamMultiCallable[bytes, bytes]
    stream = channel.stream_stream(SERVICE + "StreamClassify")
    async with asyncio.timeout(PATIENCE_SECONDS):
        bad, well = [
            pb.StreamClassifyResponse.FromString(data)
            async for data in stream(iter([b"\x12" + NOT_UTF8[1:], good]))
        ]
    assert Told(bad.error).reason == "MALFORMED_MESSAGE"
    assert well.id == "2"
    answers.check(answers.text(2), well.sentiment)


async def test_streams_that_are_half_closed_and_not_read_hold_up_nobody(
    channel: grpc.aio.Channel, server: Running, answers: Answers
) -> None:
    async def send(call: Call) -> None:
        for number in range(TEXTS):
            await call.write(pb.StreamClassifyRequest(text=answers.text(number)))
        await call.done_writing()

    async with stubs(server.address, 2) as callers, asyncio.timeout(PATIENCE_SECONDS):
        calls = [callers[number % 2].StreamClassify() for number in range(HALF_CLOSED)]
        await asyncio.gather(*(send(call) for call in calls))
        await check_all_is_well(server, answers)
        # Those that do read in the end find everything.
        for call in calls[: HALF_CLOSED // 2]:
            read = [response async for response in call]
            for number, response in enumerate(read):
                answers.check(answers.text(number), response.sentiment)
            assert len(read) == TEXTS
        for call in calls[HALF_CLOSED // 2 :]:
            call.cancel()
    await check_all_is_well(server, answers)
