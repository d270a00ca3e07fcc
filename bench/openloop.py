"""An open loop: calls come at a rate, whether the server keeps up or not.

A caller waits for its deadline and no longer. A Python gRPC client would take more of the two cores
than the server, so gRPC's frames are written here: each call's are the same but for its number.
"""

from __future__ import annotations

import asyncio
import itertools
import struct
import time
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import cast

from subjects import Running

TICK_SECONDS = 0.002
GRPC_CONNECTIONS = 8
OK, REFUSED, LATE, FAILED = "ok", "refused", "late", "failed"
# HTTP/2's frames, flags and settings, RFC 9113.
DATA, HEADERS, RST_STREAM, SETTINGS, PING, GOAWAY, WINDOW_UPDATE = 0, 1, 3, 4, 6, 7, 8
END_STREAM, END_HEADERS, ACK = 1, 4, 1
SETTINGS_HEADER_TABLE_SIZE = 1
FIRST_WINDOW, LARGEST_WINDOW = 65_535, 2**31 - 1
STATUS = b"grpc-status"
KINDS = {b"0": OK, b"8": REFUSED, b"4": LATE}


@dataclass(slots=True, eq=False)
class Call:
    """One call and what became of it; times on time.perf_counter's clock."""

    sent_at: float
    ended: Callable[[Call], None]
    deadline_seconds: float
    ended_at: float = 0.0
    kind: str = ""
    told_when_to_retry: bool = False

    @property
    def seconds(self) -> float:
        """How long the caller waited."""
        return self.ended_at - self.sent_at

    def end(self, kind: str) -> None:
        """The first word counts; an answer after the deadline is late."""
        if not self.kind:
            self.ended_at = time.perf_counter()
            self.kind = LATE if kind == OK and self.seconds > self.deadline_seconds else kind
            self.ended(self)


class Grpc(asyncio.Protocol):
    """Calls of one method over one HTTP/2 connection."""

    transport: asyncio.Transport

    def __init__(self, path: str, deadline_seconds: float) -> None:
        fields = (
            (b":authority", b"127.0.0.1"),
            (b"content-type", b"application/grpc"),
            (b"te", b"trailers"),
            (b"grpc-timeout", b"%dm" % round(deadline_seconds * 1000)),
        )
        # Literals that neither side keeps, but for two of the static table: POST and http.
        self._headers = b"\x83\x86" + b"".join(
            b"\0%c%b%c%b" % (len(name), name, len(value), value)
            for name, value in ((b":path", path.encode()), *fields)
        )
        self._calls: dict[int, Call] = {}
        self._numbers = itertools.count(1, 2)
        self._window = FIRST_WINDOW
        self._held: deque[tuple[bytes, bytes]] = deque()
        self._read = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Say hello, ask for headers without a table, and take any number of answers."""
        self.transport = cast("asyncio.Transport", transport)
        no_table = struct.pack(">HI", SETTINGS_HEADER_TABLE_SIZE, 0)
        widened = struct.pack(">I", LARGEST_WINDOW - FIRST_WINDOW)
        self.transport.write(
            b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
            + _frame(SETTINGS, 0, 0, no_table)
            + _frame(WINDOW_UPDATE, 0, 0, widened)
        )

    def send(self, call: Call, payload: bytes) -> None:
        """Begin a call, as soon as the server takes that much."""
        number = next(self._numbers)
        self._calls[number] = call
        headers = _frame(HEADERS, END_HEADERS, number, self._headers)
        self._held.append((headers + _frame(DATA, END_STREAM, number, payload), payload))
        self._flush()

    def _flush(self) -> None:
        # Of what is sent only the payloads of DATA count (RFC 9113, 6.9).
        while self._held and self._window >= len(self._held[0][1]):
            frames, payload = self._held.popleft()
            self._window -= len(payload)
            self.transport.write(frames)

    def data_received(self, data: bytes) -> None:
        """Every whole frame there is."""
        read, at = self._read + data, 0
        while len(read) >= at + 9:
            size = int.from_bytes(read[at : at + 3], "big")
            if len(read) < at + 9 + size:
                break
            kind, flags = read[at + 3], read[at + 4]
            number = int.from_bytes(read[at + 5 : at + 9], "big")
            self._take(kind, flags, number, read[at + 9 : at + 9 + size])
            at += 9 + size
        self._read = read[at:]

    def _take(self, kind: int, flags: int, number: int, payload: bytes) -> None:
        if kind == HEADERS and flags & END_STREAM:
            value = payload.index(STATUS) + len(STATUS)
            status = payload[value + 1 : value + 1 + payload[value]]
            call = self._calls.pop(number)
            call.told_when_to_retry = b"grpc-retry-pushback-ms" in payload
            call.end(KINDS.get(status, FAILED))
        elif kind == RST_STREAM and number in self._calls:
            self._calls.pop(number).end(FAILED)
        elif kind == WINDOW_UPDATE and number == 0:
            self._window += int.from_bytes(payload, "big")
            self._flush()
        elif kind in (SETTINGS, PING) and not flags & ACK:
            self.transport.write(_frame(kind, ACK, 0, payload if kind == PING else b""))

    def connection_lost(self, exc: Exception | None) -> None:
        """Whoever waits hears no more."""
        for call in self._calls.values():
            call.end(FAILED)


def _frame(kind: int, flags: int, number: int, payload: bytes) -> bytes:
    return struct.pack(">I", len(payload))[1:] + struct.pack(">BBI", kind, flags, number) + payload


class Http(asyncio.Protocol):
    """One call at a time over one HTTP/1.1 connection."""

    def __init__(self, idle: list[Http]) -> None:
        self._idle = idle
        self._call: Call | None = None
        self._read = b""
        self.transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Nothing is said before the first request."""
        self.transport = cast("asyncio.Transport", transport)

    def send(self, call: Call, request: bytes) -> None:
        """Begin a call."""
        assert self.transport
        self._call = call
        self.transport.write(request)

    def leave(self) -> None:
        """Close at once."""
        if self.transport:
            self.transport.abort()

    def data_received(self, data: bytes) -> None:
        """The answer, once all of it is there."""
        self._read += data
        head, blank, body = self._read.partition(b"\r\n\r\n")
        size = next(
            (
                int(line[15:])
                for line in head.lower().split(b"\r\n")
                if line[:15] == b"content-length:"
            ),
            0,
        )
        if not blank or len(body) < size or self._call is None:
            return
        self._read = b""
        self._idle.append(self)
        self._call.end(OK if b" 200 " in head[:16] else REFUSED)

    def connection_lost(self, exc: Exception | None) -> None:
        """Whoever waits hears no more."""
        if self in self._idle:
            self._idle.remove(self)
        if self._call:
            self._call.end(FAILED)


