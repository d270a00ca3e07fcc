"""HTTP/2 by hand: just enough to say a call in bytes, and so to say it wrongly."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import suppress

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, RST_STREAM, SETTINGS, PING, WINDOW_UPDATE, CONTINUATION = 0, 1, 3, 4, 6, 8, 9
END_STREAM, END_HEADERS, ACK = 0x1, 0x4, 0x1
READ_BYTES = 1 << 16
CLOSE_SECONDS = 30


def frame(kind: int, flags: int, stream: int, payload: bytes = b"") -> bytes:
    return (
        len(payload).to_bytes(3, "big") + bytes([kind, flags]) + stream.to_bytes(4, "big") + payload
    )


def header_block(headers: Sequence[tuple[str, str]]) -> bytes:
    """In HPACK's plainest form: each a literal that is not indexed (RFC 7541, 6.2.2)."""
    block = b""
    for name, value in headers:
        block += b"\x00" + _string(name) + _string(value)
    return block


def _string(text: str) -> bytes:
    data = text.encode()
    # An integer with a prefix of seven bits (RFC 7541, 5.1).
    if len(data) < 127:
        return bytes([len(data)]) + data
    left, size = len(data) - 127, b"\x7f"
    while left >= 128:
        size += bytes([left % 128 + 128])
        left //= 128
    return size + bytes([left]) + data


def call_headers(method: str, *more: tuple[str, str]) -> bytes:
    """The header block of a call of the contract."""
    return header_block(
        [
            (":method", "POST"),
            (":scheme", "http"),
            (":path", f"/valence.v1.SentimentService/{method}"),
            (":authority", "localhost"),
            ("te", "trailers"),
            ("content-type", "application/grpc"),
            *more,
        ]
    )


def message(data: bytes) -> bytes:
    """As gRPC puts it into DATA frames: not compressed, with its length."""
    return b"\x00" + len(data).to_bytes(4, "big") + data


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


def kinds(data: bytes) -> list[tuple[int, int, int]]:
    """Kind, flags and stream of each whole frame in what a server has sent."""
    found = []
    while len(data) >= 9:
        length = int.from_bytes(data[:3], "big")
        found.append((data[3], data[4], int.from_bytes(data[5:9], "big")))
        data = data[9 + length :]
    return found


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
