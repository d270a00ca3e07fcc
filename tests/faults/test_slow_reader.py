"""A client that sends and sends and does not read: it is not read from either."""

from __future__ import annotations

import asyncio

import pytest
from valence.v1 import sentiment_pb2 as pb

from tests.faults.answers import Answers
from tests.faults.callers import stubs
from tests.faults.running import Running

# 120 MB together, of which the server may take a window and what grpc reads ahead.
TEXTS = 30_000
TEXT_BYTES = 4_000
WARM = 100
GROWTH_BYTES = 30 << 20
CALLS = 20
# Left to itself grpc's client reads megabytes ahead, and answers are small.
NO_LOOKAHEAD = {"http2.bdp_probe": 0, "http2.lookahead_bytes": 1 << 16}
PATIENCE_SECONDS = 120


@pytest.mark.full
async def test_a_slow_reader_takes_no_room_and_holds_up_nobody(
    server: Running, answers: Answers
) -> None:
    long = "the film was good " * (TEXT_BYTES // 18)
    sent = 0

    async def send() -> None:
        nonlocal sent
        for number in range(TEXTS):
            await slow.write(pb.StreamClassifyRequest(id=str(number), text=long))
            sent = number + 1
        await slow.done_writing()

    async def ask_others() -> None:
        for number in range(CALLS):
            response = await stub.Classify(pb.ClassifyRequest(text=answers.text(number)))
            answers.check(answers.text(number), response.sentiment)

    async with (
        stubs(server.address, 1, **NO_LOOKAHEAD) as (own,),
        stubs(server.address, 1) as (stub,),
        asyncio.timeout(PATIENCE_SECONDS),
    ):
        await ask_others()
        # The kernels and the arrays of long texts stay, however they are read.
        request = pb.StreamClassifyRequest(text=long)
        async for _ in stub.StreamClassify(request for _ in range(WARM)):
            pass
        await stub.Classify(pb.ClassifyRequest(text=long))
        warm = server.kept()
        slow = own.StreamClassify()
        sending = asyncio.create_task(send())
        before = -1
        while sent > before and not sending.done():  # until it is held back, if ever
            before = sent
            await ask_others()
        assert (server.kept() - warm).malloc_bytes < GROWTH_BYTES
        assert 0 < sent < TEXTS / 10
        for number in range(2 * sent):  # one that reads again is read from again
            response = await slow.read()
            assert isinstance(response, pb.StreamClassifyResponse)
            assert (response.id, response.WhichOneof("result")) == (str(number), "sentiment")
        assert (server.kept() - warm).malloc_bytes < GROWTH_BYTES
        slow.cancel()
        await asyncio.gather(sending, return_exceptions=True)
