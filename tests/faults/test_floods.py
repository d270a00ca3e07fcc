"""One client that says something cheap without end: it is refused or it waits, others do not."""

from __future__ import annotations

import pytest
from valence.v1 import sentiment_pb2 as pb

from tests.faults import http1, http2
from tests.faults.answers import Answers
from tests.faults.callers import check_all_is_well
from tests.faults.running import Running

# Buffers that grpc keeps for the next connection. A flood is of megabytes.
GROWTH_BYTES = 4 << 20


def resets(count: int) -> bytes:
    request = pb.ClassifyRequest(text="good").SerializeToString()
    return b"".join(
        b"".join(http2.call("Classify", [request], stream=stream))
        + http2.frame(http2.RST_STREAM, 0, stream, (8).to_bytes(4, "big"))
        for stream in range(1, 2 * count, 2)
    )


def headers_without_end(count: int) -> bytes:
    more = http2.header_block([("x-more", "y" * 100)] * 100)
    return (
        http2.frame(http2.HEADERS, 0, 1, http2.call_headers("Classify"))
        + http2.frame(http2.CONTINUATION, 0, 1, more) * count
    )


FLOODS = {
    "calls that are reset at once": resets(10_000),
    "headers without an end": headers_without_end(2_000),
    "pings": http2.frame(http2.PING, 0, 0, b"are you?") * 10_000,
    "settings": http2.frame(http2.SETTINGS, 0, 0, b"\x00\x03\x00\x00\x00\x64") * 50_000,
    "data that belongs to no call": http2.frame(http2.DATA, 0, 1, bytes(16_000)) * 1_000,
}


HTTP_FLOODS = {
    "requests that nobody reads the answers of": http1.LAST * 100_000,
    "wishes for another protocol": http1.head("/analyze", "connection: upgrade", "upgrade: h2c")
    * 20_000,
    "a body that is too large": http1.request("/analyze", bytes(16 << 20)),
    "a body of single bytes": http1.head("/analyze", "transfer-encoding: chunked")
    + http1.chunk(b"x") * 500_000,
    "a line without an end": http1.head("/v1/stream", "transfer-encoding: chunked")
    + http1.chunk(bytes(1 << 16)) * 300,
    "lines of a byte": http1.head("/v1/stream", "transfer-encoding: chunked")
    + http1.chunk(b"x\n" * (1 << 14)) * 3,
}


@pytest.mark.parametrize("flood", [*FLOODS, *HTTP_FLOODS])
async def test_a_flood_costs_little_and_ends_with_its_connection(
    server: Running, answers: Answers, flood: str
) -> None:
    await check_all_is_well(server, answers)
    before = server.kept()
    if flood in FLOODS:
        await http2.said(server.address, b"".join(http2.opening()) + FLOODS[flood])
    else:
        await http2.said(server.http, HTTP_FLOODS[flood])
    await check_all_is_well(server, answers)
    assert (server.kept() - before).malloc_bytes < GROWTH_BYTES
