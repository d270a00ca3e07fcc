"""Calls in bytes, so that tests can make them wrongly."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import suppress

from bench import http2
from bench.http2 import (
    ACK,
    CONTINUATION,
    DATA,
    END_HEADERS,
    END_STREAM,
    HEADERS,
    PING,
    PREFACE,
    RST_STREAM,
    SETTINGS,
    WINDOW_UPDATE,
    frame,
    header_block,
    message,
)

__all__ = [
    "ACK",
    "CONTINUATION",
    "DATA",
    "END_HEADERS",
    "END_STREAM",
    "HEADERS",
    "PING",
    "PREFACE",
    "RST_STREAM",
    "SETTINGS",
    "WINDOW_UPDATE",
    "call",
    "call_headers",
    "frame",
    "header_block",
    "message",
    "opening",
    "said",
]
READ_BYTES = 1 << 16
CLOSE_SECONDS = 30


def call_headers(method: str, *more: tuple[str, str]) -> bytes:
    """Return the header block of a call of the contract."""
    return http2.call_headers(f"/valence.v1.SentimentService/{method}", *more)


def call(method: str, requests: Sequence[bytes], *, stream: int = 1) -> list[bytes]:
    """The frames of a call with these requests."""
    *first, last = map(message, requests)
    return [
        frame(HEADERS, END_HEADERS, stream, call_headers(method)),
        *(frame(DATA, 0, stream, data) for data in first),
        frame(DATA, END_STREAM, stream, last),
    ]


def opening() -> list[bytes]:
    """What a client says first, and its word that it has seen the server's settings."""
    return [PREFACE, frame(SETTINGS, 0, 0), frame(SETTINGS, ACK, 0)]


async def said(
    address: str, data: bytes, *, until: bytes | None = None, wait_seconds: float = 30.0
) -> bytes:
    """Send bytes on a connection of their own, end it, and return all that the server says.

    With ``until`` the end waits for these bytes, but no longer than ``wait_seconds``. The server
    is to close what the client has ended: that it does not is a TimeoutError.
    """
    host, port = address.rsplit(":", 1)
    reader, writer = await asyncio.open_connection(host, int(port))
    heard = bytearray()

    async def hear(*, until: bytes | None = None) -> None:
        while (until is None or until not in heard) and (data := await reader.read(READ_BYTES)):
            heard.extend(data)

    try:
        writer.write(data)
        if until is not None:
            with suppress(TimeoutError):
                await asyncio.wait_for(hear(until=until), wait_seconds)
        if writer.can_write_eof():
            writer.write_eof()
        async with asyncio.timeout(CLOSE_SECONDS):
            await hear()
    except OSError:
        pass  # the server has closed in the midst, as it may
    finally:
        writer.transport.abort()
    return bytes(heard)
