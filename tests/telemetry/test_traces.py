"""One trace of a call: the caller's span, the server's, and the queue and the inference in it."""

from __future__ import annotations

import importlib.util
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import grpc
import pytest
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status
from valence.v1 import sentiment_pb2 as pb
from valence.v1 import sentiment_pb2_grpc
from valence_client import Client, InvalidText

from tests.support.server import Server, launched
from tests.telemetry.receiver import attributes, receiving

# Spans are sent as soon as there are some.
SOON = {"OTEL_BSP_SCHEDULE_DELAY": "50"}
TRACE_ID = "0af7651916cd43dd8448eb211c80319c"
PARENT_ID = "b7ad6b7169203331"
CALLER = Path(__file__).with_name("caller.py")
CLASSIFY = "valence.v1.SentimentService/Classify"


def traceparent(*, sampled: bool) -> tuple[tuple[str, str]]:
    return (("traceparent", f"00-{TRACE_ID}-{PARENT_ID}-0{int(sampled)}"),)


@contextmanager
def traced(two_labels: str, endpoint: str, **env: str) -> Iterator[Server]:
    """A server that sends its spans there."""
    env = SOON | {"OTEL_EXPORTER_OTLP_ENDPOINT": endpoint} | env
    with launched("--model", two_labels, "-v", env=env) as server:
        server.address = server.event("SERVING")["address"]
        yield server


