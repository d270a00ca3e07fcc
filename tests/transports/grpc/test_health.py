"""grpc.health.v1 and reflection, as load balancers and tools use them."""

from __future__ import annotations

import asyncio
from typing import Any

import grpc
import pytest
from google.protobuf import descriptor_pb2, message_factory
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2
from valence.v1 import sentiment_pb2 as pb
from valence_service.transports.contract import SERVICE_NAME

from tests.transports.grpc.conftest import Service

SERVING = health_pb2.HealthCheckResponse.SERVING
NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING


def list_response() -> Any:
    """The message that health's List answers, as its proto has it; grpcio 1.83 has none."""
    field = descriptor_pb2.FieldDescriptorProto
    file = descriptor_pb2.FileDescriptorProto(name="list.proto", package="health", syntax="proto3")
    message = file.message_type.add(name="HealthListResponse")
    entry = message.nested_type.add(name="StatusesEntry")
    entry.options.map_entry = True
    entry.field.add(name="key", number=1, type=field.TYPE_STRING, label=field.LABEL_OPTIONAL)
    entry.field.add(name="value", number=2, type=field.TYPE_BYTES, label=field.LABEL_OPTIONAL)
    message.field.add(
        name="statuses",
        number=1,
        type=field.TYPE_MESSAGE,
        label=field.LABEL_REPEATED,
        type_name=".health.HealthListResponse.StatusesEntry",
    )
    return message_factory.GetMessages([file])["health.HealthListResponse"]


@pytest.mark.parametrize("name", ["", SERVICE_NAME])
async def test_check_and_list_say_the_same(service: Service, unopened: Service, name: str) -> None:
    for running, expected in ((service, SERVING), (unopened, NOT_SERVING)):
        stub = health_pb2_grpc.HealthStub(running.channel)
        assert (await stub.Check(health_pb2.HealthCheckRequest(service=name))).status == expected
        call: Any = running.channel.unary_unary("/grpc.health.v1.Health/List")
        listed = await call(b"")
        status = list_response().FromString(listed).statuses[name]
        assert health_pb2.HealthCheckResponse.FromString(status).status == expected


async def test_an_unknown_service_is_not_found(service: Service) -> None:
    stub = health_pb2_grpc.HealthStub(service.channel)
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await stub.Check(health_pb2.HealthCheckRequest(service="nobody"))
    assert caught.value.code() is grpc.StatusCode.NOT_FOUND
    watch = stub.Watch(health_pb2.HealthCheckRequest(service="nobody"))
    assert (await watch.read()).status == health_pb2.HealthCheckResponse.SERVICE_UNKNOWN
    watch.cancel()


async def test_every_watcher_hears_every_change_until_the_end(unopened: Service) -> None:
    stub = health_pb2_grpc.HealthStub(unopened.channel)
    request = health_pb2.HealthCheckRequest(service=SERVICE_NAME)
    watches = [stub.Watch(request) for _ in range(3)]
    async with asyncio.timeout(10):
        for serving in (None, True, False):
            if serving is not None:
                unopened.readiness.set(serving=serving)
            for watch in watches:
                assert (await watch.read()).status == (SERVING if serving else NOT_SERVING)
        watches.pop().cancel()
        unopened.readiness.end()
        for watch in watches:
            assert await watch.code() is grpc.StatusCode.UNAVAILABLE


async def test_health_is_answered_while_a_batch_computes(service: Service) -> None:
    service.classifier.hold()
    running = service.stub.Classify(pb.ClassifyRequest(text="running"))
    await service.classifier.started()
    stub = health_pb2_grpc.HealthStub(service.channel)
    assert (await stub.Check(health_pb2.HealthCheckRequest(), timeout=10)).status == SERVING
    service.classifier.release()
    await running


@pytest.mark.parametrize("version", ["v1", "v1alpha"])
async def test_reflection_tells_the_contract(service: Service, version: str) -> None:
    call = service.channel.stream_stream(
        f"/grpc.reflection.{version}.ServerReflection/ServerReflectionInfo",
        request_serializer=reflection_pb2.ServerReflectionRequest.SerializeToString,
        response_deserializer=reflection_pb2.ServerReflectionResponse.FromString,
    )(
        iter(
            [
                reflection_pb2.ServerReflectionRequest(list_services=""),
                reflection_pb2.ServerReflectionRequest(file_containing_symbol=SERVICE_NAME),
            ]
        )
    )
    async with asyncio.timeout(10):
        listed, described = [response async for response in call]
    names = {service.name for service in listed.list_services_response.service}
    assert {SERVICE_NAME, "grpc.health.v1.Health"} <= names
    file = descriptor_pb2.FileDescriptorProto.FromString(
        described.file_descriptor_response.file_descriptor_proto[0]
    )
    methods = {method.name for method in file.service[0].method}
    unary = {"Classify", "BatchClassify", "ClassifyDocument", "GetModel"}
    assert methods == unary | {"StreamClassify"}
