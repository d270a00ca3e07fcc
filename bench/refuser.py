"""A grpc.aio server that refuses, and does nothing else: ``python refuser.py PORT``.

Only a caller with much time is answered, so that one can tell that it is there.
"""

from __future__ import annotations

import asyncio
import sys
from typing import Any

import grpc
import uvloop
from valence.v1 import sentiment_pb2 as pb

MUCH_SECONDS = 5
ANSWER = pb.ClassifyResponse(sentiment=pb.Sentiment(label="POSITIVE")).SerializeToString()


async def classify(_: bytes, context: grpc.aio.ServicerContext[bytes, bytes]) -> bytes:
    """The answer. Aborts with RESOURCE_EXHAUSTED for a caller with less than MUCH_SECONDS."""
    if (context.time_remaining() or 0) < MUCH_SECONDS:
        await context.abort(grpc.StatusCode.RESOURCE_EXHAUSTED, "no")
    return ANSWER


async def main() -> None:
    server = grpc.aio.server()
    handler: Any = grpc.unary_unary_rpc_method_handler(classify)
    server.add_generic_rpc_handlers(
        (
            grpc.method_handlers_generic_handler(
                "valence.v1.SentimentService", {"Classify": handler}
            ),
        )
    )
    server.add_insecure_port(f"127.0.0.1:{sys.argv[1]}")
    await server.start()
    await server.wait_for_termination()


if __name__ == "__main__":
    asyncio.Runner(loop_factory=uvloop.new_event_loop).run(main())
