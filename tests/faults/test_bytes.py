"""Bytes that are no HTTP/2, or nearly: they cost only the connection that they come on."""

from __future__ import annotations

import asyncio
import itertools
import random
from collections.abc import Iterator

import pytest

from tests.faults import http2
from tests.faults.answers import Answers
from tests.faults.callers import check_all_is_well
from tests.faults.growth import check_nothing_adds_up
from tests.faults.mutations import PONG, clients, mutated
from tests.faults.running import Running

# In a round. What connections leave behind shows after some hundreds. Most of the bytes that matter
# are among the first thousands, and each seed has others: the full tier looks for rare ones.
CONNECTIONS = [100, pytest.param(1_000, marks=pytest.mark.full)]
AT_ONCE = 8
# Of a connection that is kept, grpc's core has ten kilobytes.
LEFT_BYTES = 1_000
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


async def check_harmless(
    server: Running, answers: Answers, what: Iterator[bytes], count: int
) -> None:
    """Say it, each on a connection of its own; every one is closed, and all stays well."""
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
        connections = itertools.islice(what, count)
        await asyncio.gather(*(client(connections) for _ in range(AT_ONCE)))
        await check_all_is_well(server, answers)

    await check_nothing_adds_up(server, one_round, times=count, each_bytes=LEFT_BYTES)


@pytest.mark.parametrize("count", CONNECTIONS)
async def test_random_bytes_on_the_port_harm_nobody(
    server: Running, answers: Answers, count: int
) -> None:
    chance = random.Random(count)  # noqa: S311  no secret
    await check_harmless(server, answers, garbage(chance), count)


async def test_a_path_that_is_no_utf8_costs_only_its_call(
    server: Running, answers: Answers
) -> None:
    headers = http2.call_headers("Classify").replace(b"/Classify", b"/Classif\xff")
    call = http2.frame(http2.HEADERS, http2.END_HEADERS | http2.END_STREAM, 1, headers)
    ping = http2.frame(http2.PING, 0, 0, b"are you?")
    await http2.said(server.address, b"".join(http2.opening()) + call + ping, until=PONG)
    await check_all_is_well(server, answers)


@pytest.mark.parametrize("count", CONNECTIONS)
async def test_a_valid_clients_bytes_with_faults_in_them_harm_nobody(
    server: Running, answers: Answers, count: int
) -> None:
    for frames in clients():
        heard = await http2.said(server.address, b"".join(frames), until=PONG)
        assert PONG in heard, "without faults the bytes are not right either"
    chance = random.Random(count)  # noqa: S311  no secret
    await check_harmless(server, answers, nearly_right(chance), count)
