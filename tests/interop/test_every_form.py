"""Every form that a text can be sent in gets the same answers, and errors of the same kinds."""

from __future__ import annotations

from collections.abc import Iterator

import grpc
import httpx2 as httpx
import pytest

from tests.interop.forms import FORMS, Failed, Form, Score, Target
from tests.interop.texts import MAX_TEXT_BYTES, TEXTS
from tests.support.server import launched

FLAGS = ("--precision", "f32", "--http-port", "0", "--open-inference", "--max-queue-texts", "20")
INVALID = Failed("invalid_argument", "INVALID_FIELD")
MALFORMED = Failed("invalid_argument", "MALFORMED_MESSAGE")
OVERLOADED = Failed("resource_exhausted", "OVERLOADED")
LATE = Failed("deadline_exceeded", "DEADLINE_EXCEEDED")
BATCH = 10
FLOAT32 = 1e-7  # an Open Inference tensor holds no more

pytestmark = pytest.mark.parametrize("name", FORMS)


@pytest.fixture(scope="module", params=["tiny", pytest.param("embedded", marks=pytest.mark.full)])
def target(request: pytest.FixtureRequest, two_labels: str) -> Iterator[Target]:
    """A server in float32, of the small model or of the embedded one."""
    model = ("--model", two_labels) if request.param == "tiny" else ()
    with launched(*model, *FLAGS) as server:
        facts = server.event("SERVING")
        with (
            grpc.insecure_channel(facts["address"]) as channel,
            httpx.Client(base_url=f"http://{facts['http']}", timeout=60) as http,
        ):
            yield Target(channel, http, facts["model"])
        assert server.end() == 0


@pytest.fixture
def form(target: Target, name: str) -> Form:
    return FORMS[name](target)


@pytest.fixture(scope="module")
def right(target: Target) -> list[Score]:
    """The label and the score of each text, by gRPC and alone."""
    answers = [FORMS["grpc"](target).one(text) for text in TEXTS]
    scores = [answer for answer in answers if isinstance(answer, Score)]
    assert len(scores) == len(TEXTS) == 50
    assert {score.label for score in scores} == {"POSITIVE", "NEGATIVE"}
    return scores


def test_fifty_texts_one_by_one(form: Form, right: list[Score]) -> None:
    for text, expected in zip(TEXTS, right, strict=True):
        answer = form.one(text)
        assert isinstance(answer, Score), (text[:80], answer)
        assert answer.label == expected.label, text[:80]
        assert answer.score == pytest.approx(expected.score, abs=1e-6 + FLOAT32), text[:80]


@pytest.mark.full
def test_fifty_texts_in_batches(form: Form, name: str, right: list[Score]) -> None:
    if name == "analyze":
        pytest.skip("it takes one text")
    for first in range(0, len(TEXTS), BATCH):
        texts, expected = TEXTS[first : first + BATCH], right[first : first + BATCH]
        answers = form.several(texts)
        assert isinstance(answers, list), answers
        for text, answer, score in zip(texts, answers, expected, strict=True):
            assert isinstance(answer, Score), (text[:80], answer)
            assert answer.score == pytest.approx(score.score, abs=1e-4), text[:80]
            assert answer.label == score.label or score.score == pytest.approx(0.5, abs=1e-4)


def test_ten_bad_requests(form: Form, name: str) -> None:
    for text in ("", " \t\u3000", "\u200b\ufeff", "é" * (MAX_TEXT_BYTES // 2) + "!"):
        assert form.one(text) == INVALID, text[:80]
    # Bytes that are no message, no JSON or no UTF-8. A tensor holds any bytes, so a text in one
    # that is not UTF-8 is a field at fault.
    for body in (b"\xff", b"\x0a\x04go\xffd", b'{"text": "\xff"}'):
        assert form.raw(body) == (INVALID if name == "open-inference" else MALFORMED), body
    if name not in {"grpc", "open-inference"}:  # their client does not send such a call
        form.headers = form.no_time
        assert form.one("good") == LATE
        form.headers = {}
    if name == "analyze":
        return
    bad = form.several(["good", "", "bad"])
    assert bad == INVALID or (isinstance(bad, list) and bad[1] == INVALID)
    if name != "ndjson":  # a stream may be as long as it likes, and waits for room
        assert form.several(["good"] * 65) == INVALID
        assert form.several(["good"] * 21) == OVERLOADED
