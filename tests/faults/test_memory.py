"""Texts by the tens of thousands leave nothing behind."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

from valence.v1 import sentiment_pb2 as pb

from tests.faults.answers import Answers
from tests.faults.callers import stubs
from tests.faults.running import Running

WARM_TEXTS = 20_000
TEXTS = 60_000
STREAMS = 4
GROWTH = 1.05
PATIENCE_SECONDS = 240


async def test_tens_of_thousands_of_texts_through_streams_leave_nothing(
    server: Running, answers: Answers
) -> None:
    # Short ones: it is their number that would leave something.
    texts = sorted(answers.texts, key=len)[:32]

    def requests(count: int) -> Iterator[pb.StreamClassifyRequest]:
        for number in range(count):
            yield pb.StreamClassifyRequest(id=str(number), text=texts[number % len(texts)])

    async def stream(number: int, count: int) -> None:
        expected = 0
        async for response in callers[number].StreamClassify(requests(count)):
            assert response.id == str(expected)
            answers.check(texts[expected % len(texts)], response.sentiment)
            expected += 1
        assert expected == count

    async with stubs(server.address, STREAMS) as callers, asyncio.timeout(PATIENCE_SECONDS):
        await asyncio.gather(*(stream(n, WARM_TEXTS // STREAMS) for n in range(STREAMS)))
        warm = server.rss_bytes
        rest = TEXTS - WARM_TEXTS
        await asyncio.gather(*(stream(n, rest // STREAMS) for n in range(STREAMS)))
        assert server.rss_bytes < warm * GROWTH
