"""The contract's calls, answered by a fake service."""

from __future__ import annotations

from typing import TYPE_CHECKING, NoReturn

from valence.v1 import sentiment_pb2 as pb
from valence.v1 import sentiment_pb2_grpc

from valence_client.errors import Overloaded, ValenceError
from valence_client.testing._behaviour import invalid
from valence_client.testing._document import document_message
from valence_client.testing._messages import model_message, sentiment_message, status_message

if TYPE_CHECKING:
    from collections.abc import Iterator

    import grpc

    from valence_client.testing._behaviour import Behaviour


class Servicer(sentiment_pb2_grpc.SentimentServiceServicer):
    """The service's calls on the wire."""

    def __init__(self, behaviour: Behaviour) -> None:
        """Answer as ``behaviour`` does."""
        self._behaviour = behaviour

    def Classify(
        self, request: pb.ClassifyRequest, context: grpc.ServicerContext
    ) -> pb.ClassifyResponse:
        self._begin(context)
        try:
            sentiment = self._behaviour.answer(request.text, "text", request.overlength)
        except ValenceError as error:
            _abort(context, error)
        return pb.ClassifyResponse(sentiment=sentiment_message(sentiment))

    def BatchClassify(
        self, request: pb.BatchClassifyRequest, context: grpc.ServicerContext
    ) -> pb.BatchClassifyResponse:
        self._begin(context)
        most = self._behaviour.model.limits.max_batch_texts
        if not 0 < len(request.texts) <= most:
            _abort(context, invalid("texts", f"has {len(request.texts)} texts: send 1 to {most}"))
        response = pb.BatchClassifyResponse()
        for index, text in enumerate(request.texts):
            try:
                sentiment = self._behaviour.answer(text, f"texts[{index}]", request.overlength)
                response.results.add(sentiment=sentiment_message(sentiment))
            except ValenceError as error:
                response.results.add(error=status_message(error))
        return response

    def StreamClassify(
        self, request_iterator: Iterator[pb.StreamClassifyRequest], context: grpc.ServicerContext
    ) -> Iterator[pb.StreamClassifyResponse]:
        self._begin(context)
        options = pb.StreamOptions()
        for number, request in enumerate(request_iterator):
            if number == 0:
                options = request.options
            response = pb.StreamClassifyResponse(id=request.id)
            try:
                sentiment = self._behaviour.answer(request.text, "text", options.overlength)
                response.sentiment.CopyFrom(sentiment_message(sentiment))
            except ValenceError as error:
                response.error.CopyFrom(status_message(error))
            yield response

    def ClassifyDocument(
        self, request: pb.ClassifyDocumentRequest, context: grpc.ServicerContext
    ) -> pb.ClassifyDocumentResponse:
        self._begin(context)
        try:
            return document_message(self._behaviour, request)
        except ValenceError as error:
            _abort(context, error)

    def GetModel(
        self, request: pb.GetModelRequest, context: grpc.ServicerContext
    ) -> pb.GetModelResponse:
        self._begin(context)
        return pb.GetModelResponse(model=model_message(self._behaviour.model))

    def _begin(self, context: grpc.ServicerContext) -> None:
        if (failure := self._behaviour.next_failure()) is not None:
            _abort(context, failure)


def _abort(context: grpc.ServicerContext, error: ValenceError) -> NoReturn:
    trailers: list[tuple[str, str | bytes]] = [
        ("grpc-status-details-bin", status_message(error).SerializeToString())
    ]
    if isinstance(error, Overloaded) and error.retry_after_seconds is not None:
        trailers.append(("grpc-retry-pushback-ms", str(round(error.retry_after_seconds * 1000))))
    context.set_trailing_metadata(tuple(trailers))
    context.abort(error.code, str(error))
    raise AssertionError("abort raises")
