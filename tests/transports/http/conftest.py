"""The HTTP transport on a real socket, with a classifier that a test can hold."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from json import dumps

import httpx2 as httpx
import pytest
from valence_service.core.call import Telemetry
from valence_service.core.readiness import Readiness
from valence_service.scheduler.batcher import Batcher
from valence_service.serving.registry import ServedModel
from valence_service.serving.service import SentimentService
from valence_service.transports.http.transport import HttpTransport

from tests.support.classifier import EchoClassifier
from tests.support.words import WordClassifier, word_divider
from tests.transports.grpc.conftest import LIMITS, QUEUE_TEXTS, WINDOW_TEXTS

CONNECT = "/valence.v1.SentimentService"


@dataclass
class Service:
    """A service and a client of it."""

    address: str
    http: httpx.AsyncClient
    transport: HttpTransport
    sentiment: SentimentService
    readiness: Readiness
    classifier: EchoClassifier
    batcher: Batcher

    async def post(self, path: str, json: object, **headers: str) -> httpx.Response:
        """Send JSON; a header's name is written with underscores."""
        names = {name.replace("_", "-"): value for name, value in headers.items()}
        names["content-type"] = "application/json"
        return await self.http.post(path, content=dumps(json), headers=names)


@asynccontextmanager
async def started(
    *,
    opened: bool = True,
    telemetry: Telemetry | None = None,
    origins: tuple[str, ...] = (),
    documents: bool = False,
) -> AsyncIterator[Service]:
    sentiment = SentimentService(LIMITS, window_texts=WINDOW_TEXTS)
    readiness = Readiness()
    transport = HttpTransport(sentiment, readiness, telemetry or Telemetry(), origins=origins)
    address = transport.listen("127.0.0.1", 0)
    await transport.start()
    classifier = WordClassifier() if documents else EchoClassifier()
    batcher = Batcher(
        [classifier], max_batch_texts=4, max_batch_tokens=400, max_queue_texts=QUEUE_TEXTS
    )
    if opened:
        sentiment.open(ServedModel(classifier.info, batcher, word_divider()))
        readiness.set(serving=True)
    async with httpx.AsyncClient(base_url=f"http://{address}", timeout=20) as http:
        yield Service(address, http, transport, sentiment, readiness, classifier, batcher)
    classifier.release()
    await transport.stop(0)
    await batcher.close(timeout_seconds=10)


@pytest.fixture
async def service() -> AsyncIterator[Service]:
    async with started() as running:
        yield running
