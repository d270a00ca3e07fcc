"""Sixty kB of anything hostile: answered or refused by name, while health is answered."""

from __future__ import annotations

import asyncio

import grpc
import pytest
from valence.v1 import sentiment_pb2 as pb

from tests.faults.callers import is_serving, outcome, stubs
from tests.segmentation.test_sentences import HOSTILE
from tests.support.errors import told
from tests.support.server import Server

SIZE = 60_000


def hostile(unit: str) -> str:
    text = "x" + unit * (SIZE // len(unit.encode()))
    return text.encode()[:SIZE].decode(errors="ignore")


async def check(server: Server, unit: str) -> None:
    text = hostile(unit)
    async with stubs(server.address, 1) as (stub,):
        windows = pb.ClassifyRequest(text=text, overlength=pb.OVERLENGTH_WINDOWS)
        calls = [
            asyncio.create_task(outcome(stub.Classify(windows, timeout=120))),
            asyncio.create_task(
                outcome(stub.ClassifyDocument(pb.ClassifyDocumentRequest(text=text), timeout=120))
            ),
        ]
        while not all(call.done() for call in calls):
            assert await is_serving(server.address)
        for call in calls:
            answer = await call
            if isinstance(answer, grpc.aio.AioRpcError):
                assert answer.code() is grpc.StatusCode.INVALID_ARGUMENT
                assert told(answer).fields == ["text"]
            elif isinstance(answer, pb.ClassifyResponse):
                assert not answer.sentiment.truncated
            else:
                assert isinstance(answer, pb.ClassifyDocumentResponse)
                assert answer.sentences


@pytest.mark.parametrize("name", ["dots", "joined emoji"])
async def test_a_hostile_text_holds_nobody_up(tiny: Server, name: str) -> None:
    await check(tiny, HOSTILE[name])


@pytest.mark.full
@pytest.mark.parametrize("name", HOSTILE)
async def test_no_hostile_text_holds_anybody_up(tiny: Server, name: str) -> None:
    await check(tiny, HOSTILE[name])
