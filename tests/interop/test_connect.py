"""Connect's own clients, of Node and of browsers, get what gRPC's get."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.protobuf.json_format import MessageToDict
from valence.v1 import sentiment_pb2 as pb
from valence.v1 import sentiment_pb2_grpc

from tests.interop.programs import run
from tests.interop.refusals import REFUSALS
from tests.interop.test_languages import errors, leaves
from tests.interop.texts import TEXTS
from tests.support.server import Server

PROTOCOLS = ["connect-json", "connect-binary", "grpc-web"]
pytestmark = [
    pytest.mark.node,
    pytest.mark.parametrize("transport", [*PROTOCOLS, *(f"web-{name}" for name in PROTOCOLS)]),
]
# They are no streams: see docs/http.md.
UNARY = {name: refusal for name, refusal in REFUSALS.items() if refusal.method != "StreamClassify"}


def outcomes(
    transport: str, server: Server, calls: list[tuple[str, dict[str, Any]]], folder: Path
) -> list[dict[str, Any]]:
    """What the client says of calls made one after the other."""
    file = folder / "calls.jsonl"
    lines = [json.dumps({"method": method, "request": request}) for method, request in calls]
    file.write_text("\n".join(lines) + "\n", encoding="utf-8")
    program = "node examples/node/conformance-connect.mjs"
    done = run(program, transport, f"http://{server.http}", file)
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_fifty_texts_get_the_same_answers(transport: str, server: Server, tmp_path: Path) -> None:
    said = outcomes(transport, server, [("Classify", {"text": text}) for text in TEXTS], tmp_path)
    with grpc.insecure_channel(server.address) as channel:
        stub = sentiment_pb2_grpc.SentimentServiceStub(channel)
        for text, outcome in zip(TEXTS, said, strict=True):
            answer = MessageToDict(stub.Classify(pb.ClassifyRequest(text=text)).sentiment)
            (response,) = outcome["responses"]
            expected = pytest.approx(leaves(answer), abs=1e-3)
            assert leaves(response["sentiment"]) == expected, text[:80]


def test_bad_requests_get_the_same_errors(transport: str, server: Server, tmp_path: Path) -> None:
    calls = [(refusal.method, refusal.request) for refusal in UNARY.values()]
    for (name, refusal), outcome in zip(
        UNARY.items(), outcomes(transport, server, calls, tmp_path), strict=True
    ):
        assert outcome["code"] == refusal.code, name
        assert normal(errors(outcome)) == normal(refusal.errors), name


def normal(found: list[dict[str, Any]]) -> str:
    """The errors with their durations written in one way: 0.05s and 0.050s are the same."""
    return re.sub(r'"(\d+\.\d*?)0*s"', r'"\1s"', json.dumps(found, sort_keys=True))
