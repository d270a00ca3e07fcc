"""Calls over bare connections, and the status that each ends with.

A gRPC client in Python takes more of two cores than the server does. These connections write the
frames themselves, which costs no more than h2load, and read each call's status, which h2load does
not: to it a refusal by gRPC is a success, since HTTP's status is 200.
"""

from __future__ import annotations

import asyncio
import itertools
import math
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import cast

import grpc
import httptools

from bench import http2
from bench.subjects import Running

# Statuses; HTTP's have the names of gRPC's.
OK, EXHAUSTED, EXCEEDED = "OK", "RESOURCE_EXHAUSTED", "DEADLINE_EXCEEDED"
LOST, RESET, NO_STATUS = "connection lost", "stream reset", "no grpc-status"
_GRPC_NAMES = {str(code.value[0]).encode(): code.name for code in grpc.StatusCode}
_HTTP_NAMES = {200: OK, 429: EXHAUSTED, 503: EXHAUSTED, 504: EXCEEDED}
_STATUS, _PUSHBACK = b"grpc-status", b"grpc-retry-pushback-ms"
# What a status is to a caller with a deadline.
ANSWERED, REFUSED, LATE, FAILED = "ok", "refused", "late", "failed"
_OUTCOMES = {OK: ANSWERED, EXHAUSTED: REFUSED, EXCEEDED: LATE}


@dataclass(slots=True, eq=False)
class Call:
    """One call. Times are time.perf_counter's."""

    sent_at: float
    on_end: Callable[[Call], None]
    deadline_seconds: float = math.inf
    ended_at: float = 0.0
    status: str = ""
    """Empty until the call has ended."""
    has_pushback: bool = False
    """Whether the refusal says when to come back."""

    @property
    def seconds(self) -> float:
        """Return how long the caller waited."""
        return self.ended_at - self.sent_at

    @property
    def outcome(self) -> str:
        """Return what the call was to its caller: an answer after the deadline is late."""
        outcome = _OUTCOMES.get(self.status, FAILED)
        too_late = outcome == ANSWERED and self.seconds > self.deadline_seconds
        return LATE if too_late else outcome

    def end(self, status: str) -> None:
        """End the call, unless it has ended."""
        if not self.status:
            self.ended_at = time.perf_counter()
            self.status = status
            self.on_end(self)


