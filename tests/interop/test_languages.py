"""Every language gets what Python gets: the same answers, the same errors, all of their details."""

from __future__ import annotations

import re
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.protobuf.json_format import MessageToDict
from valence.v1 import sentiment_pb2 as pb
from valence.v1 import sentiment_pb2_grpc

from tests.interop.programs import EXAMPLES, LANGUAGES, README, outcomes, run
from tests.interop.refusals import REFUSALS
from tests.interop.texts import TEXTS
from tests.support.server import Server, serving

pytestmark = pytest.mark.parametrize("language", LANGUAGES)

SCORE = re.compile(r"\d\.\d\d$", re.MULTILINE)


@pytest.fixture(scope="module")
def answers(server: Server) -> list[dict[str, Any]]:
    """What Python is told of each text, asked alone: in a batch, the last digits may differ."""
    with grpc.insecure_channel(server.address) as channel:
        stub = sentiment_pb2_grpc.SentimentServiceStub(channel)
        return [
            MessageToDict(stub.Classify(pb.ClassifyRequest(text=text)).sentiment) for text in TEXTS
        ]


def leaves(value: Any, path: str = "") -> dict[str, Any]:
    """A message of JSON, flat: ``approx`` takes no nested ones."""
    if not isinstance(value, dict | list):
        return {path: value}
    items = value.items() if isinstance(value, dict) else enumerate(value)
    return {
        leaf: found for key, item in items for leaf, found in leaves(item, f"{path}/{key}").items()
    }


def test_fifty_texts_get_the_same_answers(
    language: str, server: Server, answers: list[dict[str, Any]], tmp_path: Path
) -> None:
    calls = [("Classify", {"text": text}) for text in TEXTS]
    said = outcomes(language, server.address, calls, tmp_path)
    for text, outcome, answer in zip(TEXTS, said, answers, strict=True):
        (response,) = outcome["responses"]
        # The form that answers a lone text soonest is compiled beside the first calls.
        expected = pytest.approx(leaves(answer), abs=1e-3)
        assert leaves(response["sentiment"]) == expected, text[:80]
    # And the texts put it to the test.
    assert len(TEXTS) == 50
    assert {answer["label"] for answer in answers} == {"POSITIVE", "NEGATIVE"}
    assert {answer.get("truncated", False) for answer in answers} == {True, False}


def test_bad_requests_get_the_same_errors(language: str, server: Server, tmp_path: Path) -> None:
    calls = [(refusal.method, refusal.request) for refusal in REFUSALS.values()]
    said = outcomes(language, server.address, calls, tmp_path)
    for (name, refusal), outcome in zip(REFUSALS.items(), said, strict=True):
        assert outcome["code"] == refusal.code, name
        assert errors(outcome) == refusal.errors, name
    assert len(REFUSALS) >= 10


def errors(outcome: dict[str, Any]) -> list[dict[str, Any]]:
    """The status of the call, or those of the texts that have one."""
    if outcome["code"]:
        return [outcome["status"]]
    results = [
        result
        for response in outcome["responses"]
        for result in response.get("results", [response])
    ]
    return [result["error"] for result in results if "error" in result]


def test_the_example_prints_what_its_page_says(language: str, server: Server) -> None:
    assert f"\n{EXAMPLES[language]}\n" in README
    done = run(EXAMPLES[language], server.address)
    assert (done.returncode, done.stderr) == (0, "")
    (page,) = re.findall(r"```\n(unary: .*?)```", README, re.DOTALL)
    # Processors differ in the last digit.
    assert SCORE.sub("", done.stdout) == SCORE.sub("", page)
    scores, of_page = (list(map(float, SCORE.findall(text))) for text in (done.stdout, page))
    assert scores == pytest.approx(of_page, abs=0.02)


@pytest.fixture(scope="module")
def narrow(two_labels: str) -> Iterator[Server]:
    """A server whose queue holds no batch."""
    with serving("--model", two_labels, "--max-queue-texts", "1") as running:
        yield running


def test_the_example_says_when_to_come_back(language: str, narrow: Server) -> None:
    done = run(EXAMPLES[language], narrow.address)
    assert done.returncode == 1
    assert done.stderr == (
        "RESOURCE_EXHAUSTED: the queue has no room for 2 more: it holds 0 of at most 1 texts\n"
        "  reason: OVERLOADED\n"
        "  retry after: 0.05 s\n"
    )


@contextmanager
def port(*, listening: bool) -> Iterator[str]:
    """The address of nobody, or of someone who never says a word."""
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        if listening:
            bound.listen()
        yield f"127.0.0.1:{bound.getsockname()[1]}"


@pytest.mark.parametrize(
    ("listening", "code"), [(True, "DEADLINE_EXCEEDED"), (False, "UNAVAILABLE")]
)
def test_the_example_waits_no_longer_than_its_deadline(
    language: str, *, listening: bool, code: str
) -> None:
    with port(listening=listening) as address:
        done = run(EXAMPLES[language], address, 0.5)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith(f"{code}: ")
