"""Messages to the domain and back. Everything that arrives is validated here."""

from __future__ import annotations

from typing import TYPE_CHECKING

from google.protobuf.duration_pb2 import Duration
from valence.v1 import sentiment_pb2 as pb

from valence_service.core.errors import InvalidField
from valence_service.core.sentiment import Polarity
from valence_service.transports.grpc.status import status_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from valence_service.core.limits import Limits
    from valence_service.core.sentiment import Answer, ModelInfo, Sentiment, Timings

_POLARITIES = {
    Polarity.UNSPECIFIED: pb.POLARITY_UNSPECIFIED,
    Polarity.NEGATIVE: pb.POLARITY_NEGATIVE,
    Polarity.NEUTRAL: pb.POLARITY_NEUTRAL,
    Polarity.POSITIVE: pb.POLARITY_POSITIVE,
}
# Made once: protobuf makes the list anew each time it is asked.
_OVERLENGTHS, _ORDERS = frozenset(pb.Overlength.values()), frozenset(pb.Order.values())


def check_text(text: str, field: str, limits: Limits) -> None:
    """Raises InvalidField unless the text is one that can be classified."""
    if not text or text.isspace():
        raise InvalidField(field, "is empty or only white space")
    size = len(text) if text.isascii() else len(text.encode())
    if size > limits.max_text_bytes:
        raise InvalidField(field, f"has {size} bytes, over the limit of {limits.max_text_bytes}")


def check_batch(texts: Sequence[str], limits: Limits) -> None:
    """Raises InvalidField unless a batch may hold so many texts."""
    if not texts:
        raise InvalidField("texts", f"is empty: send 1 to {limits.max_batch_texts} texts")
    if len(texts) > limits.max_batch_texts:
        raise InvalidField(
            "texts", f"has {len(texts)} texts, over the limit of {limits.max_batch_texts}"
        )


def check_id(request_id: str, limits: Limits) -> None:
    """Raises InvalidField where the id is too long."""
    size = len(request_id.encode())
    if size > limits.max_id_bytes:
        raise InvalidField("id", f"has {size} bytes, over the limit of {limits.max_id_bytes}")


def rejects_overlength(value: pb.Overlength.ValueType, field: str = "overlength") -> bool:
    """Whether a text that is too long is to be refused. Raises InvalidField."""
    if value not in _OVERLENGTHS:
        raise InvalidField(field, f"{value} is none of {', '.join(pb.Overlength.keys())}")
    return value == pb.OVERLENGTH_REJECT


def answers_when_ready(value: pb.Order.ValueType, field: str) -> bool:
    """Whether answers need not come in the order of the requests. Raises InvalidField."""
    if value not in _ORDERS:
        raise InvalidField(field, f"{value} is none of {', '.join(pb.Order.keys())}")
    return value == pb.ORDER_READY


class Replies:
    """Makes the replies of one model."""

    def __init__(self, info: ModelInfo, limits: Limits) -> None:
        self._max_tokens = info.max_tokens
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
            ),
            engine=info.engine,
            precision=info.precision,
            device=info.device,
            engine_reason=info.engine_reason,
        )

    def sentiment(self, answer: Answer, field: str, *, reject_overlength: bool) -> pb.Sentiment:
        """The message of a sentiment. Raises InvalidField where it is to be refused as too long.

        A text is known to be too long only once a worker has tokenized it, so one to be refused
        is computed all the same: refusing is the rare case, and one way through the engine is
        worth more than its cost.
        """
        sentiment = answer.sentiment
        if reject_overlength and sentiment.truncated:
            raise InvalidField(
                field,
                f"has {sentiment.tokens_total} tokens, over the limit of {self._max_tokens}: "
                "shorten it, or ask for OVERLENGTH_TRUNCATE",
            )
        return self._message(sentiment)

    def _message(self, sentiment: Sentiment) -> pb.Sentiment:
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
        )

    def classify(self, answer: Answer, *, reject_overlength: bool) -> pb.ClassifyResponse:
        """The reply of Classify."""
        return pb.ClassifyResponse(
            sentiment=self.sentiment(answer, "text", reject_overlength=reject_overlength),
            timings=timings_message([answer.timings]),
        )

    def batch(
        self, outcomes: Sequence[Answer | BaseException], *, reject_overlength: bool
    ) -> pb.BatchClassifyResponse:
        """The reply of BatchClassify: an item for each outcome, in order."""
        return pb.BatchClassifyResponse(
            results=[
                self._item(outcome, f"texts[{index}]", reject_overlength)
                for index, outcome in enumerate(outcomes)
            ],
            timings=timings_message(
                [o.timings for o in outcomes if not isinstance(o, BaseException)]
            ),
        )

    def _item(
        self, outcome: Answer | BaseException, field: str, reject_overlength: bool
    ) -> pb.BatchClassifyResult:
        try:
            if isinstance(outcome, BaseException):
                raise outcome
            sentiment = self.sentiment(outcome, field, reject_overlength=reject_overlength)
            return pb.BatchClassifyResult(sentiment=sentiment)
        except Exception as error:
            return pb.BatchClassifyResult(error=status_of(error))


def timings_message(timings: Sequence[Timings]) -> pb.Timings:
    """The longest wait and the longest computation; zero where there were none."""
    return pb.Timings(
        queue_duration=_duration(max((t.queue_seconds for t in timings), default=0.0)),
        inference_duration=_duration(max((t.inference_seconds for t in timings), default=0.0)),
    )


def _duration(seconds: float) -> Duration:
    whole, nanos = divmod(round(seconds * 1e9), 10**9)
    return Duration(seconds=whole, nanos=nanos)
