"""Calls whose message does not come, and the behaviour of gRPC that their handlers rely on.

Handlers of one message are registered as handlers of many (``stream_unary``), which leaves the
reading to them.
"""

from __future__ import annotations

import asyncio

import grpc
import pytest
from grpc_health.v1 import health_pb2
from grpc_reflection.v1alpha import reflection_pb2
from valence.v1 import sentiment_pb2 as pb
from valence_service.transports.contract import METHODS, SERVICE_NAME
from valence_service.transports.grpc import calls, reflection

from tests.support.errors import told
from tests.support.waiting import until
from tests.transports.grpc.conftest import Service

UNARY = [name for name in METHODS if name != "StreamClassify"]
HEALTH = ["/grpc.health.v1.Health/Check", "/grpc.health.v1.Health/List"]


def begin(service: Service, path: str) -> grpc.aio.StreamUnaryCall[bytes, bytes]:
    """A call whose headers are sent, and whose message is not."""
    method: grpc.aio.StreamUnaryMultiCallable[bytes, bytes] = service.channel.stream_unary(path)
    return method()


async def arrived(service: Service, calls_of_one: int) -> None:
    """Until so many calls wait for their message in their handlers."""
    await until(lambda: len(service.transport._reads) == calls_of_one)


async def failure(call: grpc.aio.StreamUnaryCall[bytes, bytes]) -> grpc.aio.AioRpcError:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        async with asyncio.timeout(20):
            await call
    return caught.value


@pytest.mark.parametrize("name", UNARY)
async def test_a_call_is_refused_before_its_message_is_read(unopened: Service, name: str) -> None:
    error = await failure(begin(unopened, f"/{SERVICE_NAME}/{name}"))
    assert (error.code(), told(error).reason) == (grpc.StatusCode.UNAVAILABLE, "STARTING")


@pytest.mark.parametrize("name", UNARY)
async def test_a_call_that_ends_without_a_message(service: Service, name: str) -> None:
    call = begin(service, f"/{SERVICE_NAME}/{name}")
    await call.done_writing()
    error = await failure(call)
    assert error.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert told(error).reason == "MALFORMED_MESSAGE"
    assert f"without a {name}Request" in str(error.details())


@pytest.mark.parametrize("name", UNARY)
async def test_a_message_that_does_not_come_has_a_bound(
    service: Service, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setattr(calls, "MESSAGE_SECONDS", 0.05)
    error = await failure(begin(service, f"/{SERVICE_NAME}/{name}"))
    assert error.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert f"no whole {name}Request has come in 0.05 s" in str(error.details())


@pytest.mark.parametrize("path", [*(f"/{SERVICE_NAME}/{name}" for name in UNARY), *HEALTH])
async def test_the_end_does_not_wait_for_a_message(service: Service, path: str) -> None:
    call = begin(service, path)
    await arrived(service, 1)
    service.transport.end_idle()
    assert (await failure(call)).code() is grpc.StatusCode.UNAVAILABLE


async def test_a_message_that_comes_while_the_service_ends_is_answered(service: Service) -> None:
    service.transport.end_idle()
    response = await service.stub.Classify(pb.ClassifyRequest(text="good"))
    assert response.sentiment.label == "good"
    check: grpc.aio.UnaryUnaryMultiCallable[bytes, bytes] = service.channel.unary_unary(HEALTH[0])
    status = health_pb2.HealthCheckResponse.FromString(await check(b""))
    assert status.status == health_pb2.HealthCheckResponse.SERVING


@pytest.mark.parametrize("name", reflection.SERVICE_NAMES)
async def test_idle_reflection_streams_keep_no_other_waiting(service: Service, name: str) -> None:
    open_stream: grpc.aio.StreamStreamMultiCallable[
        reflection_pb2.ServerReflectionRequest, reflection_pb2.ServerReflectionResponse
    ] = service.channel.stream_stream(
        f"/{name}/ServerReflectionInfo",
        reflection_pb2.ServerReflectionRequest.SerializeToString,
        reflection_pb2.ServerReflectionResponse.FromString,
    )
    streams = [open_stream() for _ in range(20)]
    await arrived(service, len(streams))
    async with asyncio.timeout(20):
        for stream in streams:
            await stream.write(reflection_pb2.ServerReflectionRequest(list_services=""))
            response = await stream.read()
            assert isinstance(response, reflection_pb2.ServerReflectionResponse)
            listed = [each.name for each in response.list_services_response.service]
            assert SERVICE_NAME in listed
        service.transport.end_idle()
        codes = [await stream.code() for stream in streams]
    assert codes == [grpc.StatusCode.UNAVAILABLE] * len(streams)


@pytest.mark.parametrize(
    "path", [HEALTH[0], *(f"/{name}/ServerReflectionInfo" for name in reflection.SERVICE_NAMES)]
)
async def test_bytes_that_are_no_message_of_health_or_reflection(
    service: Service, path: str
) -> None:
    call: grpc.aio.UnaryUnaryMultiCallable[bytes, bytes] = service.channel.unary_unary(path)
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call(b"\xff")
    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert "are cut or mangled" in str(caught.value.details())
