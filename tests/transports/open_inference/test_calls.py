"""The calls of the Open Inference Protocol: what is answered, what is refused and how."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import grpc
import pytest
from google.protobuf import descriptor_pool
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import (
    ProtoReflectionDescriptorDatabase,
)
from valence_service.core.errors import Unhealthy
from valence_service.core.sentiment import Label
from valence_service.transports.open_inference import open_inference_pb2 as pb

from tests.support.classifier import POISON, SECRET
from tests.support.errors import Told, told
from tests.support.waiting import until
from tests.transports.grpc.conftest import LIMITS, QUEUE_TEXTS, Service
from tests.transports.open_inference.conftest import (
    MODEL,
    REVISION,
    SERVICE_NAME,
    LabelClassifier,
    infer_request,
    method,
    started_with_protocol,
    tensors,
)

OUTPUTS = ["label", "score", "valence", "scores"]
NAMED: list[type[Any]] = [pb.ModelReadyRequest, pb.ModelMetadataRequest, pb.ModelConfigRequest]


async def call(service: Service, request: Any, **options: Any) -> Any:
    """Make the call whose request this is."""
    name = request.DESCRIPTOR.name.removesuffix("Request")
    return await method(service.channel, name)(request, **options)


async def refused(service: Service, request: Any) -> tuple[grpc.StatusCode, Told]:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call(service, request)
    return caught.value.code(), told(caught.value)


async def invalid(service: Service, request: Any, field: str, description: str) -> None:
    code, said = await refused(service, request)
    assert (code, said.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "INVALID_FIELD")
    assert said.fields == [field]
    assert description in said.descriptions[0]


@pytest.mark.parametrize("raw", [True, False])
@pytest.mark.parametrize("shape", [[2], [2, 1]])
async def test_texts_are_answered_in_the_form_that_they_came_in(
    service: Service, *, raw: bool, shape: list[int]
) -> None:
    request = infer_request(["so good", "so bad"], raw=raw, shape=shape, id="seven")
    response = await call(service, request)
    assert (response.model_name, response.model_version, response.id) == (MODEL, REVISION, "seven")
    assert bool(response.raw_output_contents) is raw
    assert [output.datatype for output in response.outputs] == ["BYTES", "FP32", "FP32", "FP32"]
    assert tensors(response) == {
        "label": ([2], [b"POSITIVE", b"NEGATIVE"]),
        "score": ([2], [0.75, 0.875]),
        "valence": ([2], [0.5, -0.75]),
        # In the model's order of labels, whichever comes first in the answer.
        "scores": ([2, 2], [0.75, 0.25, 0.125, 0.875]),
    }
    assert response.outputs[3].parameters["labels"].string_param == '["POSITIVE", "NEGATIVE"]'


@pytest.mark.parametrize("raw", [True, False])
async def test_the_outputs_that_are_requested_come_and_no_others(
    service: Service, *, raw: bool
) -> None:
    response = await call(service, infer_request(["good"], raw=raw, outputs=["valence", "label"]))
    assert list(tensors(response)) == ["valence", "label"]
    assert len(response.raw_output_contents) == 2 * raw


async def test_a_version_may_be_named(service: Service) -> None:
    response = await call(service, infer_request(["good"], model_version=REVISION))
    assert response.model_version == REVISION


@pytest.mark.parametrize("name", ["other", "", "x" * 1_000_000])
async def test_an_unknown_model_is_refused_by_name(service: Service, name: str) -> None:
    requests = [kind(name=name) for kind in NAMED]
    for request in [*requests, infer_request(["good"], model_name=name)]:
        code, said = await refused(service, request)
        assert (code, said.reason) == (grpc.StatusCode.NOT_FOUND, "UNKNOWN_MODEL")
        assert repr(name[:9])[:-1] in said.message
        assert repr(MODEL) in said.message


async def test_an_unknown_version_is_refused_by_name(service: Service) -> None:
    requests = [kind(name=MODEL, version="2") for kind in NAMED]
    for request in [*requests, infer_request(["good"], model_version="2")]:
        code, said = await refused(service, request)
        assert (code, said.reason) == (grpc.StatusCode.NOT_FOUND, "UNKNOWN_MODEL")
        assert "'2'" in said.message
        assert repr(REVISION) in said.message


@pytest.mark.parametrize("raw", [True, False])
@pytest.mark.parametrize(
    ("text", "description"),
    [
        (b"", "is empty"),
        (" \u3000".encode(), "is empty"),
        (b"x" * 101, "has 101 bytes, over the limit of 100"),
        (b"\xff\xfe", "is not UTF-8"),
    ],
)
async def test_a_bad_text_fails_the_call_and_nothing_is_computed(
    service: Service, *, raw: bool, text: bytes, description: str
) -> None:
    await invalid(service, infer_request(["good", text], raw=raw), "text[1]", description)
    assert service.classifier.seen == []


async def test_a_text_that_the_model_fails_on_is_named_by_index(
    service: Service, caplog: pytest.LogCaptureFixture
) -> None:
    code, said = await refused(service, infer_request(["good", POISON]))
    assert (code, said.reason) == (grpc.StatusCode.INTERNAL, "MODEL_FAILED")
    assert said.message.startswith("text[1]: ")
    assert SECRET not in said.message
    assert said.info.metadata["id"] in caplog.text
    assert SECRET in caplog.text


def with_input(**changes: Any) -> pb.ModelInferRequest:
    request = infer_request(["good"])
    for name, value in changes.items():
        setattr(request.inputs[0], name, value)
    return request


def with_change(
    change: Callable[[pb.ModelInferRequest], object], *, raw: bool = True, texts: int = 1
) -> pb.ModelInferRequest:
    request = infer_request(["good"] * texts, raw=raw)
    change(request)
    return request


@pytest.mark.parametrize(
    ("request_", "field", "description"),
    [
        (pb.ModelInferRequest(model_name=MODEL), "inputs", "has 0 tensors"),
        (with_change(lambda r: r.inputs.add(name="more")), "inputs", "has 2 tensors"),
        (with_input(name="texts"), "inputs[0].name", "is 'texts': the input is 'text'"),
        (with_input(name="x" * 1_000_000), "inputs[0].name", "is 'xxx"),
        (with_input(datatype="FP32"), "inputs[0].datatype", "is 'FP32': 'text' takes 'BYTES'"),
        (infer_request(["good"], shape=[]), "inputs[0].shape", "is []"),
        (infer_request(["good"], shape=[1, 2]), "inputs[0].shape", "is [1, 2]"),
        (infer_request(["good"], shape=[1, 1, 1]), "inputs[0].shape", "is [1, 1, 1]"),
        (infer_request(["good"], shape=[1] * 100_000), "inputs[0].shape", "is [1, 1, 1,"),
        (infer_request([]), "inputs[0].shape", "is [0]"),
        (infer_request(["good"], shape=[-1]), "inputs[0].shape", "is [-1]"),
        (infer_request(["good"] * 5), "inputs[0].shape", "is [5], outside of the limit"),
        (infer_request(["good"], shape=[2**62]), "inputs[0].shape", "send 1 to 4 texts"),
        (infer_request(["good"], shape=[2]), "raw_input_contents[0]", "ends before text 1"),
        (infer_request(["good"] * 2, shape=[1]), "raw_input_contents[0]", "for 8 bytes after"),
        (
            infer_request(["good"], shape=[2], raw=False),
            "inputs[0].contents.bytes_contents",
            "has 1 elements, and the shape says 2",
        ),
        (
            with_change(lambda r: r.raw_input_contents.append(b"")),
            "raw_input_contents",
            "has 2 elements",
        ),
        (
            with_change(lambda r: r.inputs[0].contents.bytes_contents.append(b"good")),
            "inputs[0].contents",
            "goes not with raw_input_contents",
        ),
        (
            with_change(lambda r: r.inputs[0].contents.int_contents.append(7), raw=False),
            "inputs[0].contents",
            "has int_contents",
        ),
        (
            with_change(lambda r: r.inputs[0].parameters["shared_memory_region"]),
            "inputs[0].parameters",
            "shared memory",
        ),
        (infer_request(["good"], outputs=["label", "logits"]), "outputs[1].name", "is 'logits'"),
        (infer_request(["good"], outputs=["label", "label"]), "outputs[1].name", "again"),
        (
            with_change(lambda r: r.outputs.add(name="label").parameters["classification"]),
            "outputs[0].parameters",
            "classes as strings",
        ),
        (
            with_change(lambda r: r.outputs.add(name="label").parameters["shared_memory_region"]),
            "outputs[0].parameters",
            "shared memory",
        ),
        (infer_request(["good"], id="x" * 257), "id", "over the limit of 256"),
    ],
)
async def test_a_request_that_breaks_a_rule_is_refused_by_its_field(
    service: Service, request_: pb.ModelInferRequest, field: str, description: str
) -> None:
    await invalid(service, request_, field, description)
    assert service.classifier.seen == []


async def test_parameters_of_other_servers_are_no_obstacle(service: Service) -> None:
    request = infer_request(["good"])
    request.parameters["priority"].uint64_param = 1
    request.inputs[0].parameters["content_type"].string_param = "str"
    assert tensors(await call(service, request))["label"] == ([1], [b"POSITIVE"])


async def test_bytes_that_are_no_message_are_told_so(service: Service) -> None:
    send: Any = service.channel.unary_unary(f"/{SERVICE_NAME}/ModelInfer")
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await send(b"\x0a\x7fcut")
    assert told(caught.value).reason == "MALFORMED_MESSAGE"
    assert "inference.ModelInferRequest" in told(caught.value).message


class Unmapped(LabelClassifier):
    """Labels that do not tell a valence."""

    info = replace(LabelClassifier.info, labels=(Label("POSITIVE", None), Label("NEGATIVE", None)))


class Twins(LabelClassifier):
    """Two labels with one name."""

    info = replace(LabelClassifier.info, labels=(Label("SAME", 1.0), Label("SAME", -1.0)))


async def test_labels_that_share_a_name_have_no_scores_each() -> None:
    async with started_with_protocol(classifier=Twins) as service:
        metadata = await call(service, pb.ModelMetadataRequest(name=MODEL))
        assert [output.name for output in metadata.outputs] == ["label", "score", "valence"]


async def test_a_model_without_valence_has_no_such_output() -> None:
    async with started_with_protocol(classifier=Unmapped) as service:
        response = await call(service, infer_request(["odd"]))
        assert list(tensors(response)) == ["label", "score", "scores"]
        metadata = await call(service, pb.ModelMetadataRequest(name=MODEL))
        assert [output.name for output in metadata.outputs] == ["label", "score", "scores"]
        request = infer_request(["odd"], outputs=["valence"])
        await invalid(service, request, "outputs[0].name", "--label-valence")


@pytest.mark.parametrize("raw", [True, False])
async def test_a_lone_text_without_valence_has_nan(service: Service, *, raw: bool) -> None:
    response = await call(service, infer_request(["odd", "good"], raw=raw, outputs=["valence"]))
    _, (odd, good) = tensors(response)["valence"]
    assert math.isnan(odd)
    assert good == 0.5


async def test_the_model_describes_its_tensors(service: Service) -> None:
    metadata = await call(service, pb.ModelMetadataRequest(name=MODEL))
    assert (metadata.name, list(metadata.versions)) == (MODEL, [REVISION])
    assert metadata.platform == "valence_echo"
    described = [(t.name, t.datatype, list(t.shape)) for t in metadata.inputs]
    assert described == [("text", "BYTES", [-1])]
    described = [(t.name, t.datatype, list(t.shape)) for t in metadata.outputs]
    assert described == [
        ("label", "BYTES", [-1]),
        ("score", "FP32", [-1]),
        ("valence", "FP32", [-1]),
        ("scores", "FP32", [-1, 2]),
    ]


async def test_the_configuration_says_the_same(service: Service) -> None:
    config = (await call(service, pb.ModelConfigRequest(name=MODEL))).config
    assert (config.name, config.max_batch_size, config.backend) == (MODEL, 0, "valence")
    assert [(t.name, t.data_type, list(t.dims)) for t in config.input] == [
        ("text", pb.TYPE_STRING, [-1])
    ]
    assert [(t.name, t.data_type, list(t.dims)) for t in config.output] == [
        ("label", pb.TYPE_STRING, [-1]),
        ("score", pb.TYPE_FP32, [-1]),
        ("valence", pb.TYPE_FP32, [-1]),
        ("scores", pb.TYPE_FP32, [-1, 2]),
    ]


async def test_the_server_describes_itself(service: Service) -> None:
    metadata = await call(service, pb.ServerMetadataRequest())
    assert (metadata.name, list(metadata.extensions)) == ("valence", ["model_configuration"])
    assert metadata.version
    index = await call(service, pb.RepositoryIndexRequest())
    assert [(m.name, m.version, m.state) for m in index.models] == [(MODEL, REVISION, "READY")]
    named = pb.RepositoryIndexRequest(repository_name="x")
    await invalid(service, named, "repository_name", "is 'x'")


async def readiness(service: Service) -> tuple[bool, bool, bool, int]:
    """Live, ready, the model ready, and how many models are listed."""
    live = await call(service, pb.ServerLiveRequest())
    ready = await call(service, pb.ServerReadyRequest())
    model = await call(service, pb.ModelReadyRequest(name=MODEL))
    index = await call(service, pb.RepositoryIndexRequest())
    return live.live, ready.ready, model.ready, len(index.models)


async def test_a_server_that_starts_is_live_and_not_ready() -> None:
    async with started_with_protocol(opened=False) as service:
        assert await readiness(service) == (True, False, False, 0)
        for request in (pb.ModelMetadataRequest(name=MODEL), infer_request(["good"])):
            code, said = await refused(service, request)
            assert (code, said.reason) == (grpc.StatusCode.UNAVAILABLE, "STARTING")
        # It is known before the message has come.
        silent: Any = service.channel.stream_unary(f"/{SERVICE_NAME}/ModelInfer")
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await silent(timeout=20)
        assert told(caught.value).reason == "STARTING"


async def test_a_server_whose_model_is_lost_is_live_and_not_ready(service: Service) -> None:
    assert await readiness(service) == (True, True, True, 1)
    service.readiness.set(serving=False)
    service.sentiment.refuse(Unhealthy("the model does not answer"))
    assert await readiness(service) == (True, False, False, 0)
    code, said = await refused(service, infer_request(["good"]))
    assert (code, said.reason) == (grpc.StatusCode.UNAVAILABLE, "UNHEALTHY")


async def test_a_full_queue_says_when_to_come_back(service: Service) -> None:
    service.classifier.hold()
    running = [asyncio.create_task(call(service, infer_request(["running"])))]
    await service.classifier.started()
    texts = ["w"] * LIMITS.max_batch_texts
    running += [
        asyncio.create_task(call(service, infer_request(texts)))
        for _ in range(QUEUE_TEXTS // len(texts))
    ]
    await until(lambda: service.batcher.queued_texts == QUEUE_TEXTS)
    code, said = await refused(service, infer_request(["one too many"]))
    assert (code, said.reason) == (grpc.StatusCode.RESOURCE_EXHAUSTED, "OVERLOADED")
    assert said.retry.retry_delay.ToNanoseconds() > 0
    service.classifier.release()
    for task in running:
        await task


async def test_the_end_does_not_wait_for_a_message(service: Service) -> None:
    silent: Any = service.channel.stream_unary(f"/{SERVICE_NAME}/ModelInfer")
    waiting = silent()
    await until(lambda: len(service.transport._reads) == 1)
    service.transport.end_idle()
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        async with asyncio.timeout(20):
            await waiting
    assert told(caught.value).reason == "DRAINING"


@pytest.mark.parametrize("name", ["ModelStatistics", "RepositoryModelLoad", "TraceSetting"])
async def test_other_calls_of_triton_are_unimplemented(service: Service, name: str) -> None:
    send: Any = service.channel.unary_unary(f"/{SERVICE_NAME}/{name}")
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await send(b"")
    assert caught.value.code() is grpc.StatusCode.UNIMPLEMENTED


async def test_health_knows_the_service(service: Service) -> None:
    stub: Any = health_pb2_grpc.HealthStub(service.channel)
    said = await stub.Check(health_pb2.HealthCheckRequest(service=SERVICE_NAME))
    assert said.status == health_pb2.HealthCheckResponse.SERVING


async def test_reflection_describes_this_service_and_the_contract(service: Service) -> None:
    def look() -> tuple[set[str], list[str], str]:
        with grpc.insecure_channel(service.address) as channel:
            database = ProtoReflectionDescriptorDatabase(channel)
            pool = descriptor_pool.DescriptorPool(database)
            found = pool.FindServiceByName(SERVICE_NAME)
            contract = pool.FindServiceByName("valence.v1.SentimentService")
            names = [method.name for method in found.methods]
            return set(database.get_services()), names, contract.methods[0].name

    services, names, first = await asyncio.to_thread(look)
    assert {SERVICE_NAME, "valence.v1.SentimentService"} <= services
    assert names == [
        *("ServerLive", "ServerReady", "ModelReady", "ServerMetadata"),
        *("ModelMetadata", "ModelInfer", "ModelConfig", "RepositoryIndex"),
    ]
    assert first == "Classify"


def test_the_stubs_leave_the_default_pool_to_others() -> None:
    with pytest.raises(KeyError):
        descriptor_pool.Default().FindMessageTypeByName("inference.ModelInferRequest")
    assert pb.DESCRIPTOR.pool is not descriptor_pool.Default()
