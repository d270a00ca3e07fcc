"""Envoy in front of a server, as deploy/envoy/http.yaml sets it up."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import grpc
import httpx2 as httpx
import pytest
from google.protobuf.descriptor import FileDescriptor
from google.protobuf.descriptor_pb2 import FileDescriptorSet
from google.rpc import error_details_pb2
from grpc_health.v1 import health_pb2, health_pb2_grpc
from valence.v1 import sentiment_pb2 as pb
from valence.v1 import sentiment_pb2_grpc

from tests.interop.programs import ROOT, run
from tests.support.envoy import enveloped
from tests.support.server import START_SECONDS, Server

pytestmark = pytest.mark.full
CONFIGURATION = ROOT / "deploy/envoy/http.yaml"
SERVICE = "/valence.v1.SentimentService"
OURS = "https://example.com"


def descriptors() -> bytes:
    """The contract's files and all that they import, each after its imports."""
    found: dict[str, FileDescriptor] = {}

    def add(file: FileDescriptor) -> None:
        for dependency in file.dependencies:
            add(dependency)
        found.setdefault(file.name, file)

    add(pb.DESCRIPTOR)
    add(error_details_pb2.DESCRIPTOR)
    files = FileDescriptorSet()
    for file in found.values():
        file.CopyToProto(files.file.add())
    return files.SerializeToString()


@pytest.fixture(scope="module")
def envoy(server: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Where Envoy listens, once it knows that the server is well."""
    folder = tmp_path_factory.mktemp("envoy")
    (folder / "image.binpb").write_bytes(descriptors())
    text = CONFIGURATION.read_text().replace("port_value: 8081", "port_value: 0")
    text = text.replace("port_value: 50051", f"port_value: {server.address.rpartition(':')[2]}")
    with enveloped(text, "http", folder) as running:
        with grpc.insecure_channel(running.address) as channel:
            check = health_pb2_grpc.HealthStub(channel).Check
            request = health_pb2.HealthCheckRequest()
            assert check(request, wait_for_ready=True, timeout=START_SECONDS).status == 1
        yield running.address


def test_json_is_transcoded(envoy: str, server: Server) -> None:
    with httpx.Client(base_url=f"http://{envoy}{SERVICE}", timeout=30) as client:
        answer = client.post("/Classify", json={"text": "I loved it"}).json()
        assert answer["sentiment"]["label"] == "POSITIVE"
        refused = client.post("/Classify", json={"text": " "})
        assert refused.status_code == 400
        info, violations = refused.json()["details"]
        assert (info["reason"], violations["fieldViolations"][0]["field"]) == (
            "INVALID_FIELD",
            "text",
        )
        stream = [{"id": str(number), "text": "good"} for number in range(5)]
        answers = client.post("/StreamClassify", json=stream).json()
        assert [line["id"] for line in answers] == list("01234")


def test_grpc_passes(envoy: str) -> None:
    with grpc.insecure_channel(envoy) as channel:
        stub = sentiment_pb2_grpc.SentimentServiceStub(channel)
        assert stub.Classify(pb.ClassifyRequest(text="good")).sentiment.label == "POSITIVE"
        requests = (pb.StreamClassifyRequest(id=str(number), text="bad") for number in range(50))
        answers = [answer.sentiment.label for answer in stub.StreamClassify(requests)]
        assert answers == ["NEGATIVE"] * 50


def test_pages_of_the_named_origin_may_call(envoy: str) -> None:
    asks = {"access-control-request-method": "POST", "access-control-request-headers": "x-grpc-web"}
    for origin in (OURS, "https://other.example"):
        headers = {"origin": origin} | asks
        asked = httpx.options(f"http://{envoy}{SERVICE}/Classify", headers=headers)
        allowed = asked.headers.get("access-control-allow-origin")
        assert allowed == (origin if origin == OURS else None)


@pytest.mark.node
def test_a_browsers_client_of_grpc_web(envoy: str, tmp_path: Path) -> None:
    calls = [{"method": "Classify", "request": {"text": text}} for text in ("I loved it", "")]
    (tmp_path / "calls").write_text("\n".join(map(json.dumps, calls)))
    program = "node examples/node/conformance-connect.mjs"
    done = run(program, "web-grpc-web", f"http://{envoy}", tmp_path / "calls")
    assert done.returncode == 0, done.stderr
    good, bad = map(json.loads, done.stdout.splitlines())
    assert good["responses"][0]["sentiment"]["label"] == "POSITIVE"
    assert (bad["code"], bad["status"]["details"][0]["reason"]) == (3, "INVALID_FIELD")
