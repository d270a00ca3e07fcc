"""The Open Inference Protocol on a real socket, with a classifier that a test can hold."""

from __future__ import annotations

import struct
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import replace
from typing import Any

import grpc
import pytest
from valence_service.core.readiness import Readiness
from valence_service.core.sentiment import LabelScore, Polarity, Sentiment
from valence_service.serving.service import SentimentService
from valence_service.transports.open_inference import open_inference_pb2 as pb
from valence_service.transports.open_inference.service import OpenInference
from valence_service.transports.unary import UnaryService

from tests.support.classifier import EchoClassifier
from tests.transports.grpc.conftest import Service, started

SERVICE_NAME = "inference.GRPCInferenceService"
MODEL, REVISION = "echo", "1"


class LabelClassifier(EchoClassifier):
    """Two labels; a text with "bad" in it is negative, and one with "odd" has no valence."""

    @staticmethod
    def _sentiment(text: str) -> Sentiment:
        scores = (LabelScore("POSITIVE", 0.75), LabelScore("NEGATIVE", 0.25))
        if "bad" in text:
            scores = (LabelScore("NEGATIVE", 0.875), LabelScore("POSITIVE", 0.125))
        valence = next(0.5 if s.label == "POSITIVE" else -0.75 for s in scores)
        return replace(
            EchoClassifier._sentiment(text),
            scores=scores,
            polarity=Polarity.of(valence),
            valence=None if "odd" in text else valence,
        )


def services(service: SentimentService, readiness: Readiness) -> list[UnaryService]:
    return [OpenInference(service, readiness).describe()]


def started_with_protocol(**options: Any) -> AbstractAsyncContextManager[Service]:
    defaults: dict[str, Any] = {"classifier": LabelClassifier, "services": services}
    return started(**defaults | options)


@pytest.fixture
async def service() -> AsyncIterator[Service]:
    async with started_with_protocol() as running:
        yield running


def method(channel: grpc.aio.Channel, name: str) -> Callable[..., Any]:
    """A method by its messages: there is no stub."""
    request, response = getattr(pb, f"{name}Request"), getattr(pb, f"{name}Response")
    call: Callable[..., Any] = channel.unary_unary(
        f"/{SERVICE_NAME}/{name}",
        request_serializer=request.SerializeToString,
        response_deserializer=response.FromString,
    )
    return call


def pack(elements: Iterable[bytes]) -> bytes:
    """A raw tensor of BYTES."""
    return b"".join(struct.pack("<I", len(element)) + element for element in elements)


def unpack(raw: bytes) -> list[bytes]:
    elements = []
    while raw:
        (size,) = struct.unpack_from("<I", raw)
        elements.append(raw[4 : 4 + size])
        raw = raw[4 + size :]
    return elements


def infer_request(
    texts: Sequence[str | bytes],
    *,
    raw: bool = True,
    shape: Sequence[int] | None = None,
    outputs: Sequence[str] = (),
    model_name: str = MODEL,
    **fields: Any,
) -> pb.ModelInferRequest:
    elements = [text.encode() if isinstance(text, str) else text for text in texts]
    request = pb.ModelInferRequest(model_name=model_name, **fields)
    tensor = request.inputs.add(
        name="text", datatype="BYTES", shape=[len(elements)] if shape is None else shape
    )
    if raw:
        request.raw_input_contents.append(pack(elements))
    else:
        tensor.contents.bytes_contents.extend(elements)
    for output in outputs:
        request.outputs.add(name=output)
    return request


def tensors(response: pb.ModelInferResponse) -> dict[str, tuple[list[int], list[Any]]]:
    """The shape and the elements of each output, raw or typed."""
    found: dict[str, tuple[list[int], list[Any]]] = {}
    for index, output in enumerate(response.outputs):
        values: list[Any]
        if response.raw_output_contents:
            assert not output.HasField("contents")
            raw = response.raw_output_contents[index]
            if output.datatype == "BYTES":
                values = unpack(raw)
            else:
                values = list(struct.unpack(f"<{len(raw) // 4}f", raw))
        elif output.datatype == "BYTES":
            values = list(output.contents.bytes_contents)
        else:
            values = list(output.contents.fp32_contents)
        found[output.name] = (list(output.shape), values)
    return found
