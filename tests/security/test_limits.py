"""What one connection may do, as the server says it on the wire."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager

import pytest
from valence_service.transports.grpc.server import _milliseconds

from tests.faults import http2
from tests.support.server import Server, serving

GOAWAY = 7
MAX_CONCURRENT_STREAMS = 3
ENHANCE_YOUR_CALM = 11


@pytest.fixture(scope="module")
def server(two_labels: str) -> Iterator[Server]:
    with serving("--model", two_labels, "--max-connection-calls", "7") as running:
        yield running


@asynccontextmanager
async def connected(
    server: Server, *says: bytes
) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    """A connection that has said so much."""
    host, port = server.address.rsplit(":", 1)
    async with asyncio.timeout(30):
        reader, writer = await asyncio.open_connection(host, int(port))
        writer.write(b"".join(says))
        try:
            yield reader, writer
        finally:
            writer.close()


async def frames(reader: asyncio.StreamReader) -> AsyncIterator[tuple[int, bytes]]:
    """Kind and payload of each, until the server closes the connection."""
    while head := await reader.read(9):
        head += await reader.readexactly(9 - len(head))
        yield head[3], await reader.readexactly(int.from_bytes(head[:3], "big"))


async def farewell(reader: asyncio.StreamReader) -> int:
    """The error code of the server's GOAWAY."""
    async for kind, payload in frames(reader):
        if kind == GOAWAY:
            return int.from_bytes(payload[4:8], "big")
    raise AssertionError("the connection was closed without a word")


async def test_a_connection_is_told_how_many_calls_it_may_have_at_once(server: Server) -> None:
    async with connected(server, *http2.opening()) as (reader, _):
        async for kind, payload in frames(reader):
            if kind == http2.SETTINGS:
                settings = {
                    int.from_bytes(payload[at : at + 2], "big"): int.from_bytes(
                        payload[at + 2 : at + 6], "big"
                    )
                    for at in range(0, len(payload), 6)
                }
                assert settings[MAX_CONCURRENT_STREAMS] == 7
                return
    raise AssertionError("the connection was closed without settings")


async def test_who_pings_too_often_is_disconnected(server: Server) -> None:
    pings = http2.frame(http2.PING, 0, 0, b"12345678") * 20
    async with connected(server, *http2.opening(), pings) as (reader, _):
        assert await farewell(reader) == ENHANCE_YOUR_CALM


async def test_who_connects_and_says_nothing_is_disconnected(server: Server) -> None:
    async with connected(server) as (reader, _):
        async for _ in frames(reader):
            pass


@pytest.mark.parametrize("limit", ["idle", "age"])
async def test_a_connection_ends_when_its_time_is_over(two_labels: str, limit: str) -> None:
    seconds = (f"--max-connection-{limit}-seconds", "1")
    with serving("--model", two_labels, *seconds) as server:
        async with connected(server, *http2.opening()) as (reader, _):
            # Whatever reason it gives: grpc has one for idleness, none for age.
            assert await farewell(reader) != ENHANCE_YOUR_CALM


def test_times_below_a_millisecond_are_not_taken_for_none() -> None:
    assert [_milliseconds(seconds) for seconds in (0.0001, 1.5)] == [1, 1500]
    assert _milliseconds(0.0) == _milliseconds(86400e3)  # for ever
