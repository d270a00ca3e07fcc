"""Serve constant answers with grpc.aio, to measure its own cost: ``python -m bench.bare PORT``.

The server answers every call and text with the same bytes. It refuses a caller with a deadline of
less than MUCH_SECONDS.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator
from typing import Any

import grpc
import uvloop
from google.protobuf.duration_pb2 import Duration
from valence.v1 import sentiment_pb2 as pb

MUCH_SECONDS = 5
SENTIMENT = pb.Sentiment(
    label="POSITIVE",
    score=0.9,
    scores=[pb.LabelScore(label="POSITIVE", score=0.9), pb.LabelScore(label="NEGATIVE", score=0.1)],
    polarity=pb.POLARITY_POSITIVE,
    valence=0.8,
    tokens_total=23,
    tokens_used=23,
    model=pb.ModelRef(name="valence-minilm-l6", revision="0123456789ab"),
)
TIMINGS = pb.Timings(
    queue_duration=Duration(nanos=1_000_000), inference_duration=Duration(nanos=20_000_000)
)
ANSWER = pb.ClassifyResponse(sentiment=SENTIMENT, timings=TIMINGS).SerializeToString()
STREAM_ANSWER = pb.StreamClassifyResponse(
    id="1000", sentiment=SENTIMENT, timings=TIMINGS
).SerializeToString()
Context = grpc.aio.ServicerContext[bytes, bytes]


async def classify(_: bytes, context: Context) -> bytes:
    """Return the answer, or abort with RESOURCE_EXHAUSTED."""
    remaining = context.time_remaining()
    if remaining is not None and remaining < MUCH_SECONDS:
        await context.abort(grpc.StatusCode.RESOURCE_EXHAUSTED, "no")
    return ANSWER


async def stream_classify(texts: AsyncIterator[bytes], _: Context) -> AsyncIterator[bytes]:
    """Yield the same answer to each text."""
    async for _text in texts:
        yield STREAM_ANSWER


async def main() -> None:
    """Serve until the process ends."""
    server = grpc.aio.server()
    handlers: Any = {
        "Classify": grpc.unary_unary_rpc_method_handler(classify),
        "StreamClassify": grpc.stream_stream_rpc_method_handler(stream_classify),
    }
    server.add_generic_rpc_handlers(
        (grpc.method_handlers_generic_handler("valence.v1.SentimentService", handlers),)
    )
    server.add_insecure_port(f"127.0.0.1:{sys.argv[1]}")
    await server.start()
    await server.wait_for_termination()


if __name__ == "__main__":
    asyncio.Runner(loop_factory=uvloop.new_event_loop).run(main())
