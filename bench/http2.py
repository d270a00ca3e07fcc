"""HTTP/2 frames and gRPC messages as bytes (RFC 9113, RFC 7541)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, RST_STREAM, SETTINGS, PING, WINDOW_UPDATE, CONTINUATION = 0, 1, 3, 4, 6, 8, 9
END_STREAM, END_HEADERS, ACK = 0x1, 0x4, 0x1
SETTINGS_HEADER_TABLE_SIZE = 1
FIRST_WINDOW, LARGEST_WINDOW = 65_535, 2**31 - 1
FRAME_HEADER_BYTES = 9


class Frame(NamedTuple):
    """A frame that was received."""

    kind: int
    flags: int
    stream: int
    payload: bytes


def frame(kind: int, flags: int, stream: int, payload: bytes = b"") -> bytes:
    """Return the bytes of a frame."""
    return (
        len(payload).to_bytes(3, "big") + bytes([kind, flags]) + stream.to_bytes(4, "big") + payload
    )


def whole_frames(data: bytes) -> tuple[list[Frame], bytes]:
    """Return the frames that data holds whole, and the bytes that follow them."""
    frames, at = [], 0
    while len(data) - at >= FRAME_HEADER_BYTES:
        begin = at + FRAME_HEADER_BYTES
        end = begin + int.from_bytes(data[at : at + 3], "big")
        if end > len(data):
            break
        stream = int.from_bytes(data[at + 5 : begin], "big")
        frames.append(Frame(data[at + 3], data[at + 4], stream, data[begin:end]))
        at = end
    return frames, data[at:]


def header_block(headers: Iterable[tuple[str, str]]) -> bytes:
    """Return headers in HPACK's plainest form, literals that no table keeps (RFC 7541, 6.2.2)."""
    return b"".join(b"\x00" + _string(name) + _string(value) for name, value in headers)


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


def call_headers(path: str, *more: tuple[str, str]) -> bytes:
    """Return the header block that begins a gRPC call."""
    return header_block(
        [
            (":method", "POST"),
            (":scheme", "http"),
            (":path", path),
            (":authority", "localhost"),
            ("te", "trailers"),
            ("content-type", "application/grpc"),
            *more,
        ]
    )


def message(data: bytes) -> bytes:
    """Return a message as DATA frames carry it: uncompressed, after its length."""
    return b"\x00" + len(data).to_bytes(4, "big") + data
