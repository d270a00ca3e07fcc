"""The generated stub, as the asynchronous one that it is on an asynchronous channel."""

from __future__ import annotations

from typing import cast

import grpc
from valence.v1 import sentiment_pb2_grpc


def async_stub(channel: grpc.aio.Channel) -> sentiment_pb2_grpc.SentimentServiceAsyncStub:
    return cast(
        "sentiment_pb2_grpc.SentimentServiceAsyncStub",
        sentiment_pb2_grpc.SentimentServiceStub(channel),
    )
