"""More calls at once than can be taken at once."""

from __future__ import annotations

import asyncio
from collections import Counter

import grpc
import pytest
from valence.v1 import sentiment_pb2 as pb

from tests.faults.answers import Answers
from tests.faults.callers import check_all_is_well, outcome, stubs
from tests.faults.running import Running
from tests.support.errors import told

# More than twice what the queue holds.
CONNECTIONS, CALLS_EACH = 5, 500
PATIENCE_SECONDS = 120


@pytest.mark.full
async def test_a_burst_of_calls_is_answered_or_told_to_come_again(
    server: Running, answers: Answers
) -> None:
    got: Counter[str] = Counter()

    async with stubs(server.address, CONNECTIONS) as callers, asyncio.timeout(PATIENCE_SECONDS):
        texts = [answers.text(number) for number in range(CONNECTIONS * CALLS_EACH)]
        calls = [
            callers[number % CONNECTIONS].Classify(pb.ClassifyRequest(text=text))
            for number, text in enumerate(texts)
        ]
        responses = await asyncio.gather(*(outcome(call) for call in calls))
    for text, response in zip(texts, responses, strict=True):
        if isinstance(response, pb.ClassifyResponse):
            answers.check(text, response.sentiment)
            got["answered"] += 1
        else:
            assert isinstance(response, grpc.aio.AioRpcError)
            assert response.code() is grpc.StatusCode.RESOURCE_EXHAUSTED, response
            assert told(response).retry.HasField("retry_delay")
    assert got["answered"] > 0
    await check_all_is_well(server, answers)