@contextmanager
def collecting(onward: str) -> Iterator[tuple[str, str]]:
    """A collector that passes spans on; its endpoints for OTLP over HTTP and gRPC."""
    found = importlib.util.find_spec("rotel")
    if found is None or found.origin is None:
        pytest.skip("there is no collector for this platform")
    ports = []
    for _ in range(2):
        with socket.create_server(("127.0.0.1", 0)) as taken:
            ports.append(taken.getsockname()[1])
    http, by_grpc = (f"127.0.0.1:{port}" for port in ports)
    process = subprocess.Popen(
        [
            Path(found.origin).with_name("rotel-agent"),
            "start",
            f"--otlp-http-endpoint={http}",
            f"--otlp-grpc-endpoint={by_grpc}",
            "--exporter=otlp",
            f"--otlp-exporter-endpoint={onward}",
            "--otlp-exporter-protocol=http",
            "--batch-timeout=50ms",
        ],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        for port in ports:
            _until_open(port)
        yield f"http://{http}", f"http://{by_grpc}"
    finally:
        process.terminate()
        process.wait(30)


def _until_open(port: int) -> None:
    for _ in range(100_000):
        with closing(socket.socket()) as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
    raise AssertionError(f"nothing listens on {port}")


def call_traced(address: str, endpoint: str, *texts: str) -> None:
    """Ask as a caller who makes spans, too."""
    env = {"OTEL_EXPORTER_OTLP_ENDPOINT": endpoint, "OTEL_SERVICE_NAME": "caller"}
    subprocess.run([sys.executable, CALLER, address, *texts], env=env, timeout=60, check=True)


def by_name(spans: list[Span]) -> dict[str, Span]:
    assert len({span.name for span in spans}) == len(spans)
    return {span.name: span for span in spans}


def family(spans: list[Span]) -> tuple[Span, Span, Span, Span]:
    """The client's span, the server's, the queue's, the inference's: each in the one before."""
    queue, inference = (
        next(span for span in spans if span.name == name) for name in ("queue", "inference")
    )
    (client,) = [span for span in spans if span.kind == Span.SPAN_KIND_CLIENT]
    (server,) = [span for span in spans if span.kind == Span.SPAN_KIND_SERVER]
    assert len(spans) == 4
    assert not client.parent_span_id
    assert server.parent_span_id == client.span_id
    assert queue.parent_span_id == inference.parent_span_id == server.span_id
    for child, parent in ((server, client), (queue, server), (inference, server)):
        assert parent.start_time_unix_nano <= child.start_time_unix_nano
        assert child.start_time_unix_nano <= child.end_time_unix_nano
        assert child.end_time_unix_nano <= parent.end_time_unix_nano
    return client, server, queue, inference


@pytest.mark.parametrize(
    "protocol", ["grpc", pytest.param("http/protobuf", marks=pytest.mark.full)]
)
def test_one_trace_from_the_client_to_the_inference_through_a_collector(
    two_labels: str, protocol: str
) -> None:
    with receiving() as spans, collecting(spans.endpoint) as (http, by_grpc):
        own = {"OTEL_EXPORTER_OTLP_PROTOCOL": protocol}
        endpoint = by_grpc if protocol == "grpc" else http
        with traced(two_labels, endpoint, **own) as server:
            call_traced(server.address, http, "I loved every minute of it")
            (trace_id,) = {
                span.trace_id.hex() for span in spans.when(lambda arrived: len(arrived) == 4)
            }
            line = server.event("call")
            assert server.end() == 0
        _, span, queue, inference = family(spans.of(trace_id))
        assert spans.services == {"caller", "valence"}
        assert line["trace_id"] == trace_id
        assert span.name == CLASSIFY
        assert attributes(span) == {
            "rpc.system": "grpc",
            "rpc.service": "valence.v1.SentimentService",
            "rpc.method": "Classify",
            "rpc.grpc.status_code": 0,
            "valence.texts": 1,
        }
        assert inference.end_time_unix_nano > inference.start_time_unix_nano
        assert queue.end_time_unix_nano == inference.start_time_unix_nano


@pytest.mark.full
def test_a_batch_has_one_queue_and_one_inference(two_labels: str) -> None:
    with receiving() as spans, traced(two_labels, spans.endpoint) as server:
        call_traced(server.address, spans.endpoint, *["good", "", "bad"] * 8)
        arrived = spans.when(lambda arrived: len(arrived) == 4)
        _, span, _, _ = family(arrived)
        assert attributes(span)["valence.texts"] == 16
        assert server.end() == 0


@pytest.mark.full
def test_a_stream_is_one_span(two_labels: str) -> None:
    with receiving() as spans, traced(two_labels, spans.endpoint) as server:
        with grpc.insecure_channel(server.address) as channel:
            stub = sentiment_pb2_grpc.SentimentServiceStub(channel)
            requests = (pb.StreamClassifyRequest(text="good") for _ in range(10))
            responses = stub.StreamClassify(requests, metadata=traceparent(sampled=True))
            assert len(list(responses)) == 10
        assert server.end() == 0  # which sends what is left
        (span,) = spans.when(len)
        assert span.name == "valence.v1.SentimentService/StreamClassify"
        assert (span.trace_id.hex(), span.parent_span_id.hex()) == (TRACE_ID, PARENT_ID)


def test_a_refused_call_is_a_span_with_its_code_and_no_fault(two_labels: str) -> None:
    with receiving() as spans, traced(two_labels, spans.endpoint) as server:
        with Client(server.address) as client, pytest.raises(InvalidText):
            client.classify("")
        assert server.end() == 0
        (span,) = spans.when(len)
        assert attributes(span)["rpc.grpc.status_code"] == 3
        assert span.status.code == Status.STATUS_CODE_UNSET


@pytest.mark.full
def test_the_callers_sampling_is_kept(two_labels: str) -> None:
    with receiving() as spans, traced(two_labels, spans.endpoint) as server:
        with grpc.insecure_channel(server.address) as channel:
            stub = sentiment_pb2_grpc.SentimentServiceStub(channel)
            request = pb.ClassifyRequest(text="good")
            stub.Classify(request, metadata=traceparent(sampled=False))
            assert server.event("call")["trace_id"] == TRACE_ID  # in the log all the same
            stub.Classify(request)
        assert server.end() == 0
        (other,) = {span.trace_id.hex() for span in spans.when(len)}
        assert other != TRACE_ID


@pytest.mark.full
def test_the_sdks_own_variables_count(two_labels: str) -> None:
    own = {"OTEL_SERVICE_NAME": "feelings", "OTEL_TRACES_SAMPLER": "always_on"}
    with receiving() as spans, traced(two_labels, spans.endpoint, **own) as server:
        with grpc.insecure_channel(server.address) as channel:
            stub = sentiment_pb2_grpc.SentimentServiceStub(channel)
            stub.Classify(pb.ClassifyRequest(text="good"), metadata=traceparent(sampled=False))
        assert server.end() == 0
        assert set(by_name(spans.when(len))) == {CLASSIFY, "queue", "inference"}
        assert spans.services == {"feelings"}


@pytest.mark.full
def test_spans_that_nobody_takes_do_not_hold_up_the_end(two_labels: str) -> None:
    # It takes connections, and answers none.
    with socket.create_server(("127.0.0.1", 0)) as silent:
        endpoint = f"http://127.0.0.1:{silent.getsockname()[1]}"
        with traced(two_labels, endpoint) as server:
            with Client(server.address) as client:
                client.classify("good")
            assert server.end(timeout_seconds=20) == 0
            assert "not sent" in server.event("traces")["reason"]


WITHOUT_OPENTELEMETRY = """
import sys
sys.modules["opentelemetry"] = None
from valence_service.__main__ import main
main()
"""


@pytest.mark.parametrize(
    ("env", "without", "says"),
    [
        ({"OTEL_TRACES_EXPORTER": "otlp"}, True, "opentelemetry is not installed"),
        ({"OTEL_TRACES_EXPORTER": "jager"}, False, "no exporter 'jager'"),
        (
            {"OTEL_TRACES_EXPORTER": "otlp", "OTEL_EXPORTER_OTLP_PROTOCOL": "http/json"},
            False,
            "no exporter 'otlp http/json'",
        ),
    ],
)
def test_traces_that_cannot_be_made_are_one_warning(
    two_labels: str, env: dict[str, str], without: bool, says: str
) -> None:
    python = ("-c", WITHOUT_OPENTELEMETRY) if without else ("-m", "valence_service")
    with launched("--model", two_labels, env=env, python=python) as server:
        warning = server.event("traces")
        assert warning["level"] == "warning"
        assert says in warning["reason"]
        assert warning["hint"]
        with Client(server.event("SERVING")["address"]) as client:
            client.classify("good")
        assert server.end() == 0


@pytest.mark.parametrize(
    "env",
    [
        {},
        {"OTEL_TRACES_EXPORTER": "none", "OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1"},
        {"OTEL_SDK_DISABLED": "true", "OTEL_TRACES_EXPORTER": "otlp"},
    ],
)
def test_unless_asked_for_nothing_is_imported(env: dict[str, str]) -> None:
    code = (
        "import sys\n"
        "from valence_service.telemetry import start\n"
        "assert start.start_traces('a', start.read_trace_exporters()) is None\n"
        "print(sorted({'opentelemetry', 'prometheus_client'} & set(sys.modules)))"
    )
    ended = subprocess.run(
        [sys.executable, "-c", code], env=env, capture_output=True, text=True, check=True
    )
    assert ended.stdout == "[]\n"
