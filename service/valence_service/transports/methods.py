"""The contract's methods of one message, for every transport that carries its messages."""

from __future__ import annotations

from typing import TYPE_CHECKING

from valence.v1 import sentiment_pb2 as pb

from valence_service.core.call import current_call
from valence_service.transports.messages import Replies, read_offset_unit, read_overlength
from valence_service.transports.unary import UnaryMethod

if TYPE_CHECKING:
    from valence_service.serving.service import SentimentService


class UnaryMethods:
    """Answers messages with messages. Each method belongs to the call under way."""

    def __init__(self, service: SentimentService) -> None:
        self._service = service
        self._last_replies: Replies | None = None

    def describe(self) -> tuple[UnaryMethod, ...]:
        """Return the methods, for a transport to carry."""
        admit, ready = self._service.admit, self._service.check_ready
        return (
            # The time that a batch takes depends on its texts, so only a call of one text can be
            # admitted before it is read.
            UnaryMethod(
                "Classify", self.classify, pb.ClassifyRequest, pb.ClassifyResponse, admit=admit
            ),
            UnaryMethod(
                "BatchClassify",
                self.batch_classify,
                pb.BatchClassifyRequest,
                pb.BatchClassifyResponse,
                admit=ready,
            ),
            UnaryMethod(
                "ClassifyDocument",
                self.classify_document,
                pb.ClassifyDocumentRequest,
                pb.ClassifyDocumentResponse,
                admit=ready,
            ),
            UnaryMethod(
                "GetModel", self.get_model, pb.GetModelRequest, pb.GetModelResponse, admit=ready
            ),
        )

    async def classify(self, request: pb.ClassifyRequest) -> pb.ClassifyResponse:
        """Answer one text."""
        replies = self.replies()
        overlength = read_overlength(request.overlength)
        answer = await self._service.classify(current_call(), request.text, overlength)
        return replies.classify(answer)

    async def batch_classify(self, request: pb.BatchClassifyRequest) -> pb.BatchClassifyResponse:
        """Answer several texts, each with its own result or its own error."""
        replies, call = self.replies(), current_call()
        overlength = read_overlength(request.overlength)
        results = await self._service.classify_batch(call, request.texts, overlength)
        return replies.batch(results, call.timings)

    async def classify_document(
        self, request: pb.ClassifyDocumentRequest
    ) -> pb.ClassifyDocumentResponse:
        """Answer a document."""
        replies = self.replies()
        unit = read_offset_unit(request.offset_unit)
        document = await self._service.classify_document(current_call(), request.text, unit)
        return replies.document(document)

    async def get_model(self, _: pb.GetModelRequest) -> pb.GetModelResponse:
        """Say which model answers, and what a request may hold."""
        return pb.GetModelResponse(model=self.replies().model)

    def replies(self) -> Replies:
        """Return what makes the replies of the model that answers now. Raise Unavailable."""
        info = self._service.model()
        if self._last_replies is None or self._last_replies.info is not info:
            self._last_replies = Replies.of(self._service)
        return self._last_replies
