"""Either client behind one asynchronous face, so that each test is written once for both."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Sequence
from contextlib import asynccontextmanager
from typing import Any, Protocol, cast

from valence_client import AsyncClient, Client, Document, ModelInfo, Outcome, Sentiment


class Asked(Protocol):
    """What both clients can be asked."""

    async def classify(self, text: str, **options: Any) -> Sentiment: ...
    async def classify_batch(self, texts: Iterable[str], **options: Any) -> list[Outcome]: ...
    def classify_stream(self, texts: Iterable[str], **options: Any) -> Stream: ...
    async def classify_document(self, text: str) -> Document: ...
    async def model(self) -> ModelInfo: ...
    async def wait_ready(self, timeout_seconds: float = ...) -> None: ...


class Stream(Protocol):
    """Answers, one at a time."""

    def __aiter__(self) -> AsyncIterator[Any]: ...
    async def __anext__(self) -> Any: ...
    async def aclose(self) -> None: ...


class Threaded:
    """The sync client, called from threads: the server of a test runs on the test's loop."""

    def __init__(self, client: Client) -> None:
        self._client = client

    async def classify(self, text: str, **options: Any) -> Sentiment:
        return await asyncio.to_thread(self._client.classify, text, **options)

    async def classify_batch(self, texts: Iterable[str], **options: Any) -> list[Outcome]:
        return await asyncio.to_thread(self._client.classify_batch, texts, **options)

    def classify_stream(self, texts: Iterable[str], **options: Any) -> Stream:
        return ThreadedStream(self._client.classify_stream(texts, **options))

    async def classify_document(self, text: str) -> Document:
        return await asyncio.to_thread(self._client.classify_document, text)

    async def model(self) -> ModelInfo:
        return await asyncio.to_thread(self._client.model)

    async def wait_ready(self, timeout_seconds: float = 60.0) -> None:
        await asyncio.to_thread(self._client.wait_ready, timeout_seconds)


class ThreadedStream:
    """The sync client's stream, each step in a thread."""

    def __init__(self, answers: Any) -> None:
        self._answers = answers

    def __aiter__(self) -> AsyncIterator[Any]:
        return self

    async def __anext__(self) -> Any:
        end = object()
        answer = await asyncio.to_thread(next, self._answers, end)
        if answer is end:
            raise StopAsyncIteration
        return answer

    async def aclose(self) -> None:
        await asyncio.to_thread(self._answers.close)


@asynccontextmanager
async def opened(kind: str, address: str | Sequence[str], **options: Any) -> AsyncIterator[Asked]:
    """A client of that kind."""
    if kind == "aio":
        async with AsyncClient(address, **options) as client:
            # Stricter than the face: its options have names.
            yield cast("Asked", client)
    else:
        with Client(address, **options) as blocking:
            yield Threaded(blocking)


def counted(texts: Iterator[str], told: Callable[[int], None]) -> Iterator[str]:
    """The texts, telling how many have been read."""
    for count, text in enumerate(texts, 1):
        told(count)
        yield text


def label(answer: object) -> str:
    """The answer's label, or the name of its error."""
    return answer.label if isinstance(answer, Sentiment) else type(answer).__name__
