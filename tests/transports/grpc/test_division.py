"""Texts that wait to be divided: bounded, and answered by a server that ends."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import grpc
import pytest
from valence.v1 import sentiment_pb2 as pb
from valence_service import drain
from valence_service.core.document import TextTokens
from valence_service.core.errors import Draining, QueueFull, Unhealthy
from valence_service.serving import division
from valence_service.serving.arrivals import Arrivals

from tests.support.errors import Told, told
from tests.support.waiting import until
from tests.support.words import WordClassifier, WordReader, word_divider
from tests.transports.grpc.conftest import Service, started

WINDOWS = pb.OVERLENGTH_WINDOWS
Stream = grpc.aio.StreamStreamCall[pb.StreamClassifyRequest, pb.StreamClassifyResponse]


@pytest.fixture
async def words() -> AsyncIterator[Service]:
    """A service whose model scores words."""
    async with started(classifier=WordClassifier) as running:
        yield running


class Held:
    """The division of texts, which waits at each until it is released."""

    def __init__(self) -> None:
        self.read: list[str] = []
        self.released = threading.Event()

    def hold(self, text: str) -> None:
        self.read.append(text)
        assert self.released.wait(20), "held and never released"


@pytest.fixture
def held(monkeypatch: pytest.MonkeyPatch) -> Held:
    held, read = Held(), WordReader.read

    def hold(self: WordReader, text: str) -> TextTokens:
        held.hold(text)
        return read(self, text)

    monkeypatch.setattr(WordReader, "read", hold)
    return held


def document(service: Service, text: str) -> asyncio.Task[pb.ClassifyDocumentResponse]:
    async def call() -> pb.ClassifyDocumentResponse:
        return await service.stub.ClassifyDocument(
            pb.ClassifyDocumentRequest(text=text), timeout=20
        )

    return asyncio.create_task(call())


def request(text: str, overlength: pb.Overlength.ValueType = WINDOWS) -> pb.StreamClassifyRequest:
    options = pb.StreamOptions(overlength=overlength)
    return pb.StreamClassifyRequest(id=text, text=text, options=options)


async def read_to_the_end(stream: Stream) -> tuple[list[str], grpc.StatusCode]:
    """The ids of the results that hold a sentiment, and how the stream ended."""
    answered = []
    try:
        async for response in stream:
            assert response.HasField("sentiment"), response
            answered.append(response.id)
    except grpc.aio.AioRpcError as error:
        return answered, error.code()
    return answered, grpc.StatusCode.OK


async def test_calls_are_refused_while_too_many_bytes_wait_to_be_divided(
    words: Service, held: Held, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(division, "MAX_WAITING_BYTES", 10)
    # There is always room for one call, whatever it holds.
    divided = [document(words, "good " * 10)]
    await until(lambda: held.read)
    refused: list[Callable[[], Awaitable[object]]] = [
        lambda: document(words, "bad"),
        lambda: words.stub.Classify(pb.ClassifyRequest(text="bad", overlength=WINDOWS)),
        lambda: words.stub.BatchClassify(
            pb.BatchClassifyRequest(texts=["bad"], overlength=WINDOWS)
        ),
    ]
    for call in refused:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await call()
        said = told(caught.value)
        assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
        assert said.reason == "OVERLOADED"
        assert said.retry.retry_delay.ToTimedelta().total_seconds() > 0
        assert "50 bytes of texts wait to be divided" in said.message
    # What needs no division is answered, and so is a stream once it is its turn.
    await words.stub.Classify(pb.ClassifyRequest(text="good"), timeout=10)
    stream = words.stub.StreamClassify(iter([request("bad")]))
    await until(lambda: len(words.model.arrivals) == 2)
    held.released.set()
    await asyncio.gather(*divided)
    assert await read_to_the_end(stream) == (["bad"], grpc.StatusCode.OK)
    assert (await document(words, "bad")).document.label == "bad"


async def test_a_refused_call_is_told_how_long_the_division_takes() -> None:
    divider = word_divider()
    full = divider.room_for(["x" * division.MAX_WAITING_BYTES])
    with full, pytest.raises(QueueFull) as refused, divider.room_for(["good"]):
        pass
    assert 5 < refused.value.retry_after_seconds < 20
    with divider.room_for(["good"]):
        divider.close()


async def test_a_caller_who_leaves_frees_the_room(
    words: Service, held: Held, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(division, "MAX_WAITING_BYTES", 10)
    first = document(words, "good")
    await until(lambda: held.read)
    second = document(words, "good good")
    await until(lambda: len(words.model.arrivals) == 2)
    second.cancel()
    await until(lambda: len(words.model.arrivals) == 1)
    third = document(words, "bad")
    await until(lambda: len(words.model.arrivals) == 2)
    held.released.set()
    assert [(await each).document.label for each in (first, third)] == ["good", "bad"]


async def test_one_text_of_all_streams_is_ahead_of_a_call(words: Service, held: Held) -> None:
    streams = [words.stub.StreamClassify(iter([request(text)])) for text in "abc"]
    await until(lambda: len(words.model.arrivals) == 3)
    called = document(words, "call")
    await until(lambda: len(words.model.arrivals) == 4)
    held.released.set()
    await called
    assert [await read_to_the_end(stream) for stream in streams] == [
        ([text], grpc.StatusCode.OK) for text in "abc"
    ]
    assert held.read[1] == "call"
    assert sorted(held.read) == ["a", "b", "c", "call"]


async def test_a_server_that_ends_answers_what_is_being_divided(
    words: Service, held: Held, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(drain, "LAME_DUCK_SECONDS", 0)
    monkeypatch.setattr(drain, "QUIESCENT_SECONDS", 0.01)
    monkeypatch.setattr(drain, "MAX_QUIESCENCE_SECONDS", 0.03)
    calls = [document(words, "good"), document(words, "bad")]
    await until(lambda: held.read and len(words.model.arrivals) == 2)
    assert words.batcher.idle
    assert not words.model.idle
    stopping, stop = asyncio.Event(), words.transport.stop

    async def told_to_stop(grace_seconds: float) -> None:
        stopping.set()
        await stop(grace_seconds)

    monkeypatch.setattr(words.transport, "stop", told_to_stop)
    draining = asyncio.create_task(
        drain.drain(
            words.sentiment, words.readiness, [words.transport], words.model, grace_seconds=60
        )
    )
    await stopping.wait()
    held.released.set()
    assert [(await call).document.label for call in calls] == ["good", "bad"]
    await draining
    assert words.model.idle


async def test_the_wait_for_a_division_that_does_not_end_has_an_end() -> None:
    arrivals = Arrivals()
    with arrivals.arrival():
        async with asyncio.timeout(20):
            await arrivals.end(timeout_seconds=0.01)
        assert arrivals


async def test_a_stream_that_is_stopped_answers_the_text_that_is_being_divided(
    words: Service, held: Held
) -> None:
    stream = words.stub.StreamClassify()
    for text in ("a", "b"):
        await stream.write(request(text))
    await until(lambda: held.read)
    words.sentiment.refuse(Draining("the server is ending"))
    held.released.set()
    async with asyncio.timeout(20):
        assert await read_to_the_end(stream) == (["a"], grpc.StatusCode.UNAVAILABLE)


@pytest.mark.parametrize("overlength", [WINDOWS, pb.OVERLENGTH_TRUNCATE])
async def test_a_stream_that_is_stopped_answers_the_text_that_waits_for_room(
    overlength: pb.Overlength.ValueType,
) -> None:
    async with full(overlength) as (service, stream):
        service.sentiment.refuse(Draining("the server is ending"))
        service.classifier.release()
        async with asyncio.timeout(20):
            assert await read_to_the_end(stream) == (["a", "b", "c"], grpc.StatusCode.UNAVAILABLE)


async def test_a_model_that_is_lost_ends_the_wait_for_room() -> None:
    async with full(pb.OVERLENGTH_TRUNCATE) as (service, stream):
        unhealthy = Unhealthy("the model no longer answers")
        service.sentiment.refuse(unhealthy)
        service.batcher.fail_all(unhealthy)
        failed = []
        async with asyncio.timeout(20):
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                async for response in stream:
                    failed.append((response.id, Told(response.error).reason))  # noqa: PERF401
        assert failed == [(text, "UNHEALTHY") for text in "abc"]
        assert told(caught.value).reason == "UNHEALTHY"


@asynccontextmanager
async def full(overlength: pb.Overlength.ValueType) -> AsyncIterator[tuple[Service, Stream]]:
    """A stream whose third text waits for room behind two in the queue, and its service."""
    async with started(classifier=WordClassifier, queue_texts=4) as service:
        service.classifier.hold()
        call = service.stub.Classify(pb.ClassifyRequest(text="computed"))
        await service.classifier.started()
        stream = service.stub.StreamClassify()
        for text in "abcde":
            await stream.write(request(text, overlength))
        await until(lambda: service.batcher.queued_texts == 2 and len(service.model.arrivals) == 1)
        yield service, stream
        call.cancel()
