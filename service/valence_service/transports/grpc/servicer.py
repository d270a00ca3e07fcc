"""The four calls of the contract, a short method each."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from valence.v1 import sentiment_pb2 as pb
from valence.v1 import sentiment_pb2_grpc

from valence_service.core.call import current_call
from valence_service.core.errors import MalformedMessage
from valence_service.serving.options import StreamOptions
from valence_service.serving.stream import StreamRequest
from valence_service.transports.grpc.calls import Undecodable
from valence_service.transports.messages import Replies, read_order, read_overlength

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator

    import grpc

    from valence_service.core.call import CallScope
    from valence_service.serving.service import SentimentService

    Context = grpc.aio.ServicerContext[Any, Any]


class SentimentServicer(sentiment_pb2_grpc.SentimentServiceServicer):
    """Carries the service over gRPC."""

    def __init__(self, service: SentimentService) -> None:
        self._service = service
        self._last_replies: Replies | None = None

    def admit(self, call: CallScope) -> None:
        """Refuse a Classify that cannot be answered in time, before its message is read."""
        self._service.admit(call)

    def check_ready(self, _: CallScope) -> None:
        """Refuse a call where no model answers, before its message is read."""
        self._service.model()

    async def Classify(self, request: pb.ClassifyRequest, _: Context) -> pb.ClassifyResponse:
        """Answer one text."""
        replies = self._replies()
        overlength = read_overlength(request.overlength)
        answer = await self._service.classify(current_call(), request.text, overlength)
        return replies.classify(answer)

    async def BatchClassify(
        self, request: pb.BatchClassifyRequest, _: Context
    ) -> pb.BatchClassifyResponse:
        """Answer several texts, each with its own result or its own error."""
        replies, call = self._replies(), current_call()
        overlength = read_overlength(request.overlength)
        results = await self._service.classify_batch(call, request.texts, overlength)
        return replies.batch(results, call.timings)

    async def StreamClassify(
        self, request_iterator: AsyncIterator[pb.StreamClassifyRequest | Undecodable], _: Context
    ) -> AsyncGenerator[pb.StreamClassifyResponse]:
        """Answer any number of texts, through a bounded window."""
        replies = self._replies()
        async with self._service.stream(current_call()) as stream:
            results = stream.results(
                request_iterator, read=_stream_request, read_options=_stream_options
            )
            async for item in results:
                yield replies.stream_item(item.id, item.result)

    async def GetModel(self, request: pb.GetModelRequest, _: Context) -> pb.GetModelResponse:
        """Say which model answers, and what a request may hold."""
        return pb.GetModelResponse(model=self._replies().model)

    def _replies(self) -> Replies:
        """Return what makes the replies of the model that answers now. Raise Unavailable."""
        info = self._service.model()
        if self._last_replies is None or self._last_replies.info is not info:
            self._last_replies = Replies(info, self._service.limits)
        return self._last_replies


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
