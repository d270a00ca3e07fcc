"""A call has an id: the caller's or a new one, in the trailers and in each line of its log."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable
from typing import Any

import grpc
import pytest
from valence.v1 import sentiment_pb2 as pb
from valence_service.core import call

from tests.support.classifier import POISON
from tests.support.waiting import until
from tests.transports.grpc.conftest import QUEUE_TEXTS, Service

TRACE_ID = "0af7651916cd43dd8448eb211c80319c"
TRACEPARENT = f"00-{TRACE_ID}-b7ad6b7169203331-01"


async def request_id(ended: Any) -> str:
    """What the trailers of a call say, well ended or not."""
    ids = [value for name, value in await ended.trailing_metadata() if name == "x-request-id"]
    assert len(ids) == 1
    return str(ids[0])


def classify(service: Service, text: str, *metadata: tuple[str, str]) -> Awaitable[Any]:
    return service.stub.Classify(pb.ClassifyRequest(text=text), metadata=metadata)


def lines(caplog: pytest.LogCaptureFixture, event: str) -> list[dict[str, Any]]:
    return [
        record.msg
        for record in caplog.records
        if isinstance(record.msg, dict) and record.msg["event"] == event
    ]


@pytest.mark.parametrize("given", ["a", "order 17/3", "~" * 128])
async def test_the_callers_id_is_returned(service: Service, given: str) -> None:
    assert await request_id(classify(service, "good", ("x-request-id", given))) == given
    assert await request_id(classify(service, "", ("x-request-id", given))) == given
    assert await request_id(classify(service, POISON, ("x-request-id", given))) == given


@pytest.mark.parametrize("given", ["", " ", "x" * 129])
async def test_an_id_that_is_none_is_replaced(service: Service, given: str) -> None:
    new = await request_id(classify(service, "good", ("x-request-id", given)))
    assert new != given
    assert len(new) == 20
    assert int(new, 16)


@pytest.mark.parametrize("given", ["a\tb", "a\nb", "caf\u00e9", "\x7f", "\u2028", None])
def test_no_id_can_break_a_line_of_a_log(given: str | None) -> None:
    # grpc's clients refuse to send these; other bytes on the wire are not bound to.
    assert call.request_id(given) != given


async def test_a_call_without_an_id_gets_one_of_its_own(service: Service) -> None:
    ids = {await request_id(classify(service, "good")) for _ in range(10)}
    assert len(ids) == 10


async def test_of_several_ids_one_counts(service: Service) -> None:
    twice = (("x-request-id", "one"), ("x-request-id", "two"))
    assert await request_id(classify(service, "good", *twice)) in ("one", "two")


async def test_every_method_returns_it(service: Service) -> None:
    metadata = (("x-request-id", "mine"),)
    batch = pb.BatchClassifyRequest(texts=["good", ""])
    assert await request_id(service.stub.BatchClassify(batch, metadata=metadata)) == "mine"
    assert await request_id(service.stub.GetModel(pb.GetModelRequest(), metadata=metadata)) == (
        "mine"
    )
    stream = service.stub.StreamClassify(
        iter([pb.StreamClassifyRequest(text="good")]), metadata=metadata
    )
    assert [response.sentiment.label async for response in stream] == ["good"]
    assert await request_id(stream) == "mine"


async def test_an_overloaded_call_returns_it_beside_when_to_come_again(service: Service) -> None:
    service.classifier.hold()
    running = service.stub.Classify(pb.ClassifyRequest(text="running"))
    await service.classifier.started()
    waiting = [
        service.stub.BatchClassify(pb.BatchClassifyRequest(texts=["x"] * 4))
        for _ in range(QUEUE_TEXTS // 4)
    ]
    await until(lambda: service.batcher.queued_texts == QUEUE_TEXTS)
    refused = service.stub.BatchClassify(
        pb.BatchClassifyRequest(texts=["x"] * 4), metadata=(("x-request-id", "late"),)
    )
    assert await refused.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    trailers = dict(await refused.trailing_metadata())
    assert trailers["x-request-id"] == "late"
    assert "grpc-retry-pushback-ms" in trailers
    service.classifier.release()
    await asyncio.gather(running, *waiting)


async def test_every_line_of_a_call_has_its_ids(
    service: Service, caplog: pytest.LogCaptureFixture
) -> None:
    metadata = (("x-request-id", "mine"), ("traceparent", TRACEPARENT))
    batch = pb.BatchClassifyRequest(texts=[POISON, "good"])
    with caplog.at_level(logging.DEBUG, "valence_service"):
        await service.stub.BatchClassify(batch, metadata=metadata)
        stream = service.stub.StreamClassify(
            iter([pb.StreamClassifyRequest(text=POISON)]), metadata=metadata
        )
        assert [response.HasField("error") async for response in stream] == [True]
        await classify(service, "good")
    assert len(lines(caplog, "internal_error")) == 2
    first, second, other = lines(caplog, "call")
    for line in (*lines(caplog, "internal_error"), first, second):
        assert (line["request_id"], line["trace_id"]) == ("mine", TRACE_ID)
    assert other["request_id"] != "mine"
    assert "trace_id" not in other


@pytest.mark.parametrize(
    "traceparent",
    ["", "nonsense", TRACEPARENT.upper(), TRACEPARENT.replace(TRACE_ID, "0" * 32), TRACEPARENT[3:]],
)
async def test_a_traceparent_that_is_none_is_not_logged(
    service: Service, caplog: pytest.LogCaptureFixture, traceparent: str
) -> None:
    with caplog.at_level(logging.DEBUG, "valence_service"):
        await classify(service, "good", ("traceparent", traceparent))
    assert ["trace_id" in line for line in lines(caplog, "call")] == [False]
