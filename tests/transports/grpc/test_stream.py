"""StreamClassify: each request one response, and nothing without bound."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable

import grpc
import pytest
from valence.v1 import sentiment_pb2 as pb
from valence_service.core.errors import Draining

from tests.support.classifier import MAX_TOKENS, POISON, SECRET
from tests.support.errors import Told, told
from tests.support.stubs import async_stub
from tests.support.waiting import until
from tests.transports.grpc.conftest import QUEUE_TEXTS, WINDOW_TEXTS, Service

STREAM = "/valence.v1.SentimentService/StreamClassify"


def request(text: str, request_id: str | None = None, **options: int) -> pb.StreamClassifyRequest:
    return pb.StreamClassifyRequest(
        id=text if request_id is None else request_id,
        text=text,
        options=pb.StreamOptions(**options) if options else None,  # type: ignore[arg-type]  # enums
    )


async def answers(
    service: Service, requests: Iterable[pb.StreamClassifyRequest]
) -> list[pb.StreamClassifyResponse]:
    async with asyncio.timeout(20):
        return [response async for response in service.stub.StreamClassify(iter(requests))]


async def test_texts_are_answered_in_order(service: Service) -> None:
    texts = [f"text {number}" for number in range(200)]
    responses = await answers(service, [request(text) for text in texts])
    assert [(r.id, r.sentiment.label) for r in responses] == [(text, text) for text in texts]
    assert all(r.timings.HasField("inference_duration") for r in responses)


async def test_a_bad_item_gets_its_error_and_the_stream_goes_on(service: Service) -> None:
    long_id = "i" * 257
    responses = await answers(
        service,
        [
            request("good", "1"),
            request("", "2"),
            request("x" * 101, "3"),
            request("good", long_id),
            request(POISON, "5"),
            request("good", "é" * 128),
        ],
    )
    assert [r.id for r in responses] == ["1", "2", "3", long_id, "5", "é" * 128]
    assert [r.WhichOneof("result") for r in responses] == ["sentiment", *["error"] * 4, "sentiment"]
    blank, large, named, poison = (Told(r.error) for r in responses[1:5])
    assert blank.fields == ["text"]
    assert (large.fields, "limit of 100" in large.message) == (["text"], True)
    assert (named.fields, "257 bytes, over the limit of 256" in named.message) == (["id"], True)
    assert poison.reason == "MODEL_FAILED"
    assert SECRET not in str(responses)


async def test_bytes_that_are_no_message_cost_only_themselves(service: Service) -> None:
    method: grpc.aio.StreamStreamMultiCallable[bytes, bytes]
    method = service.channel.stream_stream(STREAM)
    call = method(
        iter(
            [
                request("one").SerializeToString(),
                b"\x12\x01\xff",
                request("two").SerializeToString(),
            ]
        )
    )
    async with asyncio.timeout(20):
        responses = [pb.StreamClassifyResponse.FromString(data) async for data in call]
    assert [r.id for r in responses] == ["one", "", "two"]
    assert Told(responses[1].error).reason == "MALFORMED_MESSAGE"


async def test_overlength_is_read_from_the_first_message_alone(service: Service) -> None:
    long = "a " * MAX_TOKENS
    responses = await answers(
        service,
        [
            request("good", overlength=pb.OVERLENGTH_REJECT),
            request(long, "long", overlength=pb.OVERLENGTH_TRUNCATE),
        ],
    )
    assert Told(responses[1].error).fields == ["text"]


@pytest.mark.parametrize("field", ["overlength", "order"])
async def test_wrong_options_end_the_stream_and_name_the_field(
    service: Service, field: str
) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await answers(service, [request("good", None, **{field: 9})])
    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert told(caught.value).fields == [f"options.{field}"]


async def test_an_empty_stream_is_no_error(service: Service) -> None:
    assert await answers(service, []) == []


class Feed:
    """Requests without end, counting how many were taken."""

    def __init__(self, first: pb.StreamClassifyRequest | None = None, size: int = 1) -> None:
        self.taken = 0
        self._first = first
        self._size = size

    async def __aiter__(self) -> AsyncIterator[pb.StreamClassifyRequest]:
        while True:
            self.taken += 1
            if self.taken == 1 and self._first is not None:
                yield self._first
            else:
                yield request("t" * self._size, str(self.taken))


async def test_answers_come_when_ready_if_so_asked(service: Service) -> None:
    service.classifier.hold()
    stream = service.stub.StreamClassify()
    async with asyncio.timeout(20):
        await stream.write(request("slow", order=pb.ORDER_READY))
        await service.classifier.started()
        await stream.write(request("", "bad"))
        response = await stream.read()
        assert isinstance(response, pb.StreamClassifyResponse)
        assert response.id == "bad"
        service.classifier.release()
        await stream.done_writing()
        response = await stream.read()
        assert isinstance(response, pb.StreamClassifyResponse)
        assert response.id == "slow"
        assert await stream.read() is grpc.aio.EOF


async def test_without_it_a_ready_answer_waits_its_turn(service: Service) -> None:
    service.classifier.hold()
    stream = service.stub.StreamClassify()
    async with asyncio.timeout(20):
        await stream.write(request("slow"))
        await service.classifier.started()
        await stream.write(request("", "bad"))
        await stream.done_writing()
        service.classifier.release()
        assert [r.id async for r in stream] == ["slow", "bad"]


async def test_the_window_bounds_what_is_queued(service: Service) -> None:
    service.classifier.hold()
    feed = Feed(size=90)
    stream = service.stub.StreamClassify(feed.__aiter__())
    await service.classifier.started()
    await until(lambda: service.batcher.queued_texts > 0)
    # A call that comes later is not kept out by the stream, however much that would send.
    alone = service.stub.Classify(pb.ClassifyRequest(text="alone"))
    await until(lambda: service.batcher.queued_texts > WINDOW_TEXTS - 4)
    most = service.batcher.queued_texts
    service.classifier.release()
    assert (await alone).sentiment.label == "alone"
    assert most <= WINDOW_TEXTS + 1
    stream.cancel()


async def test_a_reader_that_stops_stops_the_sender(service: Service) -> None:
    # A caller on a thin line: on a fast one the transport itself may hold megabytes.
    thin = grpc.aio.insecure_channel(service.address, [("grpc.http2.bdp_probe", 0)])
    feed = Feed(size=100)
    async with thin, asyncio.timeout(20):
        stream = async_stub(thin).StreamClassify(feed.__aiter__())
        assert await stream.read() is not grpc.aio.EOF
        before = -1
        # Nothing is read from here on: transport buffers fill, then everything stands still.
        while feed.taken != before or not service.batcher.idle:
            before = feed.taken
            for _ in range(2_000):
                await asyncio.sleep(0)
        stream.cancel()
    assert feed.taken < 10_000, "the sender was never held back"
    assert len(service.classifier.seen) < 1_000, "the server read on"


async def test_a_full_queue_holds_a_stream_back_instead_of_refusing_it(service: Service) -> None:
    service.classifier.hold()
    feeds = [
        service.stub.StreamClassify(iter([request(f"{s}-{n}") for n in range(20)]))
        for s in range(4)
    ]
    reading = [asyncio.create_task(read_all(feed)) for feed in feeds]
    async with asyncio.timeout(20):
        await until(lambda: service.batcher.queued_texts == QUEUE_TEXTS // 2)
        # Streams leave the rest to those who would be refused.
        single = service.stub.Classify(pb.ClassifyRequest(text="single"))
        await until(lambda: service.batcher.queued_texts == QUEUE_TEXTS // 2 + 1)
        service.classifier.release()
        assert (await single).sentiment.label == "single"
        results = await asyncio.gather(*reading)
    assert results == [[f"{s}-{n}" for n in range(20)] for s in range(4)]


async def read_all(
    stream: grpc.aio.StreamStreamCall[pb.StreamClassifyRequest, pb.StreamClassifyResponse],
) -> list[str]:
    return [response.sentiment.label async for response in stream]


async def test_a_caller_who_vanishes_leaves_nothing_behind(service: Service) -> None:
    service.classifier.hold()
    stream = service.stub.StreamClassify(Feed().__aiter__())
    await service.classifier.started()
    await until(lambda: service.batcher.queued_texts > 0)
    stream.cancel()
    await until(lambda: service.batcher.queued_texts == 0)
    service.classifier.release()
    await until(lambda: service.batcher.idle)
    assert (await service.stub.Classify(pb.ClassifyRequest(text="next"))).sentiment.label == "next"


async def test_a_draining_server_answers_what_it_read_then_says_unavailable(
    service: Service,
) -> None:
    service.classifier.hold()
    stream = service.stub.StreamClassify()
    async with asyncio.timeout(20):
        for number in range(3):
            await stream.write(request(str(number)))
        await service.classifier.started()
        await until(lambda: service.batcher.queued_texts == 2)
        service.sentiment.refuse(Draining("the server is ending"))
        service.classifier.release()
        got: list[str] = []
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            async for response in stream:
                got.append(response.id)  # noqa: PERF401  what came before the error counts
    assert got == ["0", "1", "2"]
    assert caught.value.code() is grpc.StatusCode.UNAVAILABLE
    assert told(caught.value).reason == "DRAINING"
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await service.stub.Classify(pb.ClassifyRequest(text="too late"))
    assert told(caught.value).reason == "DRAINING"


async def test_a_draining_server_ends_a_stream_that_has_sent_everything_as_ever(
    service: Service,
) -> None:
    service.classifier.hold()
    stream = service.stub.StreamClassify()
    async with asyncio.timeout(20):
        for number in range(3):
            await stream.write(request(str(number)))
        await stream.done_writing()
        await service.classifier.started()
        await until(lambda: service.batcher.queued_texts == 2)
        # That nothing more follows has arrived once a later call is answered.
        await service.stub.GetModel(pb.GetModelRequest())
        service.sentiment.refuse(Draining("the server is ending"))
        service.classifier.release()
        assert [response.id async for response in stream] == ["0", "1", "2"]
