"""A server that ends and comes back under a client's stream: each text is answered once."""

from __future__ import annotations

import asyncio
import itertools
import signal
import threading
from collections.abc import Iterator
from contextlib import ExitStack

import pytest
from valence_client import Sentiment

from tests.client import twins
from tests.support.server import Server, serving

# Several windows of a stream, before the restart and after it.
TEXTS = 500


def words(number: int) -> int:
    return 1 + number % 7


@pytest.mark.full
@pytest.mark.parametrize(
    ("kind", "signum"),
    [
        ("sync", signal.SIGTERM),
        ("aio", signal.SIGKILL),
        ("sync", signal.SIGKILL),
        ("aio", signal.SIGTERM),
    ],
)
async def test_server_that_is_restarted_under_a_stream(
    two_labels: str, kind: str, signum: int
) -> None:
    answered = sent = 0
    back = threading.Event()

    def texts() -> Iterator[str]:
        nonlocal sent
        left = TEXTS
        for sent in itertools.count(1):
            yield "good " * words(sent - 1)
            left -= back.is_set()
            if not left:
                return

    with ExitStack() as servers:

        def start(port: str) -> Server:
            return servers.enter_context(serving("--model", two_labels, port=port))

        def restart() -> None:
            first.end(signum)
            start(first.address.rsplit(":", 1)[1])
            back.set()

        first = start("0")
        restarting: asyncio.Task[None] | None = None
        async with twins.opened(kind, first.address, timeout_seconds=120) as ask:
            async for outcome in ask.classify_stream(texts()):
                assert isinstance(outcome, Sentiment), (answered, outcome)
                # Counts the text's words, and so tells whose answer it is.
                assert outcome.tokens_total == words(answered) + 2, answered
                answered += 1
                if answered == TEXTS:
                    restarting = asyncio.create_task(asyncio.to_thread(restart))
            assert restarting is not None
            await restarting
    assert answered == sent
