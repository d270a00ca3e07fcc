"""A valid client's bytes, and what chance makes of them."""

from __future__ import annotations

import random

from valence.v1 import sentiment_pb2 as pb

from tests.faults import http2
from tests.support.models import TEXTS

PONG = http2.frame(http2.PING, http2.ACK, 0, b"are you?")


def clients() -> list[list[bytes]]:
    """The frames of a few clients' calls, each ending with a ping."""
    classify = [pb.ClassifyRequest(text=text).SerializeToString() for text in TEXTS]
    batch = pb.BatchClassifyRequest(texts=TEXTS).SerializeToString()
    stream = [
        pb.StreamClassifyRequest(id=str(number), text=text).SerializeToString()
        for number, text in enumerate(TEXTS)
    ]
    settings = http2.frame(http2.SETTINGS, 0, 0, b"\x00\x04\x00\x01\x00\x00")
    window = http2.frame(http2.WINDOW_UPDATE, 0, 0, (1 << 20).to_bytes(4, "big"))
    ping = http2.frame(http2.PING, 0, 0, b"are you?")
    return [
        [*http2.opening(), *http2.call("Classify", classify[:1]), ping],
        [*http2.opening(), *http2.call("BatchClassify", [batch]), ping],
        [*http2.opening(), settings, window, *http2.call("StreamClassify", stream), ping],
        [
            *http2.opening(),
            *(
                part
                for number, request in enumerate(classify)
                for part in http2.call("Classify", [request], stream=2 * number + 1)
            ),
            http2.frame(http2.RST_STREAM, 0, 1, (8).to_bytes(4, "big")),
            ping,
        ],
    ]


def mutated(frames: list[bytes], chance: random.Random, *, spared_bytes: int) -> bytes:
    """The frames with one to four harms: to their order first, then to their bytes.

    Mostly behind the first bytes, which are spared: without them nothing else may be looked at.
    """
    frames = list(frames)
    if chance.random() < 0.3:
        index = chance.randrange(len(frames))
        harm = chance.choice(["lose", "repeat", "move"])
        lost = frames[index] if harm == "repeat" else frames.pop(index)
        if harm != "lose":
            frames.insert(chance.randrange(len(frames) + 1), lost)
    data = bytearray(b"".join(frames))
    for _ in range(chance.randint(1, 3)):
        first = spared_bytes if chance.random() < 0.95 else 0
        start = chance.randrange(first, max(first + 1, len(data)))
        size = chance.choice([1, 1, 1, 2, 4, 9, 64])
        match chance.choice(["flip", "set", "cut", "repeat", "insert", "end"]):
            case "flip":
                data[start : start + 1] = bytes(
                    byte ^ 1 << chance.randrange(8) for byte in data[start : start + 1]
                )
            case "set":
                data[start : start + size] = chance.randbytes(size)
            case "cut":
                del data[start : start + size]
            case "repeat":
                data[start:start] = data[start : start + size]
            case "insert":
                data[start:start] = chance.randbytes(size)
            case "end":
                del data[start:]
    return bytes(data)
