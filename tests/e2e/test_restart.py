"""A server that ends and comes back under a client's stream: each text is answered once."""

from __future__ import annotations

import asyncio
import signal
from contextlib import ExitStack

import pytest
from valence_client import Sentiment

from tests.client import twins
from tests.support.server import Server, serving

TEXTS = 10_000


def words(number: int) -> int:
    return 1 + number % 7


@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGKILL])
@pytest.mark.parametrize("kind", ["sync", "aio"])
async def test_server_that_is_restarted_under_a_stream(
    two_labels: str, kind: str, signum: int
) -> None:
    answered = 0
    with ExitStack() as servers:

        def start(port: str) -> Server:
            return servers.enter_context(serving("--model", two_labels, port=port))

        def restart() -> tuple[int, int]:
            host_and_port = first.address.rsplit(":", 1)
            before = answered
            first.end(signum)
            start(host_and_port[1])
            return before, answered

        first = start("0")
        restarting: asyncio.Task[tuple[int, int]] | None = None
        texts = ("good " * words(number) for number in range(TEXTS))
        async with twins.opened(kind, first.address, timeout_seconds=120) as ask:
            async for outcome in ask.classify_stream(texts):
                assert isinstance(outcome, Sentiment), (answered, outcome)
                # Counts the text's words, and so tells whose answer it is.
                assert outcome.tokens_total == words(answered) + 2, answered
                answered += 1
                if answered == TEXTS // 5:
                    restarting = asyncio.create_task(asyncio.to_thread(restart))
            assert restarting is not None
            before, after = await restarting
    assert answered == TEXTS
    assert before <= after < TEXTS
