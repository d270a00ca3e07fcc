"""Bytes that are no HTTP/2, or nearly: they cost only the connection that they come on."""

from __future__ import annotations

import asyncio
import itertools
import random
from collections.abc import Iterator

from tests.faults import http2
from tests.faults.answers import Answers
from tests.faults.callers import check_all_is_well
from tests.faults.mutations import PONG, clients, mutated
from tests.faults.running import Running

CONNECTIONS = 10_000
AT_ONCE = 8
# Between two looks at whether all is well.
ROUND = 2_500
GROWTH = 1.05
# In one of so many the client waits for an answer before it ends; in the others the end comes
# while the server is still at the bytes.
PATIENT_EACH = 10
PATIENT_SECONDS = 0.2


def garbage(chance: random.Random) -> Iterator[bytes]:
    while True:
        data = chance.randbytes(chance.randrange(1, 300))
        yield http2.PREFACE + data if chance.random() < 0.4 else data


def nearly_right(chance: random.Random) -> Iterator[bytes]:
    right = clients()
    while True:
        yield mutated(chance.choice(right), chance)


async def check_harmless(server: Running, answers: Answers, what: Iterator[bytes]) -> None:
    """Say all of it, each on a connection of its own; every one is closed, and all stays well."""
    numbers = itertools.count()

    async def client(connections: Iterator[bytes]) -> None:
        for data in connections:
            backpressured = next(numbers) % PATIENT_EACH == 0
            await http2.said(
                server.address,
                data,
                until=PONG if backpressured else None,
                wait_seconds=PATIENT_SECONDS,
            )

    async def one_round() -> None:
        connections = itertools.islice(what, ROUND)
        await asyncio.gather(*(client(connections) for _ in range(AT_ONCE)))
        await check_all_is_well(server, answers)

    await one_round()
    warm = server.rss_bytes
    for _ in range(CONNECTIONS // ROUND - 1):
        await one_round()
    assert server.rss_bytes < warm * GROWTH


async def test_random_bytes_on_the_port_harm_nobody(server: Running, answers: Answers) -> None:
    chance = random.Random(3)  # noqa: S311  no secret
    await check_harmless(server, answers, garbage(chance))


async def test_a_path_that_is_no_utf8_costs_only_its_call(
    server: Running, answers: Answers
) -> None:
    headers = http2.call_headers("Classify").replace(b"/Classify", b"/Classif\xff")
    call = http2.frame(http2.HEADERS, http2.END_HEADERS | http2.END_STREAM, 1, headers)
    ping = http2.frame(http2.PING, 0, 0, b"are you?")
    await http2.said(server.address, b"".join(http2.opening()) + call + ping, until=PONG)
    await check_all_is_well(server, answers)


async def test_a_valid_clients_bytes_with_faults_in_them_harm_nobody(
    server: Running, answers: Answers
) -> None:
    for frames in clients():
        heard = await http2.said(server.address, b"".join(frames), until=PONG)
        assert PONG in heard, "without faults the bytes are not right either"
    chance = random.Random(4)  # noqa: S311  no secret
    await check_harmless(server, answers, nearly_right(chance))
