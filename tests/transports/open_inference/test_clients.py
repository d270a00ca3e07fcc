"""Clients that others wrote get what the contract's callers get: `make clients`."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from valence.v1 import sentiment_pb2 as pb
from valence.v1 import sentiment_pb2_grpc

from tests.interop.texts import TEXTS
from tests.support.server import Server, serving

ROOT = Path(__file__).parents[3]
PROGRAM = Path(__file__).with_name("clients.py")
PAGE = ROOT / "docs/open-inference.md"
# tritonclient and kserve want protobuf 6.
PYTHON = ROOT / ".venv-open-inference/bin/python"
PATIENCE_SECONDS = 120
# Each alone, then all in a batch.
BATCHES = [*([text] for text in TEXTS), TEXTS]

pytestmark = pytest.mark.clients


@pytest.fixture(scope="module")
def server(two_labels: str) -> Iterator[Server]:
    with serving("--model", two_labels, "--precision", "f32", "--open-inference") as running:
        yield running


@pytest.fixture(scope="module")
def contract(server: Server) -> tuple[str, list[str], list[list[pb.Sentiment]]]:
    """The model's name, its labels, and what Python is told of each batch."""
    with grpc.insecure_channel(server.address) as channel:
        stub = sentiment_pb2_grpc.SentimentServiceStub(channel)
        model = stub.GetModel(pb.GetModelRequest()).model
        responses = [stub.BatchClassify(pb.BatchClassifyRequest(texts=texts)) for texts in BATCHES]
    answers = [[result.sentiment for result in response.results] for response in responses]
    return model.name, [label.name for label in model.labels], answers


@pytest.fixture(params=["triton", "triton-aio", "kserve-raw", "kserve-typed"], scope="module")
def said(
    request: pytest.FixtureRequest,
    server: Server,
    contract: tuple[str, list[str], list[list[pb.Sentiment]]],
    tmp_path_factory: pytest.TempPathFactory,
) -> dict[str, Any]:
    """What a client got."""
    file = tmp_path_factory.mktemp("texts") / "given.json"
    file.write_text(json.dumps({"model": contract[0], "batches": BATCHES}), encoding="utf-8")
    done = subprocess.run(
        [PYTHON, PROGRAM, request.param, server.address, file],
        capture_output=True,
        encoding="utf-8",
        timeout=PATIENCE_SECONDS,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    outcome: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return outcome | {"client": request.param}


def test_the_example_of_the_page_prints_its_answer(server: Server) -> None:
    (code,) = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    done = subprocess.run(
        [PYTHON, "-c", code.replace("127.0.0.1:50051", server.address)],
        capture_output=True,
        encoding="utf-8",
        timeout=PATIENCE_SECONDS,
        check=False,
    )
    labels = r"b'(POSITIVE|NEGATIVE)'"
    assert re.fullmatch(rf"\[{labels} {labels}\] \[.+\]\n", done.stdout), done.stderr


def test_the_answers_are_the_contracts(
    said: dict[str, Any], contract: tuple[str, list[str], list[list[pb.Sentiment]]]
) -> None:
    _, labels, batches = contract
    assert len(said["answers"]) == len(batches)
    for answer, sentiments in zip(said["answers"], batches, strict=True):
        tolerance = 1e-6 if len(sentiments) == 1 else 1e-4
        assert list(answer) == ["label", "score", "valence", "scores"]
        assert answer["label"] == [s.label for s in sentiments]
        assert answer["score"] == pytest.approx([s.score for s in sentiments], abs=tolerance)
        assert answer["valence"] == pytest.approx([s.valence for s in sentiments], abs=tolerance)
        for scores, sentiment in zip(answer["scores"], sentiments, strict=True):
            expected = {s.label: s.score for s in sentiment.scores}
            named = dict(zip(labels, scores, strict=True))
            assert named == pytest.approx(expected, abs=tolerance)


def test_the_outputs_are_those_requested(said: dict[str, Any]) -> None:
    assert said["requested"] == ["scores", "label"]


def test_the_errors_name_what_is_wrong(
    said: dict[str, Any], contract: tuple[str, list[str], list[list[pb.Sentiment]]]
) -> None:
    errors = said["errors"]
    assert {name: code for name, (code, _) in errors.items()} == {
        "model": "NOT_FOUND",
        "version": "NOT_FOUND",
        "text": "INVALID_ARGUMENT",
        "texts": "INVALID_ARGUMENT",
    }
    assert f"no model 'other' is served here: there is {contract[0]!r}" in errors["model"][1]
    assert "has no version '2' here" in errors["version"][1]
    assert errors["text"][1] == "text[1]: is empty or only white space"
    assert "send 1 to 64 texts" in errors["texts"][1]


def test_the_server_describes_itself(
    said: dict[str, Any], contract: tuple[str, list[str], list[list[pb.Sentiment]]]
) -> None:
    model, labels, _ = contract
    facts = said["facts"]
    assert (facts["live"], facts["ready"], facts["model ready"]) == (True, True, True)
    if said["client"].startswith("triton"):
        outputs = [["label", "BYTES", [-1]], ["score", "FP32", [-1]], ["valence", "FP32", [-1]]]
        assert facts["inputs"] == [["text", "BYTES", [-1]]]
        assert facts["outputs"] == [*outputs, ["scores", "FP32", [-1, len(labels)]]]
        assert facts["config"] == [model, 0, ["label", "score", "valence", "scores"]]
        assert facts["types"] == ["TYPE_STRING", "TYPE_STRING", *["TYPE_FP32"] * 3]
        assert facts["index"] == [[model, "READY"]]
        assert facts["server"] == "valence"
