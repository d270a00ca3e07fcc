"""Closed loops: callers who each wait for an answer before they send the next text."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import dataclass
from typing import cast

import grpc
import uvloop
from valence.v1 import sentiment_pb2 as pb
from valence.v1 import sentiment_pb2_grpc

from bench.calls import OK, Call, Connection, connect, request_of
from bench.subjects import Running

PERCENTILES = (50, 90, 99)
SHARED_CONNECTIONS = 16


@dataclass(frozen=True)
class Load:
    """The calls of a load, its warm-up included in the statuses alone."""

    texts_per_second: float
    wait_ms: dict[int, float]
    """Milliseconds from a request to its answer, by percentile; empty without an answer."""
    statuses: Counter[str]
    """Calls by the status they ended with."""


def unary(server: Running, texts: Sequence[str], *, callers: int, seconds: float) -> Load:
    """Return the load of a closed loop.

    Raise SystemExit where a call ended with another status than OK: a refusal takes less time than
    an answer, so a rate with refusals in it is none.
    """
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        load = runner.run(closed_loop(server, texts, callers=callers, seconds=seconds))
    if set(load.statuses) - {OK}:
        counts = ", ".join(f"{count} {status}" for status, count in load.statuses.most_common())
        raise SystemExit(f"{server.subject.name} did not answer every call: {counts}")
    return load


async def closed_loop(
    server: Running, texts: Sequence[str], *, callers: int, seconds: float
) -> Load:
    """Return the load of callers who each go round the texts.

    A call counts when it ends after the warm-up, which is the first third. gRPC's callers share
    connections, as the callers of one client do; HTTP/1.1's cannot.
    """
    most = SHARED_CONNECTIONS if server.subject.protocol == "grpc" else callers
    connections = [await connect(server) for _ in range(min(most, callers))]
    requests = [request_of(server, text) for text in texts]
    counted_from = time.perf_counter() + seconds / 2
    ends_at = counted_from + seconds
    ended: list[Call] = []
    for number in range(callers):
        first = number * len(texts) // callers
        turns = itertools.cycle(requests[first:] + requests[:first])
        _ask_repeatedly(connections[number % len(connections)], turns, ends_at, ended)
    await asyncio.sleep(ends_at - time.perf_counter())
    calls = ended.copy()
    for connection in connections:
        connection.abort()
    waits = sorted(
        call.seconds for call in calls if call.status == OK and call.ended_at >= counted_from
    )
    percentiles = PERCENTILES if waits else ()
    return Load(
        texts_per_second=len(waits) / seconds,
        wait_ms={p: 1e3 * waits[min(len(waits) - 1, len(waits) * p // 100)] for p in percentiles},
        statuses=Counter(call.status for call in calls),
    )


def _ask_repeatedly(
    connection: Connection, requests: Iterator[bytes], ends_at: float, ended: list[Call]
) -> None:
    """Send a request, and the next one at the end of each call, until ends_at."""

    def send() -> None:
        connection.send(Call(time.perf_counter(), on_end), next(requests))

    def on_end(call: Call) -> None:
        ended.append(call)
        if connection.is_open and call.ended_at < ends_at:
            send()

    send()


def stream(server: Running, texts: list[str], *, seconds: float) -> float:
    """Return the texts a second of one stream, its first third not counted."""
    return asyncio.run(_stream(f"127.0.0.1:{server.port}", texts, seconds))


async def _stream(address: str, texts: list[str], seconds: float) -> float:
    counted_from = time.perf_counter() + seconds / 2
    ends_at = counted_from + seconds

    async def requests() -> AsyncIterator[pb.StreamClassifyRequest]:
        number = 0
        while time.perf_counter() < ends_at:
            yield pb.StreamClassifyRequest(id=str(number), text=texts[number % len(texts)])
            number += 1

    answered = 0
    async with grpc.aio.insecure_channel(address) as channel:
        stub = cast(
            "sentiment_pb2_grpc.SentimentServiceAsyncStub",
            sentiment_pb2_grpc.SentimentServiceStub(channel),
        )
        async for response in stub.StreamClassify(requests()):
            if response.HasField("error"):
                raise SystemExit(f"a text of the stream failed: {response.error.message}")
            answered += counted_from <= time.perf_counter() < ends_at
    return answered / seconds
