"""A stream of the client for asyncio, over several calls if servers go away."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterable
from typing import TYPE_CHECKING

import grpc.aio

from valence_client._ending import Ending
from valence_client._reopening import Reopening
from valence_client._status import error_of_call, more_telling
from valence_client.errors import Unavailable, ValenceError

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator, Iterable

    from valence.v1 import sentiment_pb2 as pb

    from valence_client._channels import AsyncChannel
    from valence_client._connection import Connection
    from valence_client._exchange import Exchange
    from valence_client.results import Outcome, StreamItem


async def answers(
    channel: AsyncChannel,
    connection: Connection,
    texts: Iterable[str] | AsyncIterable[str],
    exchange: Exchange,
) -> AsyncGenerator[Outcome | StreamItem, None]:
    """Yield every answer. Raise the error that ends the stream early."""
    feed = _Feed(texts, exchange)
    reopening = Reopening(retries=connection.retries, timeout_seconds=connection.timeout_seconds)
    # A separate task: a call that breaks cancels the iteration over its requests.
    reading = asyncio.create_task(feed.read())
    error: ValenceError | None = None
    try:
        while True:
            call = channel.stub().StreamClassify(feed.requests(), metadata=connection.metadata())
            ending = Ending(call)
            try:
                async for response in call:
                    answer, error = exchange.answer(response), None
                    feed.room.set()
                    yield answer
                break
            except (grpc.aio.AioRpcError, Unavailable) as raised:
                if exchange.complete:
                    break
                if isinstance(raised, Unavailable):
                    error = raised
                else:
                    status = ending.status(raised)
                    if status.code() is grpc.StatusCode.OK:
                        break
                    error = more_telling(error, error_of_call(status, connection.peer))
                pause_seconds = reopening.pause_seconds(error, exchange.answered)
                if pause_seconds is None:
                    raise error from error.__cause__
            finally:
                call.cancel()
            await channel.pause(pause_seconds)
    finally:
        reading.cancel()
        await asyncio.wait([reading])
    exchange.finish()


class _Feed:
    """Reads the texts for one call after another."""

    def __init__(self, texts: Iterable[str] | AsyncIterable[str], exchange: Exchange) -> None:
        self._texts = texts
        self._exchange = exchange
        self._added = asyncio.Event()
        self.room = asyncio.Event()

    async def read(self) -> None:
        """Read the texts to their end, as far ahead as there is room."""
        exchange = self._exchange
        try:
            async for text in _each(self._texts):
                exchange.add(text)
                self._added.set()
                while exchange.full:
                    self.room.clear()
                    await self.room.wait()
            exchange.ended = True
        except asyncio.CancelledError:
            raise
        except BaseException as error:  # raised by the caller's texts: raise it to the caller
            exchange.failure = error
        finally:
            self._added.set()

    async def requests(self) -> AsyncIterator[pb.StreamClassifyRequest]:
        """Yield the requests without an answer, then the new ones."""
        exchange = self._exchange
        number, first = exchange.first_unanswered, True
        while True:
            while number == exchange.added:
                if exchange.no_more:
                    return
                self._added.clear()
                await self._added.wait()
            request = exchange.request(number, first=first)
            number += 1
            if request is not None:
                first = False
                yield request


async def _each(texts: Iterable[str] | AsyncIterable[str]) -> AsyncIterator[str]:
    if isinstance(texts, AsyncIterable):
        async for text in texts:
            yield text
    else:
        for text in texts:
            yield text