class Caller:
    """Makes calls of one server, each of the texts in turn."""

    def __init__(self, server: Running, texts: Iterable[str], *, deadline_seconds: float) -> None:
        self.server = server
        self.calls: list[Call] = []
        self._deadline_seconds = deadline_seconds
        self._requests = itertools.cycle([_request(server, text) for text in texts])
        self._under_way: deque[tuple[Call, Http | None]] = deque()
        self._grpc: list[Grpc] = []
        self._idle: list[Http] = []

    async def send(self, ended: Callable[[Call], None] = lambda _: None) -> None:
        """Begin a call; ``ended`` is told of its end."""
        call = Call(time.perf_counter(), ended, self._deadline_seconds)
        self.calls.append(call)
        request = next(self._requests)
        if self.server.subject.protocol == "grpc":
            if len(self._grpc) < GRPC_CONNECTIONS:
                self._grpc.append(Grpc(self.server.subject.path, self._deadline_seconds))
                await self._connect(self._grpc[-1])
            self._grpc[len(self.calls) % len(self._grpc)].send(call, request)
            self._under_way.append((call, None))
        else:
            http = self._idle.pop() if self._idle else Http(self._idle)
            if http.transport is None:
                await self._connect(http)
            http.send(call, request)
            self._under_way.append((call, http))

    def give_up(self) -> None:
        """End the calls whose deadline has passed."""
        now = time.perf_counter()
        while self._under_way:
            call, http = self._under_way[0]
            if not call.kind and now - call.sent_at < self._deadline_seconds:
                return
            self._under_way.popleft()
            if not call.kind:
                call.end(LATE)
                if http:
                    http.leave()

    def close(self) -> None:
        """Leave, whoever still waits."""
        for grpc in self._grpc:
            grpc.transport.abort()
        for http in (*self._idle, *(http for _, http in self._under_way if http)):
            http.leave()

    async def _connect(self, protocol: Grpc | Http) -> None:
        loop = asyncio.get_running_loop()
        await loop.create_connection(lambda: protocol, "127.0.0.1", self.server.port)


def _request(server: Running, text: str) -> bytes:
    payload = server.subject.payload(text)
    if server.subject.protocol == "grpc":
        return payload
    return (
        b"POST %b HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-type: application/json\r\n"
        b"content-length: %d\r\n\r\n%b" % (server.subject.path.encode(), len(payload), payload)
    )


async def at_rate(caller: Caller, calls_per_second: float, *, seconds: float) -> list[Call]:
    """Evenly spaced calls, and what became of each."""
    first, began, sent = len(caller.calls), time.perf_counter(), 0
    while (passed := time.perf_counter() - began) < seconds:
        for _ in range(int(passed * calls_per_second) - sent):
            await caller.send()
            sent += 1
        caller.give_up()
        await asyncio.sleep(TICK_SECONDS)
    await _all_ended(caller)
    return caller.calls[first:]


async def saturated(caller: Caller, *, callers: int, seconds: float) -> float:
    """Answers a second to callers who each wait for one before they ask again."""
    waiting = 0

    def ended(_: Call) -> None:
        nonlocal waiting
        waiting -= 1

    first, ends = len(caller.calls), time.perf_counter() + seconds
    while time.perf_counter() < ends:
        while waiting < callers:
            waiting += 1
            await caller.send(ended)
        caller.give_up()
        await asyncio.sleep(TICK_SECONDS)
    answered = [call for call in caller.calls[first:] if call.kind == OK]
    await _all_ended(caller)
    # The first half warms up.
    return sum(call.ended_at > ends - seconds / 2 for call in answered) / (seconds / 2)


async def _all_ended(caller: Caller) -> None:
    while not all(call.kind for call in caller.calls):
        caller.give_up()
        await asyncio.sleep(TICK_SECONDS)
