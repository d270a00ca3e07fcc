"""The contract over gRPC: the methods of every transport, and the stream."""

from __future__ import annotations

from typing import TYPE_CHECKING

from valence_service.core.call import current_call
from valence_service.core.errors import MalformedMessage
from valence_service.serving.options import StreamOptions
from valence_service.serving.stream import StreamRequest
from valence_service.transports.grpc.calls import Undecodable
from valence_service.transports.messages import read_order, read_overlength
from valence_service.transports.methods import UnaryMethods

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator

    from valence.v1 import sentiment_pb2 as pb


class SentimentServicer(UnaryMethods):
    """Carries the service over gRPC."""

    async def stream_classify(
        self, requests: AsyncIterator[pb.StreamClassifyRequest | Undecodable]
    ) -> AsyncGenerator[pb.StreamClassifyResponse]:
        """Answer any number of texts, through a bounded window."""
        replies = self.replies()
        async with self._service.stream(current_call()) as stream:
            results = stream.results(requests, read=_stream_request, read_options=_stream_options)
            async for item in results:
                yield replies.stream_item(item.id, item.result)


def _stream_request(
    message: pb.StreamClassifyRequest | Undecodable,
) -> StreamRequest | MalformedMessage:
    if isinstance(message, Undecodable):
        return MalformedMessage(message.description)
    return StreamRequest(message.id, message.text)


def _stream_options(message: pb.StreamClassifyRequest | Undecodable) -> StreamOptions:
    if isinstance(message, Undecodable):
        return StreamOptions()
    options = message.options
    return StreamOptions(
        read_overlength(options.overlength, "options.overlength"),
        read_order(options.order, "options.order"),
    )
