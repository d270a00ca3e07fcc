"""The channel under each client: here, and in their streams, asyncio and threads differ."""

from __future__ import annotations

import asyncio
import contextlib
import os
import threading
from typing import TYPE_CHECKING, cast

import grpc.aio
from valence.v1.sentiment_pb2_grpc import SentimentServiceStub

if TYPE_CHECKING:
    from valence.v1.sentiment_pb2_grpc import SentimentServiceAsyncStub

    from valence_client._connection import ChannelOptions, Connection

_OWN_CONNECTIONS = ("grpc.use_local_subchannel_pool", 1)


class AsyncChannel:
    """A channel of asyncio. It opens at the first call, whose event loop it then belongs to."""

    def __init__(self, connection: Connection) -> None:
        """Open nothing yet."""
        self._connection = connection
        self._channel: grpc.aio.Channel | None = None
        self._stub: SentimentServiceAsyncStub | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._closed = asyncio.Event()

    def stub(self) -> SentimentServiceAsyncStub:
        """Return the service's methods.

        Raise ValueError once the channel is closed, RuntimeError on another event loop.
        """
        if self._closed.is_set():
            raise ValueError("the client is closed")
        loop = asyncio.get_running_loop()
        if self._stub is None:
            self._loop, self._channel = loop, self._opened()
            self._stub = cast("SentimentServiceAsyncStub", SentimentServiceStub(self._channel))
        if self._loop is not loop:
            raise RuntimeError(
                "this AsyncClient belongs to the event loop of its first call: make a client in "
                "each asyncio.run, or use one asyncio.run for all calls"
            )
        return self._stub

    async def pause(self, seconds: float) -> None:
        """Wait so long, or until the channel is closed."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._closed.wait()

    async def close(self) -> None:
        """End open calls and the connection."""
        self._closed.set()
        if self._channel is not None:
            await self._channel.close()

    def _opened(self) -> grpc.aio.Channel:
        target, options = self._connection.target, self._connection.options
        credentials, compression = self._connection.credentials, self._connection.compression
        if credentials is None:
            return grpc.aio.insecure_channel(target, options, compression)
        return grpc.aio.secure_channel(target, credentials, options, compression)


class Channel:
    """A channel of threads."""

    def __init__(self, connection: Connection) -> None:
        """Open the channel; it connects at the first call."""
        self._connection = connection
        self._closed = threading.Event()
        self._opening = threading.Lock()
        self._open(connection.options)

    def stub(self) -> SentimentServiceStub:
        """Return the service's methods. Raise ValueError once the channel is closed."""
        if self._closed.is_set():
            raise ValueError("the client is closed")
        if self._process != os.getpid():
            # grpcio 1.71 carries neither a channel nor a connection over a fork.
            with self._opening:
                if self._process != os.getpid():
                    self._open([*self._connection.options, _OWN_CONNECTIONS])
        return self._stub

    def pause(self, seconds: float) -> None:
        """Wait so long, or until the channel is closed."""
        self._closed.wait(seconds)

    def close(self) -> None:
        """End open calls and the connection."""
        self._closed.set()
        self._channel.close()

    def _open(self, options: ChannelOptions) -> None:
        target = self._connection.target
        credentials, compression = self._connection.credentials, self._connection.compression
        if credentials is None:
            self._channel = grpc.insecure_channel(target, options, compression)
        else:
            self._channel = grpc.secure_channel(target, credentials, options, compression)
        self._stub = SentimentServiceStub(self._channel)
        self._process = os.getpid()
