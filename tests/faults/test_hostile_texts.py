"""Fifty kB of anything hostile: answered, or refused for a limit, while health is answered."""

from __future__ import annotations

import asyncio

import grpc
import pytest
from valence.v1 import sentiment_pb2 as pb

from tests.faults.callers import is_serving, outcome, stubs
from tests.segmentation.test_sentences import HOSTILE
from tests.support.errors import told
from tests.support.server import Server

SIZE = 50_000
# Of the texts, those that are refused as documents; as texts in windows all are answered.
TOO_MANY_SENTENCES = {"emoji and capitals", "right-to-left marks", "short sentences"}


def hostile(unit: str) -> str:
    text = "x" + unit * (SIZE // len(unit.encode()))
    return text.encode()[:SIZE].decode(errors="ignore")


async def check(server: Server, name: str) -> None:
    text = hostile(HOSTILE[name])
    async with stubs(server.address, 1) as (stub,):
        windows = pb.ClassifyRequest(text=text, overlength=pb.OVERLENGTH_WINDOWS)
        classifying = asyncio.create_task(outcome(stub.Classify(windows, timeout=120)))
        dividing = asyncio.create_task(
            outcome(stub.ClassifyDocument(pb.ClassifyDocumentRequest(text=text), timeout=120))
        )
        while not (classifying.done() and dividing.done()):
            assert await is_serving(server.address)
    answer = await classifying
    assert isinstance(answer, pb.ClassifyResponse), answer
    assert not answer.sentiment.truncated
    document = await dividing
    if name in TOO_MANY_SENTENCES:
        assert isinstance(document, grpc.aio.AioRpcError)
        assert document.code() is grpc.StatusCode.INVALID_ARGUMENT
        assert told(document).fields == ["text"]
        assert "more sentences than the limit" in told(document).message
    else:
        assert isinstance(document, pb.ClassifyDocumentResponse), document
        assert document.sentences


@pytest.mark.parametrize("name", ["dots", "joined emoji"])
async def test_a_hostile_text_holds_nobody_up(tiny: Server, name: str) -> None:
    await check(tiny, name)


@pytest.mark.full
@pytest.mark.parametrize("name", HOSTILE)
async def test_no_hostile_text_holds_anybody_up(tiny: Server, name: str) -> None:
    await check(tiny, name)
