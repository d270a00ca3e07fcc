"""What each failure becomes, on both stacks."""

from __future__ import annotations

import pickle
from typing import Any

import grpc
import pytest
from google.protobuf.any_pb2 import Any as Packed
from google.rpc.status_pb2 import Status
from valence_client import (
    DeadlineExceeded,
    InvalidText,
    ModelFailed,
    Overloaded,
    PermissionDenied,
    ServerFailed,
    Unauthenticated,
    Unavailable,
    ValenceError,
)

from tests.client import twins
from tests.client.conftest import Open, Serving
from tests.client.contract import RESET, info, retry_in, status, violation

Code = grpc.StatusCode

# What the service says, the class it becomes, and what that knows.
WORDED: list[tuple[Status, type[ValenceError], dict[str, Any]]] = [
    (
        status(Code.INVALID_ARGUMENT, "text: long", info("INVALID_FIELD"), violation("text", "l")),
        InvalidText,
        {"reason": "INVALID_FIELD", "field": "text", "description": "l"},
    ),
    (
        status(Code.INVALID_ARGUMENT, "not a message", info("MALFORMED_MESSAGE")),
        InvalidText,
        {"reason": "MALFORMED_MESSAGE", "field": "", "description": "not a message"},
    ),
    (
        status(Code.RESOURCE_EXHAUSTED, "the queue is full", info("OVERLOADED"), retry_in(0.25)),
        Overloaded,
        {"reason": "OVERLOADED", "retry_after_seconds": 0.25},
    ),
    (
        status(Code.RESOURCE_EXHAUSTED, "the queue is full", info("OVERLOADED")),
        Overloaded,
        {"retry_after_seconds": None},
    ),
    (
        status(Code.DEADLINE_EXCEEDED, "it passed", info("DEADLINE_EXCEEDED")),
        DeadlineExceeded,
        {"reason": "DEADLINE_EXCEEDED"},
    ),
    (status(Code.UNAVAILABLE, "loading", info("STARTING")), Unavailable, {"reason": "STARTING"}),
    (status(Code.UNAVAILABLE, "ending", info("DRAINING")), Unavailable, {"reason": "DRAINING"}),
    (
        status(Code.UNAUTHENTICATED, "no token", info("NO_CREDENTIALS")),
        Unauthenticated,
        {"reason": "NO_CREDENTIALS"},
    ),
    (
        status(Code.PERMISSION_DENIED, "not you", info("NOT_ALLOWED")),
        PermissionDenied,
        {"reason": "NOT_ALLOWED"},
    ),
    (
        status(Code.INTERNAL, "the model failed", info("MODEL_FAILED", id="c0ffee")),
        ModelFailed,
        {"reason": "MODEL_FAILED", "incident": "c0ffee"},
    ),
    (
        status(Code.INTERNAL, "a fault", info("INTERNAL", id="c0ffee")),
        ServerFailed,
        {"reason": "INTERNAL", "incident": "c0ffee"},
    ),
    (status(Code.ABORTED, "new", info("NEW")), ValenceError, {"reason": "NEW"}),
]

# What grpc or a proxy says, and what the client makes of it.
UNWORDED: list[tuple[Status, type[ValenceError], str]] = [
    (status(Code.UNAVAILABLE, "reset"), Unavailable, r"no server answers at {}: .* \(reset\)"),
    (status(Code.INTERNAL, RESET), Unavailable, r"{} cut the call off: .* \(Received RST_STREAM"),
    (status(Code.DEADLINE_EXCEEDED, "late"), DeadlineExceeded, "no answer from {} in time"),
    (status(Code.UNIMPLEMENTED, "what?"), ValenceError, "{} does not serve valence.v1"),
    (status(Code.RESOURCE_EXHAUSTED, "too large"), ValenceError, "RESOURCE_EXHAUSTED from {}"),
    (status(Code.UNKNOWN, "who knows"), ValenceError, "UNKNOWN from {}: who knows"),
    (
        Status(
            code=13, message="a", details=[Packed(type_url="a/google.rpc.ErrorInfo", value=b"!")]
        ),
        ServerFailed,
        "INTERNAL from {}: a",
    ),
]


def check(error: object, failure: Status, kind: type[ValenceError], known: dict[str, Any]) -> None:
    assert type(error) is kind
    assert isinstance(error, ValenceError)
    assert str(error) == failure.message
    assert error.code.value[0] == failure.code
    assert {name: getattr(error, name) for name in known} == known


