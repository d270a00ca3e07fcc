"""A server of the contract that answers as its texts tell it to, over a real socket."""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncIterator
from typing import Any

import grpc
from google.protobuf.duration_pb2 import Duration
from google.rpc import error_details_pb2 as details
from google.rpc.status_pb2 import Status
from valence.v1 import sentiment_pb2 as pb
from valence.v1 import sentiment_pb2_grpc

MODEL = pb.ModelRef(name="fixed", revision="0123456789ab")
TIMINGS = pb.Timings(
    queue_duration=Duration(nanos=1_500_000), inference_duration=Duration(seconds=2)
)
MAX_TOKENS = 8


def status(code: grpc.StatusCode, message: str, *packed: Any) -> Status:
    made = Status(code=code.value[0], message=message)
    for detail in packed:
        made.details.add().Pack(detail)
    return made


def info(reason: str, **metadata: str) -> details.ErrorInfo:
    return details.ErrorInfo(reason=reason, domain="valence", metadata=metadata)


def violation(field: str, description: str) -> details.BadRequest:
    item = details.BadRequest.FieldViolation(field=field, description=description)
    return details.BadRequest(field_violations=[item])


def retry_in(seconds: float) -> details.RetryInfo:
    return details.RetryInfo(retry_delay=Duration(nanos=round(seconds * 1e9)))


def empty_text(field: str) -> Status:
    return status(
        grpc.StatusCode.INVALID_ARGUMENT,
        f"{field}: is empty",
        info("INVALID_FIELD"),
        violation(field, "is empty"),
    )


# gRPC's words where Envoy has lost the server in the middle of a call.
RESET = "Received RST_STREAM with error code 2"
DRAINING = status(grpc.StatusCode.UNAVAILABLE, "the server is ending", info("DRAINING"))


def sentiment(text: str) -> pb.Sentiment:
    """Positive where the text has "good" in it. A sun is an unknown token.

    The score of "not a number" is none.
    """
    good = "good" in text
    names = ("POSITIVE", "NEGATIVE") if good else ("NEGATIVE", "POSITIVE")
    scores = (math.nan if "not a number" in text else 0.75, 0.25)
    tokens = len(text.split()) + 2
    return pb.Sentiment(
        label=names[0],
        score=scores[0],
        scores=[pb.LabelScore(label=n, score=s) for n, s in zip(names, scores, strict=True)],
        polarity=pb.POLARITY_POSITIVE if good else pb.POLARITY_NEGATIVE,
        valence=0.5 if good else -0.5,
        tokens_total=tokens,
        tokens_used=min(tokens, MAX_TOKENS),
        truncated=tokens > MAX_TOKENS,
        tokens_unknown=text.count("☀"),
        layers_used=4,
        model=MODEL,
    )


