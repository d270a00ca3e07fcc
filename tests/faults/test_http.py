"""Clients of the HTTP port who leave things open: nobody waits for them, and nothing stays."""

from __future__ import annotations

import asyncio
import json
import resource
import signal
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Any, TypeAlias

import pytest

from tests.faults import http1
from tests.faults.answers import Answers
from tests.faults.callers import check_all_is_well
from tests.faults.growth import check_nothing_adds_up
from tests.faults.running import Running, running
from tests.support.waiting import until

Connection: TypeAlias = tuple[asyncio.StreamReader, asyncio.StreamWriter]
# What the kernel keeps of connections that nobody has taken yet, and files for the rest.
AT_ONCE = 500
PATIENCE_SECONDS = 120
LEFT_BYTES = 1_000
SPARE_FILES = 1_000
ENOUGH = 200


@asynccontextmanager
async def connected(
    server: Running, count: int, *, greeting: bytes = b""
) -> AsyncIterator[list[Connection]]:
    """Connections to the HTTP port, which are cut off at the end; then the server has none."""
    host, _, port = server.http.rpartition(":")
    taking = asyncio.Semaphore(AT_ONCE)

    async def connect() -> Connection:
        async with taking:
            reader, writer = await asyncio.open_connection(host, int(port))
            writer.write(greeting)
            return reader, writer

    connections = await asyncio.gather(*(connect() for _ in range(count)))
    try:
        async with asyncio.timeout(PATIENCE_SECONDS):
            yield connections
    finally:
        for _, writer in connections:
            writer.transport.abort()
    await until(lambda: not taken(server, int(port)))


def taken(server: Running, port: int) -> list[Any]:
    """The connections to a port that the server's process has."""
    everything = server.process.net_connections("tcp")
    return [one for one in everything if one.raddr and one.laddr.port == port]


async def check_answers(server: Running, answers: Answers) -> None:
    """The HTTP port answers right, and so does the other."""
    text = answers.text(1)
    body = json.dumps({"text": text}).encode()
    request = http1.request(f"{http1.SERVICE}/Classify", body)
    host, _, port = server.http.rpartition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(request + http1.LAST)
    said = await reader.readuntil(http1.ALIVE)
    writer.close()
    assert said.startswith(b"HTTP/1.1 200 ")
    assert f'"tokensTotal": {answers.tokens(text)}'.encode() in said
    await check_all_is_well(server, answers)


UNFINISHED = {
    "nothing": b"",
    "a part of the headers": b"POST /analyze HTTP/1.1\r\nhost: he",
    "headers without a body": http1.head("/analyze", "content-length: 100"),
    "a part of a body": http1.head("/analyze", "content-length: 100") + b'{"text": "good',
    "a part of a message": http1.head(f"{http1.SERVICE}/Classify", "content-length: 100") + b"{",
    "a part of a chunk": http1.head("/analyze", "transfer-encoding: chunked") + b"40\r\n{",
    "a part of a line": http1.head("/v1/stream", "transfer-encoding: chunked")
    + http1.chunk(b'"good"\n"ba'),
    "an expectation": http1.head("/analyze", "content-length: 100", "expect: 100-continue"),
    "a stream that is not read": http1.head("/v1/stream", "transfer-encoding: chunked")
    + http1.chunk(b'"the film was good"\n' * 200),
}


async def test_clients_that_finish_nothing_hold_up_nobody(
    server: Running, answers: Answers
) -> None:
    said = list(UNFINISHED.values())
    async with connected(server, 20 * len(said)) as connections:
        for number, (_, writer) in enumerate(connections):
            writer.write(said[number % len(said)])
            await writer.drain()
        await check_answers(server, answers)
    await check_answers(server, answers)


@pytest.mark.full
async def test_clients_that_vanish_leave_nothing(server: Running, answers: Answers) -> None:
    whole = http1.request("/analyze", b'{"text": "good"}')
    said = [*UNFINISHED.values(), whole, whole + whole[:50]]
    count = 30 * len(said)

    async def one_round() -> None:
        async with connected(server, count) as connections:
            for number, (_, writer) in enumerate(connections):
                writer.write(said[number % len(said)])
                await writer.drain()
        await check_all_is_well(server, answers)

    # A connection that is kept has dozens of Python's blocks, so those of one kind show.
    await check_nothing_adds_up(server, one_round, times=count, each_bytes=LEFT_BYTES)


async def test_a_byte_at_a_time_is_read_to_its_end(server: Running, answers: Answers) -> None:
    text = answers.text(2)
    request = http1.request("/v1/stream", json.dumps(text).encode())
    async with connected(server, 1) as ((reader, writer),):
        writer.transport.set_write_buffer_limits(0)
        for byte in request + http1.LAST:
            writer.write(bytes([byte]))
            await writer.drain()
        said = await reader.readuntil(http1.ALIVE)
    assert b'"complete": true, "answered": 1' in said


@pytest.mark.parametrize("count", [1_000, pytest.param(10_000, marks=pytest.mark.full)])
async def test_connections_by_the_thousand(server: Running, answers: Answers, count: int) -> None:
    if resource.getrlimit(resource.RLIMIT_NOFILE)[0] < count + SPARE_FILES:
        pytest.skip("this machine allows a process fewer files: ulimit -Hn")
    texts: Iterator[str] = iter([answers.text(number) for number in range(count)])
    # One that says nothing is closed after a while.
    async with connected(server, count, greeting=http1.LAST) as connections:
        await check_answers(server, answers)
        # Each of them is alive, and a hundred ask at once.
        for first in range(0, count, 100):
            some = connections[first : first + 100]
            for _, writer in some:
                body = json.dumps({"text": next(texts)}).encode()
                writer.write(http1.request("/analyze", body))
            for reader, _ in some:
                await reader.readuntil(http1.ALIVE)
                assert (await reader.readline()).split()[1] == b"200"
    await check_answers(server, answers)


@pytest.mark.full
async def test_sigterm_loses_no_request(model: tuple[str, ...], answers: Answers) -> None:
    answered: Counter[bytes] = Counter()

    async def caller(server: Running, number: int) -> None:
        """Ask until the server says that it is ending; signal it after enough answers."""
        host, _, port = server.http.rpartition(":")
        body = json.dumps({"text": answers.text(number)}).encode()
        status = b"200"
        while status == b"200":
            reader, writer = await asyncio.open_connection(host, int(port))
            writer.write(http1.request("/analyze", body))
            status = (await reader.readuntil(b"\r\n\r\n")).split()[1]
            writer.close()
            answered[status] += 1
            if answered[b"200"] == ENOUGH:
                server.server.process.send_signal(signal.SIGTERM)

    with running(*model, "--http-port", "0", "--grace-seconds", "30") as server:
        host, _, port = server.http.rpartition(":")
        async with asyncio.timeout(PATIENCE_SECONDS):
            reader, writer = await asyncio.open_connection(host, int(port))
            line = http1.chunk(json.dumps(answers.text(0)).encode() + b"\n")
            writer.write(http1.head("/v1/stream", "transfer-encoding: chunked") + line)
            await reader.readuntil(b'"sentiment"')
            await asyncio.gather(*(caller(server, number) for number in range(32)))
            # The stream has its last line, though its client would go on.
            assert b"the server is ending" in await reader.read()
            writer.close()
            assert await asyncio.to_thread(server.server.process.wait, 60) == 0
    assert set(answered) == {b"200", b"503"}
    assert answered[b"503"] == 32
