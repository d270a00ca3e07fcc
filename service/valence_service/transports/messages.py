"""Messages of the contract to the service's own forms, and back."""

from __future__ import annotations

from typing import TYPE_CHECKING

from google.protobuf.duration_pb2 import Duration
from valence.v1 import sentiment_pb2 as pb

from valence_service.core.errors import InvalidField
from valence_service.core.sentiment import Polarity
from valence_service.serving.options import OffsetUnit, Order, Overlength
from valence_service.transports.status import item_status

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import TypeVar

    from valence_service.core.limits import Limits
    from valence_service.core.sentiment import Answer, ModelInfo, Sentiment, Timings
    from valence_service.serving.documents import Document
    from valence_service.serving.service import SentimentService
    from valence_service.serving.windows import WindowSize

    Meaning = TypeVar("Meaning")

_POLARITIES = {
    Polarity.UNSPECIFIED: pb.POLARITY_UNSPECIFIED,
    Polarity.NEGATIVE: pb.POLARITY_NEGATIVE,
    Polarity.NEUTRAL: pb.POLARITY_NEUTRAL,
    Polarity.POSITIVE: pb.POLARITY_POSITIVE,
}
_OVERLENGTHS: dict[int, Overlength] = {
    pb.OVERLENGTH_UNSPECIFIED: Overlength.TRUNCATE,
    pb.OVERLENGTH_TRUNCATE: Overlength.TRUNCATE,
    pb.OVERLENGTH_REJECT: Overlength.REJECT,
    pb.OVERLENGTH_WINDOWS: Overlength.WINDOWS,
}
_OFFSET_UNITS: dict[int, OffsetUnit] = {
    pb.OFFSET_UNIT_UNSPECIFIED: OffsetUnit.CODE_POINTS,
    pb.OFFSET_UNIT_CODE_POINTS: OffsetUnit.CODE_POINTS,
    pb.OFFSET_UNIT_UTF8_BYTES: OffsetUnit.UTF8_BYTES,
    pb.OFFSET_UNIT_UTF16_UNITS: OffsetUnit.UTF16_UNITS,
}
_ORDERS: dict[int, Order] = {
    pb.ORDER_UNSPECIFIED: Order.REQUEST,
    pb.ORDER_REQUEST: Order.REQUEST,
    pb.ORDER_READY: Order.READY,
}


def read_overlength(value: int, field: str = "overlength") -> Overlength:
    """Return what to do with a text that is too long. Raise InvalidField for an unknown value."""
    return _known(_OVERLENGTHS, value, field, pb.Overlength.keys())


def read_order(value: int, field: str) -> Order:
    """Return the order of answers. Raise InvalidField for an unknown value."""
    return _known(_ORDERS, value, field, pb.Order.keys())


def read_offset_unit(value: int) -> OffsetUnit:
    """Return what offsets count. Raise InvalidField for an unknown value."""
    return _known(_OFFSET_UNITS, value, "offset_unit", pb.OffsetUnit.keys())


def _known(
    meanings: Mapping[int, Meaning], value: int, field: str, names: Sequence[str]
) -> Meaning:
    if value not in meanings:
        raise InvalidField(field, f"{value} is none of {', '.join(names)}")
    return meanings[value]


class Replies:
    """Makes the replies of one model. A reply that cannot be made is a fault of the service."""

    def __init__(self, info: ModelInfo, limits: Limits, windows: WindowSize | None) -> None:
        """Take the model's facts; windows are those that it reads long texts in, if it can."""
        self.info = info
        self._ref = pb.ModelRef(name=info.name, revision=info.revision)
        self.model = pb.Model(
            name=info.name,
            revision=info.revision,
            labels=[
                pb.Label(
                    name=label.name,
                    polarity=_POLARITIES[Polarity.of(label.valence)],
                    valence=label.valence,
                )
                for label in info.labels
            ],
            limits=pb.Limits(
                max_text_bytes=limits.max_text_bytes,
                max_tokens=info.max_tokens,
                max_batch_texts=limits.max_batch_texts,
                max_id_bytes=limits.max_id_bytes,
                max_sentences=limits.max_sentences,
                max_document_bytes=limits.max_document_bytes,
            ),
            windows=pb.Windows(tokens=windows.max_tokens, stride=windows.stride)
            if windows
            else None,
            engine=info.engine,
            precision=info.precision,
            device=info.device,
            engine_reason=info.engine_reason,
            layers=info.layers,
        )

    @classmethod
    def of(cls, service: SentimentService) -> Replies:
        """Return what makes the replies of the model that answers now. Raise Unavailable."""
        return cls(service.model(), service.limits, service.windows())

    def sentiment(self, sentiment: Sentiment) -> pb.Sentiment:
        """Return the message of a sentiment."""
        top = sentiment.scores[0]
        return pb.Sentiment(
            label=top.label,
            score=top.score,
            scores=[pb.LabelScore(label=s.label, score=s.score) for s in sentiment.scores],
            polarity=_POLARITIES[sentiment.polarity],
            valence=sentiment.valence,
            tokens_total=sentiment.tokens_total,
            tokens_used=sentiment.tokens_used,
            truncated=sentiment.truncated,
            model=self._ref,
            tokens_unknown=sentiment.tokens_unknown,
            layers_used=sentiment.layers_used,
        )

    def classify(self, answer: Answer) -> pb.ClassifyResponse:
        """Return the reply of Classify."""
        return pb.ClassifyResponse(
            sentiment=self.sentiment(answer.sentiment), timings=_timings([answer.timings])
        )

    def batch(
        self, results: Sequence[Answer | Exception], timings: Sequence[Timings]
    ) -> pb.BatchClassifyResponse:
        """Return the reply of BatchClassify: an item for each result, in order."""
        return pb.BatchClassifyResponse(
            results=[self._item(result) for result in results], timings=_timings(timings)
        )

    def document(self, document: Document) -> pb.ClassifyDocumentResponse:
        """Return the reply of ClassifyDocument."""
        return pb.ClassifyDocumentResponse(
            document=self.sentiment(document.sentiment),
            sentences=[
                pb.Sentence(begin=span.begin, end=span.end, sentiment=self.sentiment(sentiment))
                for span, sentiment in document.sentences
            ],
            mixed=document.mixed,
            windows=document.windows,
            timings=_timings([document.timings]),
        )

    def _item(self, result: Answer | Exception) -> pb.BatchClassifyResult:
        if isinstance(result, Exception):
            return pb.BatchClassifyResult(error=item_status(result))
        return pb.BatchClassifyResult(sentiment=self.sentiment(result.sentiment))

    def stream_item(self, request_id: str, result: Answer | Exception) -> pb.StreamClassifyResponse:
        """Return one reply of StreamClassify."""
        if isinstance(result, Exception):
            return pb.StreamClassifyResponse(id=request_id, error=item_status(result))
        return pb.StreamClassifyResponse(
            id=request_id,
            sentiment=self.sentiment(result.sentiment),
            timings=_timings([result.timings]),
        )


def _timings(timings: Sequence[Timings]) -> pb.Timings:
    """Return the longest wait and the longest computation; zero where there were none."""
    return pb.Timings(
        queue_duration=_duration(max((t.queue_seconds for t in timings), default=0.0)),
        inference_duration=_duration(max((t.inference_seconds for t in timings), default=0.0)),
    )


def _duration(seconds: float) -> Duration:
    whole, nanos = divmod(round(seconds * 1e9), 10**9)
    return Duration(seconds=whole, nanos=nanos)
