"""An open loop: calls come at a rate, whether the server keeps up or not.

A caller waits for its deadline and no longer.
"""

from __future__ import annotations

import asyncio
import itertools
import time
from collections import deque
from collections.abc import Iterable

from bench.calls import EXCEEDED, Call, Connection, connect, request_of
from bench.subjects import Running

TICK_SECONDS = 0.002
GRPC_CONNECTIONS = 8


class Caller:
    """A client that begins a call whenever it is told to, and gives up at the deadline."""

    def __init__(self, server: Running, texts: Iterable[str], *, deadline_seconds: float) -> None:
        """Prepare calls of one server, for each of the texts in turn."""
        self.calls: list[Call] = []
        self._server = server
        self._deadline_seconds = deadline_seconds
        self._requests = itertools.cycle([request_of(server, text) for text in texts])
        self._under_way: deque[tuple[Call, Connection]] = deque()
        self._shares_connections = server.subject.protocol == "grpc"
        self._connections: list[Connection] = []
        self._idle: list[Connection] = []

    async def send(self) -> None:
        """Begin a call."""
        connection = await self._connection()

        def on_end(_: Call) -> None:
            if not self._shares_connections:
                self._idle.append(connection)

        call = Call(time.perf_counter(), on_end, self._deadline_seconds)
        self.calls.append(call)
        self._under_way.append((call, connection))
        connection.send(call, next(self._requests))

    async def _connection(self) -> Connection:
        """Return one of gRPC's in turn, or one of HTTP/1.1 that is idle."""
        if self._shares_connections and len(self._connections) == GRPC_CONNECTIONS:
            return self._connections[len(self.calls) % GRPC_CONNECTIONS]
        while self._idle:
            if (connection := self._idle.pop()).is_open:
                return connection
        connection = await connect(self._server, deadline_seconds=self._deadline_seconds)
        self._connections.append(connection)
        return connection

    def give_up(self) -> None:
        """End the calls whose deadline has passed."""
        now = time.perf_counter()
        while self._under_way:
            call, connection = self._under_way[0]
            if not call.status and now - call.sent_at < self._deadline_seconds:
                return
            self._under_way.popleft()
            if not call.status:
                if not self._shares_connections:
                    connection.abort()
                call.end(EXCEEDED)

    def close(self) -> None:
        """Close every connection."""
        for connection in self._connections:
            connection.abort()


async def at_rate(caller: Caller, calls_per_second: float, *, seconds: float) -> list[Call]:
    """Send evenly spaced calls, and return them once each has ended."""
    first, began, sent = len(caller.calls), time.perf_counter(), 0
    while (passed := time.perf_counter() - began) < seconds:
        for _ in range(int(passed * calls_per_second) - sent):
            await caller.send()
            sent += 1
        caller.give_up()
        await asyncio.sleep(TICK_SECONDS)
    while not all(call.status for call in caller.calls):
        caller.give_up()
        await asyncio.sleep(TICK_SECONDS)
    return caller.calls[first:]
