"""Channels that share nothing, what became of a call, and whether all is well."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable
from contextlib import AsyncExitStack, asynccontextmanager
from typing import TypeVar

import grpc
import httpx2 as httpx
from grpc_health.v1 import health_pb2, health_pb2_grpc
from valence.v1 import sentiment_pb2 as pb
from valence.v1 import sentiment_pb2_grpc

from tests.faults.answers import Answers
from tests.faults.http1 import SERVICE
from tests.faults.running import Running
from tests.support.stubs import async_stub

OWN_CONNECTION = (("grpc.use_local_subchannel_pool", 1),)
T = TypeVar("T")


@asynccontextmanager
async def stubs(
    address: str, count: int, **options: int
) -> AsyncIterator[list[sentiment_pb2_grpc.SentimentServiceAsyncStub]]:
    """As many callers, each with a connection of its own; grpc's options without their prefix."""
    more = [(f"grpc.{name}", value) for name, value in options.items()]
    async with AsyncExitStack() as stack:
        channels = [
            await stack.enter_async_context(
                grpc.aio.insecure_channel(address, [*OWN_CONNECTION, *more])
            )
            for _ in range(count)
        ]
        yield [async_stub(channel) for channel in channels]


class HttpStub:
    """Makes calls by Connect, as a stub of gRPC makes them."""

    def __init__(self, client: httpx.AsyncClient) -> None:
        self._client = client

    def Classify(self, request: pb.ClassifyRequest) -> asyncio.Task[pb.ClassifyResponse]:
        return asyncio.ensure_future(self._classify(request.SerializeToString()))

    async def _classify(self, body: bytes) -> pb.ClassifyResponse:
        headers = {"content-type": "application/proto"}
        response = await self._client.post(f"{SERVICE}/Classify", content=body, headers=headers)
        assert response.status_code == 200, response.text
        return pb.ClassifyResponse.FromString(response.content)


@asynccontextmanager
async def http_stubs(address: str, count: int) -> AsyncIterator[list[HttpStub]]:
    """As many callers, who open as many connections as they have calls."""
    limits = httpx.Limits(max_connections=None)
    async with AsyncExitStack() as stack:
        yield [
            HttpStub(
                await stack.enter_async_context(
                    httpx.AsyncClient(base_url=f"http://{address}", limits=limits, timeout=60)
                )
            )
            for _ in range(count)
        ]


async def outcome(call: Awaitable[T]) -> T | grpc.aio.AioRpcError | None:
    """The response, the error, or None where the caller itself has cancelled."""
    try:
        return await call
    except grpc.aio.AioRpcError as error:
        return error
    except asyncio.CancelledError:
        task = asyncio.current_task()
        assert task is not None
        if task.cancelling():  # it is the test that is cancelled, not the call
            raise
        return None


async def is_serving(address: str) -> bool:
    """What health says now, to a new connection."""
    async with grpc.aio.insecure_channel(address, OWN_CONNECTION) as channel:
        health = await health_pb2_grpc.HealthStub(channel).Check(
            health_pb2.HealthCheckRequest(), timeout=20
        )
    return bool(health.status == health_pb2.HealthCheckResponse.SERVING)


async def check_all_is_well(server: Running, answers: Answers) -> None:
    """A full batch is answered, and right: nothing is in its way for good."""
    texts = [answers.text(number) for number in range(64)]
    async with stubs(server.address, 1) as (stub,):
        response = await stub.BatchClassify(pb.BatchClassifyRequest(texts=texts), timeout=60)
    for text, result in zip(texts, response.results, strict=True):
        answers.check(text, result.sentiment)
    assert await is_serving(server.address)
