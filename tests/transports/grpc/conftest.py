"""The gRPC transport on a real socket, with a classifier that a test can hold."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass

import grpc
import pytest
from valence.v1 import sentiment_pb2_grpc
from valence_service.core.call import Telemetry
from valence_service.core.limits import Limits
from valence_service.core.observer import Observer
from valence_service.core.readiness import Readiness
from valence_service.scheduler.batcher import Batcher
from valence_service.serving.registry import ServedModel
from valence_service.serving.service import SentimentService
from valence_service.transports.auth import Authenticator
from valence_service.transports.grpc.server import ConnectionLimits, GrpcTransport
from valence_service.transports.unary import UnaryService

from tests.support.classifier import EchoClassifier
from tests.support.stubs import async_stub
from tests.support.words import word_divider

WINDOW_TEXTS = 8
QUEUE_TEXTS = 16
LIMITS = Limits(max_text_bytes=100, max_batch_texts=4, max_document_bytes=400, max_sentences=8)


@dataclass
class Service:
    """A service and a caller of it."""

    address: str
    stub: sentiment_pb2_grpc.SentimentServiceAsyncStub
    channel: grpc.aio.Channel
    transport: GrpcTransport
    sentiment: SentimentService
    readiness: Readiness
    classifier: EchoClassifier
    batcher: Batcher
    model: ServedModel


@asynccontextmanager
async def started(
    *,
    opened: bool = True,
    connections: ConnectionLimits = ConnectionLimits(),  # noqa: B008  frozen
    telemetry: Telemetry | None = None,
    observer: Observer | None = None,
    classifier: type[EchoClassifier] = EchoClassifier,
    divides: bool = True,
    queue_texts: int = QUEUE_TEXTS,
    authenticator: Authenticator | None = None,
    public_health: bool = True,
    services: Callable[[SentimentService, Readiness], Sequence[UnaryService]] = lambda *_: (),
) -> AsyncIterator[Service]:
    sentiment = SentimentService(LIMITS, window_texts=WINDOW_TEXTS)
    readiness = Readiness()
    transport = GrpcTransport(
        sentiment,
        readiness,
        connections,
        telemetry or Telemetry(),
        authenticator=authenticator,
        public_health=public_health,
        services=services(sentiment, readiness),
    )
    address = transport.listen("127.0.0.1", 0)
    await transport.start()
    echo = classifier()
    batcher = Batcher(
        [echo],
        max_batch_texts=4,
        max_batch_tokens=400,
        max_queue_texts=queue_texts,
        observer=observer,
    )
    model = ServedModel(echo.info, batcher, word_divider() if divides else None)
    if opened:
        sentiment.open(model)
        readiness.set(serving=True)
    async with grpc.aio.insecure_channel(address) as channel:
        stub = async_stub(channel)
        yield Service(address, stub, channel, transport, sentiment, readiness, echo, batcher, model)
    echo.release()
    readiness.end()
    await transport.stop(0)
    await batcher.close(timeout_seconds=10)


@pytest.fixture
async def service() -> AsyncIterator[Service]:
    async with started() as running:
        yield running


@pytest.fixture
async def unopened() -> AsyncIterator[Service]:
    """A service whose model is still being loaded."""
    async with started(opened=False) as running:
        yield running


def wordless(
    service: Service, *, timeout: float | None = None
) -> grpc.aio.StreamUnaryCall[bytes, bytes]:
    """A call of Classify whose message does not come."""
    path = "/valence.v1.SentimentService/Classify"
    method: grpc.aio.StreamUnaryMultiCallable[bytes, bytes] = service.channel.stream_unary(path)
    return method(timeout=timeout)