@pytest.mark.parametrize(("failure", "error", "known"), WORDED)
async def test_status_of_a_call(
    client: Open,
    server: Serving,
    failure: Status,
    error: type[ValenceError],
    known: dict[str, Any],
) -> None:
    server.contract.failures["bad"] = failure
    async with client(retries=0) as ask:
        with pytest.raises(error) as caught:
            await ask.classify("bad")
    check(caught.value, failure, error, known)


@pytest.mark.parametrize(("failure", "error", "known"), WORDED)
async def test_status_of_one_text_of_many(
    client: Open,
    server: Serving,
    failure: Status,
    error: type[ValenceError],
    known: dict[str, Any],
) -> None:
    server.contract.failures["bad"] = failure
    # With retries, a text that no server was available for is not answered, but asked again.
    async with client(retries=0) as ask:
        batched = await ask.classify_batch(["good", "bad", "good"])
        streamed = [answer async for answer in ask.classify_stream(["good", "bad", "good"])]
    for outcomes in (batched, streamed):
        check(outcomes[1], failure, error, known)
        assert [type(outcome).__name__ for outcome in outcomes[::2]] == ["Sentiment"] * 2


@pytest.mark.parametrize(("failure", "error", "said"), UNWORDED)
async def test_status_that_the_service_did_not_word(
    client: Open, server: Serving, failure: Status, error: type[ValenceError], said: str
) -> None:
    server.contract.failures["bad"] = failure
    async with client(retries=0) as ask:
        with pytest.raises(ValenceError, match=said.format(server.address)) as caught:
            await ask.classify("bad")
    assert type(caught.value) is error


async def test_details_that_are_broken(client: Open, server: Serving) -> None:
    server.contract.failures["bad"] = Status(code=13, message="a", details=[Packed(value=b"!")])
    async with client() as ask:
        (outcome,) = await ask.classify_batch(["bad"])
    assert type(outcome) is ServerFailed


async def test_refused_connection_says_where_and_what_to_do(kind: str, refusing: str) -> None:
    said = f"no server answers at {refusing}: start one, or check the address"
    async with twins.opened(kind, refusing, retries=0) as ask:
        with pytest.raises(Unavailable, match=said) as caught:
            await ask.classify("good")
        with pytest.raises(Unavailable, match=said):
            [answer async for answer in ask.classify_stream(["good"])]
    assert caught.value.reason == "UNREACHABLE"


async def test_deadline(client: Open) -> None:
    async with client(timeout_seconds=0.05) as ask:
        with pytest.raises(DeadlineExceeded, match="timeout_seconds"):
            await ask.classify("hold")
        with pytest.raises(DeadlineExceeded):
            await ask.classify_batch(["hold"])


async def test_server_that_is_not_serving_gets_no_calls(client: Open, server: Serving) -> None:
    await server.tell(serving=False)
    async with client(retries=0) as ask:
        with pytest.raises(Unavailable, match="takes no calls now") as caught:
            await ask.classify("good")
    assert caught.value.reason == "NOT_SERVING"
    assert server.contract.requests == []


async def test_wait_ready(client: Open, server: Serving) -> None:
    server.contract.fails_first = 5
    async with client() as ask:
        await ask.wait_ready(30)
        await ask.classify("good")


async def test_wait_ready_gives_up(kind: str, refusing: str) -> None:
    async with twins.opened(kind, refusing) as ask:
        with pytest.raises(Unavailable, match=r"within 0.2 s: (no server|no answer)"):
            await ask.wait_ready(0.2)


async def test_wait_ready_does_not_wait_for_another_token(client: Open, server: Serving) -> None:
    server.contract.model = status(Code.UNAUTHENTICATED, "no token", info("NO_CREDENTIALS"))
    async with client() as ask:
        with pytest.raises(Unauthenticated):
            await ask.wait_ready()


@pytest.mark.parametrize(
    "error",
    [
        InvalidText("a", reason="b", field="c", description="d"),
        Overloaded("a", retry_after_seconds=1.5),
        ModelFailed("a", incident="b"),
    ],
)
def test_errors_can_be_sent_to_another_process(error: ValenceError) -> None:
    again = pickle.loads(pickle.dumps(error))  # noqa: S301 - made here
    assert (type(again), str(again), vars(again)) == (type(error), str(error), vars(error))