class Connection(asyncio.Protocol):
    """A connection to a server."""

    transport: asyncio.Transport
    is_open = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport."""
        self.transport = cast("asyncio.Transport", transport)
        self.is_open = True

    def send(self, call: Call, request: bytes) -> None:
        """Begin a call."""
        raise NotImplementedError

    def abort(self) -> None:
        """Close at once; the calls under way end as lost."""
        self.is_open = False
        self.transport.abort()


class GrpcConnection(Connection):
    """Calls of one method, any number at a time, over HTTP/2."""

    def __init__(self, path: str, deadline_seconds: float | None) -> None:
        """Prepare calls of the method at a path, each with the deadline."""
        deadline = [("grpc-timeout", f"{deadline_seconds * 1000:.0f}m")] if deadline_seconds else []
        self._headers = http2.call_headers(path, *deadline)
        self._calls: dict[int, Call] = {}
        self._streams = itertools.count(1, 2)
        self._window = http2.FIRST_WINDOW
        self._held: deque[tuple[bytes, int]] = deque()
        self._read = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Ask for headers without a table, and for as many answers as may come."""
        super().connection_made(transport)
        table_size = http2.SETTINGS_HEADER_TABLE_SIZE.to_bytes(2, "big") + bytes(4)
        widened = (http2.LARGEST_WINDOW - http2.FIRST_WINDOW).to_bytes(4, "big")
        self.transport.write(
            http2.PREFACE
            + http2.frame(http2.SETTINGS, 0, 0, table_size)
            + http2.frame(http2.WINDOW_UPDATE, 0, 0, widened)
        )

    def send(self, call: Call, request: bytes) -> None:
        """Begin a call as soon as the server's window has room for its message."""
        stream = next(self._streams)
        self._calls[stream] = call
        headers = http2.frame(http2.HEADERS, http2.END_HEADERS, stream, self._headers)
        data = http2.frame(http2.DATA, http2.END_STREAM, stream, request)
        self._held.append((headers + data, len(request)))
        self._flush()

    def _flush(self) -> None:
        # Only the payloads of DATA count (RFC 9113, 6.9).
        while self._held and self._window >= self._held[0][1]:
            frames, size = self._held.popleft()
            self._window -= size
            self.transport.write(frames)

    def data_received(self, data: bytes) -> None:
        """Take each whole frame."""
        frames, self._read = http2.whole_frames(self._read + data)
        for frame in frames:
            self._take(frame)

    def _take(self, frame: http2.Frame) -> None:
        if frame.kind == http2.HEADERS and frame.flags & http2.END_STREAM:
            call = self._calls.pop(frame.stream)
            call.has_pushback = _PUSHBACK in frame.payload
            call.end(_grpc_status(frame.payload))
        elif frame.kind == http2.RST_STREAM and frame.stream in self._calls:
            self._calls.pop(frame.stream).end(RESET)
        elif frame.kind == http2.WINDOW_UPDATE and frame.stream == 0:
            self._window += int.from_bytes(frame.payload, "big")
            self._flush()
        elif frame.kind in (http2.SETTINGS, http2.PING) and not frame.flags & http2.ACK:
            echoed = frame.payload if frame.kind == http2.PING else b""
            self.transport.write(http2.frame(frame.kind, http2.ACK, 0, echoed))

    def connection_lost(self, exc: Exception | None) -> None:
        """End the calls under way."""
        self.is_open = False
        for call in self._calls.values():
            call.end(LOST)


def _grpc_status(trailers: bytes) -> str:
    """Return the status that trailers name, which are literals for want of a table."""
    _, found, value = trailers.partition(_STATUS)
    if not found:
        return NO_STATUS
    number = value[1 : 1 + value[0]]
    return _GRPC_NAMES.get(number, f"grpc-status {number!r}")


class HttpConnection(Connection):
    """One call at a time over HTTP/1.1."""

    def __init__(self) -> None:
        """Prepare to parse answers."""
        self._call: Call | None = None
        self._parser = httptools.HttpResponseParser(self)

    def send(self, call: Call, request: bytes) -> None:
        """Begin a call; the one before has ended."""
        self._call = call
        self.transport.write(request)

    def data_received(self, data: bytes) -> None:
        """Parse what has come."""
        self._parser.feed_data(data)

    def on_message_complete(self) -> None:
        """End the call with the answer's status; the parser calls this."""
        call, self._call = self._call, None
        if call:
            status = self._parser.get_status_code()
            call.end(_HTTP_NAMES.get(status, f"HTTP {status}"))

    def connection_lost(self, exc: Exception | None) -> None:
        """End the call under way."""
        self.is_open = False
        if self._call:
            self._call.end(LOST)


async def connect(server: Running, *, deadline_seconds: float | None = None) -> Connection:
    """Return a connection to a server; gRPC's calls over it carry the deadline."""
    subject = server.subject
    connection = (
        GrpcConnection(subject.path, deadline_seconds)
        if subject.protocol == "grpc"
        else HttpConnection()
    )
    loop = asyncio.get_running_loop()
    await loop.create_connection(lambda: connection, "127.0.0.1", server.port)
    return connection


def request_of(server: Running, text: str) -> bytes:
    """Return what a connection sends to ask a server for a text."""
    payload = server.subject.payload(text)
    if server.subject.protocol == "grpc":
        return payload
    return (
        b"POST %b HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-type: application/json\r\n"
        b"content-length: %d\r\n\r\n%b" % (server.subject.path.encode(), len(payload), payload)
    )
