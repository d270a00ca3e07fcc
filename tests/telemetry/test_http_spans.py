"""The spans of calls over HTTP say what each call was carried by."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import pytest
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import StatusCode
from valence.v1 import sentiment_pb2 as pb
from valence_service.core.call import Telemetry
from valence_service.telemetry.traces import Traces
from valence_service.transports.contract import SERVICE_NAME

from tests.support.classifier import POISON
from tests.transports.http.conftest import CONNECT, Service, started

RPC = {"rpc.service": SERVICE_NAME, "rpc.method": "Classify"}
HTTP = {"http.request.method": "POST", "url.scheme": "http"}


@dataclass
class Traced:
    """A service, and the spans that its calls have left."""

    service: Service
    exporter: InMemorySpanExporter

    def server_span(self) -> ReadableSpan:
        """The span of the last call."""
        (span,) = (span for span in self.exporter.get_finished_spans() if span.parent is None)
        self.exporter.clear()
        return span


@pytest.fixture
async def traced() -> AsyncIterator[Traced]:
    traces = Traces(SERVICE_NAME, [], {})
    exporter = InMemorySpanExporter()
    traces._provider.add_span_processor(SimpleSpanProcessor(exporter))
    async with started(telemetry=Telemetry(tracer=traces)) as service:
        yield Traced(service, exporter)
    traces.close()


def check(span: ReadableSpan, name: str, attributes: dict[str, Any], *, fault: bool) -> None:
    assert span.name == name
    assert dict(span.attributes or {}) == attributes
    assert span.status.status_code is (StatusCode.ERROR if fault else StatusCode.UNSET)


@pytest.mark.parametrize(
    ("text", "code", "fault"),
    [("good", None, False), ("", "invalid_argument", False), (POISON, "internal", True)],
)
async def test_a_call_of_connect(traced: Traced, text: str, code: str | None, fault: bool) -> None:
    await traced.service.post(f"{CONNECT}/Classify", {"text": text})
    attributes: dict[str, Any] = RPC | {"rpc.system": "connect_rpc"}
    attributes |= {"rpc.connect_rpc.error_code": code} if code else {"valence.texts": 1}
    check(traced.server_span(), f"{SERVICE_NAME}/Classify", attributes, fault=fault)


async def test_a_call_of_grpc_web(traced: Traced) -> None:
    message = pb.ClassifyRequest(text="good").SerializeToString()
    await traced.service.http.post(
        f"{CONNECT}/Classify",
        content=b"\0" + len(message).to_bytes(4, "big") + message,
        headers={"content-type": "application/grpc-web+proto"},
    )
    attributes = RPC | {"rpc.system": "grpc", "rpc.grpc.status_code": 0, "valence.texts": 1}
    check(traced.server_span(), f"{SERVICE_NAME}/Classify", attributes, fault=False)


@pytest.mark.parametrize(("text", "status"), [("good", 200), ("", 400), (POISON, 500)])
@pytest.mark.parametrize(
    "form", [("/analyze", "/analyze", "text"), ("/models/echo", "/models/{name}", "inputs")]
)
async def test_a_call_by_a_form_of_json(
    traced: Traced, form: tuple[str, str, str], text: str, status: int
) -> None:
    path, route, field = form
    await traced.service.post(path, {field: text})
    attributes: dict[str, Any] = HTTP | {"http.route": route, "url.path": path}
    attributes["http.response.status_code"] = status
    if status == 200:
        attributes["valence.texts"] = 1
    if status == 500:
        attributes["error.type"] = "500"
    check(traced.server_span(), f"POST {route}", attributes, fault=status == 500)


async def test_a_stream_of_lines(traced: Traced) -> None:
    await traced.service.http.post("/v1/stream", content=b'"good"\n""\n')
    path = {"http.route": "/v1/stream", "url.path": "/v1/stream"}
    attributes = HTTP | path | {"http.response.status_code": 200}
    check(traced.server_span(), "POST /v1/stream", attributes, fault=False)
