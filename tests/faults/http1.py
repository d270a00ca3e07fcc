"""Requests over HTTP/1.1 in bytes, so that tests can make them wrongly."""

from __future__ import annotations

import json

from tests.support.models import TEXTS

SERVICE = "/valence.v1.SentimentService"
# The last request of each client, and what shows that it was answered.
LAST = b"GET /healthz HTTP/1.1\r\nhost: here\r\n\r\n"
ALIVE = b'{"status":"alive"}'


def head(path: str, *headers: str) -> bytes:
    """Return the headers of a request that has a body of JSON."""
    lines = (f"POST {path} HTTP/1.1", "host: here", "content-type: application/json", *headers)
    return "\r\n".join(lines).encode() + b"\r\n\r\n"


def request(path: str, body: bytes) -> bytes:
    """Return a whole request."""
    return head(path, f"content-length: {len(body)}") + body


def chunk(data: bytes) -> bytes:
    """Return a part of a body whose length is not told before; the last part is empty."""
    return b"%x\r\n%b\r\n" % (len(data), data)


def clients() -> list[list[bytes]]:
    """The parts of a few clients' requests."""
    analyze = [request("/analyze", json.dumps({"text": text}).encode()) for text in TEXTS]
    batch = request(f"{SERVICE}/BatchClassify", json.dumps({"texts": TEXTS}).encode())
    lines = [chunk(json.dumps(text).encode() + b"\n") for text in TEXTS]
    chunked = head("/v1/stream", "transfer-encoding: chunked")
    expecting = head("/models/tiny", "content-length: 18", "expect: 100-continue")
    upgrading = head("/analyze", "content-length: 16", "connection: upgrade", "upgrade: h2c")
    return [
        [analyze[0], LAST],
        [*analyze, LAST],
        [batch, LAST],
        [chunked, *lines, chunk(b""), LAST],
        [expecting, b'{"inputs": "good"}', upgrading, b'{"text": "good"}', LAST],
    ]
