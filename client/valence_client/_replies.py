"""Convert responses to plain data. Never waits."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from valence.v1 import sentiment_pb2 as pb

from valence_client._status import error_of_status
from valence_client.errors import ServerFailed
from valence_client.results import (
    Document,
    Label,
    LabelScore,
    Limits,
    ModelInfo,
    ModelRef,
    Polarity,
    Sentence,
    Sentiment,
    Timings,
    Windows,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from valence_client.errors import InvalidText
    from valence_client.results import Outcome

_POLARITIES = {
    pb.POLARITY_NEGATIVE: Polarity.NEGATIVE,
    pb.POLARITY_NEUTRAL: Polarity.NEUTRAL,
    pb.POLARITY_POSITIVE: Polarity.POSITIVE,
}


def batch_outcomes(
    response: pb.BatchClassifyResponse, texts: int, unsent: Mapping[int, InvalidText]
) -> list[Outcome]:
    """Return one outcome per text, in order. Raise ServerFailed if their numbers differ."""
    if len(response.results) != texts:
        raise ServerFailed(f"the server answered {len(response.results)} of {texts} texts")
    timings = _timings(response.timings)
    return [
        unsent.get(index) or outcome(result, timings)
        for index, result in enumerate(response.results)
    ]


def outcome(
    result: pb.BatchClassifyResult | pb.StreamClassifyResponse, timings: Timings | None
) -> Outcome:
    """Return the sentiment of one text of many, or its error."""
    match result.WhichOneof("result"):
        case "sentiment":
            return _fault(result.sentiment) or sentiment(result.sentiment, timings)
        case "error":
            return error_of_status(result.error)
        case _:
            return ServerFailed("the server's answer is empty")


def classified(response: pb.ClassifyResponse) -> Sentiment:
    """Return the sentiment in a response of Classify. Raise ServerFailed if it has no score."""
    if fault := _fault(response.sentiment):
        raise fault
    return sentiment(response.sentiment, _timings(response.timings))


def streamed(response: pb.StreamClassifyResponse) -> Outcome:
    """Return the outcome of one text of a stream."""
    return outcome(response, _timings(response.timings) if response.HasField("timings") else None)


def document(response: pb.ClassifyDocumentResponse, text: str) -> Document:
    """Return the document in a response. Raise ServerFailed if a score or a place is none."""
    timings = _timings(response.timings)
    for message in (response.document, *(each.sentiment for each in response.sentences)):
        if fault := _fault(message):
            raise fault
    edges = [edge for each in response.sentences for edge in (each.begin, each.end)]
    if edges != sorted(edges) or (edges and not 0 <= edges[0] <= edges[-1] <= len(text)):
        raise ServerFailed("the server's sentences do not lie in the text")
    return Document(
        sentiment=sentiment(response.document, timings),
        sentences=tuple(
            Sentence(
                text[each.begin : each.end],
                each.begin,
                each.end,
                sentiment(each.sentiment, timings),
            )
            for each in response.sentences
        ),
        mixed=response.mixed if response.HasField("mixed") else None,
        windows=response.windows,
    )


def _fault(message: pb.Sentiment) -> ServerFailed | None:
    """Return an error if a score is NaN or infinite, so that no file of a client's holds it."""
    scores = (message.score, message.valence, *(item.score for item in message.scores))
    if all(map(math.isfinite, scores)):
        return None
    return ServerFailed("the server's answer has a score that is not a finite number")


def sentiment(message: pb.Sentiment, timings: Timings | None) -> Sentiment:
    """Return the message as plain data."""
    return Sentiment(
        label=message.label,
        score=message.score,
        scores=tuple(LabelScore(item.label, item.score) for item in message.scores),
        polarity=_polarity(message.polarity),
        valence=message.valence if message.HasField("valence") else None,
        tokens_total=message.tokens_total,
        tokens_used=message.tokens_used,
        truncated=message.truncated,
        model=ModelRef(message.model.name, message.model.revision),
        timings=timings,
        tokens_unknown=message.tokens_unknown,
        layers_used=message.layers_used,
    )


def model_info(response: pb.GetModelResponse) -> ModelInfo:
    """Return the model in a response of GetModel."""
    model = response.model
    return ModelInfo(
        name=model.name,
        revision=model.revision,
        labels=tuple(
            Label(
                name=label.name,
                polarity=_polarity(label.polarity),
                valence=label.valence if label.HasField("valence") else None,
            )
            for label in model.labels
        ),
        limits=Limits(
            max_text_bytes=model.limits.max_text_bytes,
            max_tokens=model.limits.max_tokens,
            max_batch_texts=model.limits.max_batch_texts,
            max_id_bytes=model.limits.max_id_bytes,
            max_document_bytes=model.limits.max_document_bytes,
            max_sentences=model.limits.max_sentences,
        ),
        engine=model.engine,
        precision=model.precision,
        device=model.device,
        engine_reason=model.engine_reason,
        layers=model.layers,
        windows=(
            Windows(model.windows.tokens, model.windows.stride)
            if model.HasField("windows")
            else None
        ),
    )


def _timings(message: pb.Timings) -> Timings:
    return Timings(
        queue_seconds=message.queue_duration.ToNanoseconds() / 1e9,
        inference_seconds=message.inference_duration.ToNanoseconds() / 1e9,
    )


def _polarity(value: pb.Polarity.ValueType) -> Polarity:
    # A newer server may send values that this client does not know.
    return _POLARITIES.get(value, Polarity.UNSPECIFIED)
