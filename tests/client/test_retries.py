"""Which unary calls are made again, how often, and how long they wait; on both stacks."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import grpc
import pytest
from valence.v1 import sentiment_pb2_grpc
from valence_client import Overloaded, Unavailable, ValenceError
from valence_client._attempts import FAILURE_COST, MAX_TOKENS, Attempts, RetryBudget

from tests.client import twins
from tests.client.conftest import Open, Serving
from tests.client.contract import Contract, info, retry_in, status

FULL = status(grpc.StatusCode.RESOURCE_EXHAUSTED, "full", info("OVERLOADED"), retry_in(0.001))
# More than gRPC buffers of a request that its own policy would retry.
LONG = "long " * 60_000


class Arrivals(grpc.aio.ServerInterceptor):
    """Counts calls as they arrive: one that is refused for its size reaches no servicer."""

    def __init__(self) -> None:
        self.count = 0

    async def intercept_service(self, continuation: Any, details: Any) -> Any:
        self.count += details.method.endswith("/Classify")
        return await continuation(details)


class Decisions:
    """The pauses before each next attempt, None where there is none."""

    def __init__(self) -> None:
        self.pauses: list[float | None] = []
        self.first = asyncio.Event()
        self.loop = asyncio.get_running_loop()


@asynccontextmanager
async def narrow(max_bytes: int) -> AsyncIterator[tuple[str, Arrivals]]:
    """Serve requests of up to so many bytes."""
    arrivals = Arrivals()
    running = grpc.aio.server(
        interceptors=[arrivals],
        options=[("grpc.so_reuseport", 0), ("grpc.max_receive_message_length", max_bytes)],
    )
    sentiment_pb2_grpc.add_SentimentServiceServicer_to_server(Contract(), running)
    address = f"127.0.0.1:{running.add_insecure_port('127.0.0.1:0')}"
    await running.start()
    yield address, arrivals
    await running.stop(0)


async def test_retries_until_a_server_is_available(client: Open, server: Serving) -> None:
    server.contract.fails_first = 2
    async with client(retries=2) as ask:
        assert (await ask.classify("good")).label == "POSITIVE"
    assert len(server.contract.requests) == 3


async def test_no_more_retries_than_allowed(client: Open, server: Serving) -> None:
    server.contract.fails_first = 9
    async with client(retries=1) as ask:
        with pytest.raises(Unavailable, match="not yet"):
            await ask.classify("good")
    assert len(server.contract.requests) == 2


@pytest.mark.parametrize("text", ["bad", LONG])
async def test_overloaded_server_says_when_to_come_back(
    client: Open, server: Serving, text: str
) -> None:
    server.contract.failures[text] = FULL
    server.contract.pushback_ms = "1"
    async with client() as ask:
        with pytest.raises(Overloaded):
            await ask.classify(text)
    assert len(server.contract.requests) == 4


@pytest.mark.parametrize("pushback_ms", ["-1", "never"])
async def test_overloaded_server_says_not_to_come_back(
    client: Open, server: Serving, pushback_ms: str
) -> None:
    server.contract.failures["bad"] = FULL
    server.contract.pushback_ms = pushback_ms
    async with client() as ask:
        with pytest.raises(Overloaded):
            await ask.classify("bad")
    assert len(server.contract.requests) == 1


@pytest.mark.parametrize(
    ("timeout_seconds", "pushback_ms"), [(60, "3600000"), (None, "90000000000000")]
)
async def test_overloaded_server_wants_a_longer_wait_than_the_deadline(
    client: Open,
    server: Serving,
    decisions: Decisions,
    timeout_seconds: float | None,
    pushback_ms: str,
) -> None:
    server.contract.failures["bad"] = status(
        grpc.StatusCode.RESOURCE_EXHAUSTED, "full", info("OVERLOADED")
    )
    server.contract.pushback_ms = pushback_ms
    async with client(timeout_seconds=timeout_seconds) as ask:
        with pytest.raises(Overloaded) as caught:
            await ask.classify("bad")
    assert caught.value.retry_after_seconds == int(pushback_ms) / 1000
    assert decisions.pauses == [None]
    assert len(server.contract.requests) == 1


async def test_a_pause_beyond_the_deadline_does_not_hide_why_there_is_no_answer(
    kind: str, refusing: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("valence_client._attempts.FIRST_PAUSE_SECONDS", 3600.0)
    async with twins.opened(kind, refusing, timeout_seconds=60) as ask:
        with pytest.raises(Unavailable, match="no server answers"):
            await ask.classify("good")


async def test_overloaded_server_gets_little_more_than_the_calls(
    client: Open, server: Serving
) -> None:
    server.contract.failures["bad"] = FULL
    server.contract.pushback_ms = "1"
    calls = 100
    async with client() as ask:
        for _ in range(calls):
            with pytest.raises(Overloaded):
                await ask.classify("bad")
    assert calls < len(server.contract.requests) <= calls + MAX_TOKENS / FAILURE_COST / 2


def test_successes_pay_for_retries() -> None:
    budget = RetryBudget()
    while budget.fail():
        pass
    for _ in range(FAILURE_COST):
        budget.succeed()
    assert not budget.fail()

    for _ in range(FAILURE_COST + 1):
        budget.succeed()
    assert budget.fail()


async def test_waiting_for_a_server_leaves_later_calls_their_retries(
    client: Open, server: Serving, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in ("aio", "sync"):
        monkeypatch.setattr(f"valence_client.{module}.PAUSE_SECONDS", 0.0)
    server.contract.fails_first = MAX_TOKENS // FAILURE_COST
    async with client() as ask:
        await ask.wait_ready(600)
        server.contract.fails_first = 1
        assert (await ask.classify("good")).label == "POSITIVE"


async def test_request_that_is_too_large_is_sent_once(kind: str) -> None:
    async with narrow(1000) as (address, arrivals), twins.opened(kind, address) as ask:
        with pytest.raises(ValenceError, match="Received message larger than max") as caught:
            await ask.classify("x" * 2000)
    assert caught.value.code is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert not isinstance(caught.value, Overloaded)
    assert arrivals.count == 1


@pytest.fixture
async def decisions(monkeypatch: pytest.MonkeyPatch) -> Decisions:
    """What the client decides after each failed attempt."""
    decide, noted = Attempts.pause_seconds, Decisions()

    def note(attempts: Attempts, *failure: Any) -> float | None:
        noted.pauses.append(decide(attempts, *failure))
        noted.loop.call_soon_threadsafe(noted.first.set)
        return noted.pauses[-1]

    monkeypatch.setattr(Attempts, "pause_seconds", note)
    return noted


async def test_request_over_the_clients_own_limit_is_tried_once(
    client: Open, decisions: Decisions
) -> None:
    async with client(channel_options=[("grpc.max_send_message_length", 1000)]) as ask:
        with pytest.raises(ValenceError, match="Sent message larger than max"):
            await ask.classify("x" * 2000)
    assert decisions.pauses == [None]


async def test_closing_ends_a_call_that_waits_to_be_made_again(
    client: Open, server: Serving, decisions: Decisions
) -> None:
    server.contract.failures["bad"] = FULL
    server.contract.pushback_ms = "3600000"
    async with client(timeout_seconds=None) as ask:
        call = asyncio.ensure_future(ask.classify("bad"))
        await decisions.first.wait()
    with pytest.raises(ValueError, match="closed"):
        await call
