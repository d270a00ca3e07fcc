"""Texts by the thousands leave nothing behind."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest
from valence.v1 import sentiment_pb2 as pb

from tests.faults.answers import Answers
from tests.faults.callers import stubs
from tests.faults.growth import check_nothing_adds_up
from tests.faults.running import Running
from tests.support.errors import Told

STREAMS = 4
BLANK_EACH = 100
# Of a text's two messages, and what grpc has of them, some hundreds of bytes would stay.
LEFT_BYTES = 200
PATIENCE_SECONDS = 240


# In a round, through each stream. One block left of every fourth text shows among the tens that
# come and go; the full tier has 30,000 texts, for what is left now and then.
@pytest.mark.parametrize("count", [250, pytest.param(1_500, marks=pytest.mark.full)])
async def test_thousands_of_texts_through_streams_leave_nothing(
    server: Running, answers: Answers, count: int
) -> None:
    # Short ones: it is their number that would leave something.
    texts = sorted(answers.texts, key=len)[:32]

    def text_of(number: int) -> str:
        return texts[number % len(texts)] if number % BLANK_EACH else " "

    def requests() -> Iterator[pb.StreamClassifyRequest]:
        for number in range(count):
            yield pb.StreamClassifyRequest(id=str(number), text=text_of(number))

    async def stream(number: int) -> None:
        expected = 0
        async for response in callers[number].StreamClassify(requests()):
            assert response.id == str(expected)
            if response.HasField("error"):
                assert text_of(expected) == " "
                assert Told(response.error).fields == ["text"]
            else:
                answers.check(text_of(expected), response.sentiment)
            expected += 1
        assert expected == count

    async def one_round() -> None:
        async with asyncio.timeout(PATIENCE_SECONDS):
            await asyncio.gather(*(stream(number) for number in range(STREAMS)))

    async with stubs(server.address, STREAMS) as callers:
        await check_nothing_adds_up(server, one_round, times=count * STREAMS, each_bytes=LEFT_BYTES)