class Contract(sentiment_pb2_grpc.SentimentServiceServicer):
    """Fixed answers; a text named in ``failures`` gets that status instead.

    A text ``hold`` is answered once ``released`` is set. In a stream, ``end`` ends it at once and
    ``twice`` is answered twice, ``drain`` ends it as a server does that
    ends; one that asks for answers as they are ready gets them in reverse.
    """

    def __init__(self) -> None:
        self.failures: dict[str, Status] = {}
        self.pushback_ms: str | None = None
        self.model: Status | None = None
        """Why GetModel fails, if so."""
        self.fails_first = 0
        """How many calls are refused with UNAVAILABLE before one is taken."""
        self.drains = 1
        """How often a text ``drain`` ends its stream before it is answered."""
        self.drained = DRAINING
        """How it ends."""
        self.requests: list[Any] = []
        self.authorization: list[str] = []
        self.holding = asyncio.Event()
        self.released = asyncio.Event()
        self.stream_left = asyncio.Event()

    async def Classify(self, request: pb.ClassifyRequest, context: Any) -> pb.ClassifyResponse:
        await self._begin(request, context)
        if (failure := await self._failure(request.text, "text")) is not None:
            await self._abort(context, failure)
        return pb.ClassifyResponse(sentiment=sentiment(request.text), timings=TIMINGS)

    async def BatchClassify(
        self, request: pb.BatchClassifyRequest, context: Any
    ) -> pb.BatchClassifyResponse:
        await self._begin(request, context)
        response = pb.BatchClassifyResponse(timings=TIMINGS)
        for index, text in enumerate(request.texts):
            if text == "end":
                break
            if (failure := await self._failure(text, f"texts[{index}]")) is not None:
                response.results.add(error=failure)
            elif text == "nothing":
                response.results.add()
            else:
                response.results.add(sentiment=sentiment(text))
        return response

    async def StreamClassify(
        self, request_iterator: AsyncIterator[pb.StreamClassifyRequest], context: Any
    ) -> AsyncIterator[pb.StreamClassifyResponse]:
        late: list[pb.StreamClassifyResponse] = []
        ready = False
        try:
            async for request in request_iterator:
                self._note(request, context)
                ready = ready or request.options.order == pb.ORDER_READY
                if request.text == "end":
                    return
                if request.text == "drain" and self.drains:
                    self.drains -= 1
                    for response in late:
                        yield response
                    await self._abort(context, self.drained)
                response = await self._streamed(request)
                if ready:
                    late.insert(0, response)
                    continue
                yield response
                if request.text == "twice":
                    yield response
            for response in late:
                yield response
        finally:
            self.stream_left.set()

    async def ClassifyDocument(
        self, request: pb.ClassifyDocumentRequest, context: Any
    ) -> pb.ClassifyDocumentResponse:
        """Each line is a sentence. A text of "nowhere" gets one that does not lie in it."""
        await self._begin(request, context)
        if (failure := await self._failure(request.text, "text")) is not None:
            await self._abort(context, failure)
        response = pb.ClassifyDocumentResponse(
            document=sentiment(request.text), windows=2, timings=TIMINGS
        )
        begin = 0
        for line in request.text.splitlines():
            end = begin + len(line)
            response.sentences.add(begin=begin, end=end, sentiment=sentiment(line))
            begin = end + 1
        if request.text == "nowhere":
            response.sentences[0].end += 1
        elif request.text != "unknown":
            response.mixed = 0.25
        return response

    async def GetModel(self, request: pb.GetModelRequest, context: Any) -> pb.GetModelResponse:
        await self._begin(request, context)
        if self.model is not None:
            await self._abort(context, self.model)
        labels = [
            pb.Label(name="NEGATIVE", polarity=pb.POLARITY_NEGATIVE, valence=-1),
            pb.Label(name="LABEL_1"),
        ]
        limits = pb.Limits(
            max_text_bytes=65536,
            max_tokens=MAX_TOKENS,
            max_batch_texts=64,
            max_id_bytes=256,
            max_document_bytes=1000,
            max_sentences=9,
        )
        model = pb.Model(
            name=MODEL.name,
            revision=MODEL.revision,
            labels=labels,
            limits=limits,
            engine="pipeline",
            precision="f32",
            device="cpu",
            engine_reason="f32: the reference",
            layers=6,
            windows=pb.Windows(tokens=8, stride=6),
        )
        return pb.GetModelResponse(model=model)

    async def _streamed(self, request: pb.StreamClassifyRequest) -> pb.StreamClassifyResponse:
        if (failure := await self._failure(request.text, "text")) is not None:
            return pb.StreamClassifyResponse(id=request.id, error=failure)
        return pb.StreamClassifyResponse(
            id=request.id, sentiment=sentiment(request.text), timings=TIMINGS
        )

    async def _begin(self, request: Any, context: Any) -> None:
        self._note(request, context)
        if self.fails_first:
            self.fails_first -= 1
            refusal = status(grpc.StatusCode.UNAVAILABLE, "not yet", info("STARTING"))
            await self._abort(context, refusal)

    def _note(self, request: Any, context: Any) -> None:
        self.requests.append(request)
        metadata = dict(context.invocation_metadata())
        self.authorization.append(metadata.get("authorization", ""))

    async def _failure(self, text: str, field: str) -> Status | None:
        if text == "hold":
            self.holding.set()
            await self.released.wait()
        return self.failures.get(text) if text else empty_text(field)

    async def _abort(self, context: Any, failure: Status) -> None:
        code = next(code for code in grpc.StatusCode if code.value[0] == failure.code)
        trailers: list[tuple[str, str | bytes]] = []
        if failure.details:
            trailers.append(("grpc-status-details-bin", failure.SerializeToString()))
        if self.pushback_ms is not None:
            trailers.append(("grpc-retry-pushback-ms", self.pushback_ms))
        await context.abort(code, failure.message, tuple(trailers))
