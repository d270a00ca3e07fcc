"""The four calls of the contract, a short method each."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from valence.v1 import sentiment_pb2 as pb
from valence.v1 import sentiment_pb2_grpc

from valence_service.core import call
from valence_service.core.errors import InvalidField, Starting, Unavailable
from valence_service.transports.grpc import messages
from valence_service.transports.grpc.stream import Stream

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    import grpc

    from valence_service.core.limits import Limits
    from valence_service.core.sentiment import Answer, ModelInfo
    from valence_service.scheduler.batcher import Batcher
    from valence_service.transports.grpc.calls import Undecodable

    Context = grpc.aio.ServicerContext[Any, Any]


@dataclass(frozen=True, slots=True)
class _Model:
    """What answers, once it is loaded."""

    batcher: Batcher
    replies: messages.Replies


class SentimentServicer(sentiment_pb2_grpc.SentimentServiceServicer):
    """Answers calls from a batcher, or refuses them while there is a reason to."""

    def __init__(self, limits: Limits, *, window_texts: int) -> None:
        self._limits = limits
        self._window_texts = window_texts
        self._model: _Model | None = None
        self._streams: set[Stream] = set()
        self.refusal: Unavailable | None = None
        """Why no call is taken now, if so."""
        self.refused_calls = 0
        """How many calls were refused for that."""

    @property
    def open_streams(self) -> int:
        """StreamClassify calls under way."""
        return len(self._streams)

    def open(self, batcher: Batcher, info: ModelInfo) -> None:
        """Take calls from now on."""
        self._model = _Model(batcher, messages.Replies(info, self._limits))

    def refuse(self, reason: Unavailable) -> None:
        """Take no more calls; open streams answer what they have queued, then end."""
        self.refusal = reason
        for stream in self._streams:
            stream.stop(reason)

    def admit(self, context: Context) -> None:
        """Raises where a call of one text cannot be answered in time, whatever the text is."""
        self._ready().batcher.check_admission(deadline=_deadline(context))

    async def Classify(self, request: pb.ClassifyRequest, context: Context) -> pb.ClassifyResponse:
        """One text, one sentiment."""
        model = self._ready()
        reject = messages.rejects_overlength(request.overlength)
        messages.check_text(request.text, "text", self._limits)
        (future,) = model.batcher.submit([request.text], deadline=_deadline(context))
        answer = await future
        call.answered((answer.timings,))
        return model.replies.classify(answer, reject_overlength=reject)

    async def BatchClassify(
        self, request: pb.BatchClassifyRequest, context: Context
    ) -> pb.BatchClassifyResponse:
        """Several texts, each with its own result or its own error."""
        model = self._ready()
        reject = messages.rejects_overlength(request.overlength)
        messages.check_batch(request.texts, self._limits)
        outcomes: list[Answer | BaseException | None] = []
        for index, text in enumerate(request.texts):
            try:
                messages.check_text(text, f"texts[{index}]", self._limits)
                outcomes.append(None)
            except InvalidField as error:
                outcomes.append(error)
        good = [text for text, o in zip(request.texts, outcomes, strict=True) if o is None]
        answers = await asyncio.gather(
            *model.batcher.submit(good, deadline=_deadline(context)), return_exceptions=True
        )
        call.answered([a.timings for a in answers if not isinstance(a, BaseException)])
        left = iter(answers)
        return model.replies.batch(
            [next(left) if outcome is None else outcome for outcome in outcomes],
            reject_overlength=reject,
        )

    async def StreamClassify(
        self,
        request_iterator: AsyncIterator[pb.StreamClassifyRequest | Undecodable],
        context: Context,
    ) -> AsyncIterator[pb.StreamClassifyResponse]:
        """Any number of texts, through a bounded window."""
        model = self._ready()
        stream = Stream(
            model.batcher,
            model.replies,
            self._limits,
            window_texts=self._window_texts,
            deadline=_deadline(context),
        )
        self._streams.add(stream)
        try:
            async for response in stream.responses(request_iterator):
                yield response
        finally:
            self._streams.discard(stream)
            await stream.abandon()

    async def GetModel(self, request: pb.GetModelRequest, context: Context) -> pb.GetModelResponse:
        """Which model answers, and what a request may hold."""
        return pb.GetModelResponse(model=self._ready().replies.model)

    def _ready(self) -> _Model:
        if self.refusal is not None:
            self.refused_calls += 1
            # One exception for all calls, which would else hold the frames of each that it ended.
            raise self.refusal.with_traceback(None)
        if self._model is None:
            raise Starting("the model is still being loaded: try again shortly")
        return self._model


def _deadline(context: Context) -> float | None:
    """The caller's deadline on the event loop's clock."""
    remaining = context.time_remaining()
    return None if remaining is None else asyncio.get_running_loop().time() + remaining
