"""Bytes that are no HTTP, or nearly: they cost only the connection that they come on."""

from __future__ import annotations

import asyncio
import itertools
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pytest

from tests.faults import http1, http2
from tests.faults.answers import Answers
from tests.faults.callers import check_all_is_well
from tests.faults.growth import check_nothing_adds_up
from tests.faults.mutations import PONG, clients, mutated
from tests.faults.running import Running

AT_ONCE = 8
# Of a connection that is kept, grpc's core has ten kilobytes.
LEFT_BYTES = 1_000
# In one of so many the client waits for an answer before it ends; in the others the end comes
# while the server is still at the bytes.
PATIENT_EACH = 10
PATIENT_SECONDS = 0.2


@dataclass(frozen=True)
class Port:
    """How to talk to one of the server's ports."""

    address: Callable[[Running], str]
    preface: bytes
    """What may come before anything."""
    clients: list[list[bytes]]
    """The parts of what a few clients say."""
    spared_bytes: int
    last: bytes
    """What the answer to each client ends with."""


GRPC = Port(lambda server: server.address, http2.PREFACE, clients(), len(http2.PREFACE), PONG)
HTTP = Port(lambda server: server.http, b"POST /v1/stream HTTP/", http1.clients(), 0, http1.ALIVE)


def ports(**counts: list[int]) -> pytest.MarkDecorator:
    """Connections in a round to each port; more than a few hundred are for the full tier.

    What connections leave behind shows after some hundreds. Most of the bytes that matter are among
    the first thousands, and each seed has others: the full tier looks for rare ones.
    """
    known = {"grpc": GRPC, "http": HTTP}
    full = pytest.mark.full
    values = [
        pytest.param(known[name], count, id=f"{name}-{count}", marks=[full] if count > 300 else [])
        for name, numbers in counts.items()
        for count in numbers
    ]
    return pytest.mark.parametrize(("port", "count"), values)


def garbage(port: Port, chance: random.Random) -> Iterator[bytes]:
    while True:
        data = chance.randbytes(chance.randrange(1, 300))
        yield port.preface + data if chance.random() < 0.4 else data


def nearly_right(port: Port, chance: random.Random) -> Iterator[bytes]:
    while True:
        yield mutated(chance.choice(port.clients), chance, spared_bytes=port.spared_bytes)


async def check_harmless(
    server: Running, answers: Answers, port: Port, what: Iterator[bytes], count: int
) -> None:
    """Say it, each on a connection of its own; every one is closed, and all stays well."""
    numbers = itertools.count()

    async def client(connections: Iterator[bytes]) -> None:
        for data in connections:
            backpressured = next(numbers) % PATIENT_EACH == 0
            await http2.said(
                port.address(server),
                data,
                until=port.last if backpressured else None,
                wait_seconds=PATIENT_SECONDS,
            )

    async def one_round() -> None:
        connections = itertools.islice(what, count)
        await asyncio.gather(*(client(connections) for _ in range(AT_ONCE)))
        await check_all_is_well(server, answers)

    await check_nothing_adds_up(server, one_round, times=count, each_bytes=LEFT_BYTES)


@ports(grpc=[100, 1_000], http=[500])
async def test_random_bytes_on_the_port_harm_nobody(
    server: Running, answers: Answers, port: Port, count: int
) -> None:
    chance = random.Random(count)  # noqa: S311  no secret
    await check_harmless(server, answers, port, garbage(port, chance), count)


async def test_a_path_that_is_no_utf8_costs_only_its_call(
    server: Running, answers: Answers
) -> None:
    headers = http2.call_headers("Classify").replace(b"/Classify", b"/Classif\xff")
    call = http2.frame(http2.HEADERS, http2.END_HEADERS | http2.END_STREAM, 1, headers)
    ping = http2.frame(http2.PING, 0, 0, b"are you?")
    await http2.said(server.address, b"".join(http2.opening()) + call + ping, until=PONG)
    await check_all_is_well(server, answers)


@ports(grpc=[100, 1_000], http=[500])
async def test_a_valid_clients_bytes_with_faults_in_them_harm_nobody(
    server: Running, answers: Answers, port: Port, count: int
) -> None:
    for frames in port.clients:
        heard = await http2.said(port.address(server), b"".join(frames), until=port.last)
        assert port.last in heard, "without faults the bytes are not right either"
    chance = random.Random(count)  # noqa: S311  no secret
    await check_harmless(server, answers, port, nearly_right(port, chance), count)
