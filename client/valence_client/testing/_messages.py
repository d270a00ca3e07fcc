"""Convert plain data to messages: the reverse of what the client does."""

from __future__ import annotations

from typing import TYPE_CHECKING

from google.rpc import error_details_pb2, status_pb2
from valence.v1 import sentiment_pb2 as pb

from valence_client.errors import InvalidText, ModelFailed, Overloaded, ServerFailed, ValenceError
from valence_client.results import Polarity

if TYPE_CHECKING:
    from valence_client.results import ModelInfo, Sentiment

_POLARITIES = {
    Polarity.NEGATIVE: pb.POLARITY_NEGATIVE,
    Polarity.NEUTRAL: pb.POLARITY_NEUTRAL,
    Polarity.POSITIVE: pb.POLARITY_POSITIVE,
    Polarity.UNSPECIFIED: pb.POLARITY_UNSPECIFIED,
}

# The service's reasons that differ from the name of the status.
_REASONS = {InvalidText: "INVALID_FIELD", Overloaded: "OVERLOADED", ModelFailed: "MODEL_FAILED"}


def sentiment_message(sentiment: Sentiment) -> pb.Sentiment:
    """Return the sentiment as the service sends it."""
    return pb.Sentiment(
        label=sentiment.label,
        score=sentiment.score,
        scores=[pb.LabelScore(label=each.label, score=each.score) for each in sentiment.scores],
        polarity=_POLARITIES[sentiment.polarity],
        valence=sentiment.valence,
        tokens_total=sentiment.tokens_total,
        tokens_used=sentiment.tokens_used,
        truncated=sentiment.truncated,
        model=pb.ModelRef(name=sentiment.model.name, revision=sentiment.model.revision),
        tokens_unknown=sentiment.tokens_unknown,
        layers_used=sentiment.layers_used,
    )


def model_message(model: ModelInfo) -> pb.Model:
    """Return the model as the service describes it."""
    limits = model.limits
    return pb.Model(
        name=model.name,
        revision=model.revision,
        labels=[
            pb.Label(name=label.name, polarity=_POLARITIES[label.polarity], valence=label.valence)
            for label in model.labels
        ],
        limits=pb.Limits(
            max_text_bytes=limits.max_text_bytes,
            max_tokens=limits.max_tokens,
            max_batch_texts=limits.max_batch_texts,
            max_id_bytes=limits.max_id_bytes,
            max_document_bytes=limits.max_document_bytes,
            max_sentences=limits.max_sentences,
        ),
        windows=(
            pb.Windows(tokens=model.windows.tokens, stride=model.windows.stride)
            if model.windows
            else None
        ),
        engine=model.engine,
        precision=model.precision,
        device=model.device,
        engine_reason=model.engine_reason,
        layers=model.layers,
    )


def status_message(error: ValenceError) -> status_pb2.Status:
    """Return the error as the service sends it."""
    status = status_pb2.Status(code=error.code.value[0], message=str(error))
    # Without a reason the client would take it for an error of gRPC itself.
    reason = error.reason or _REASONS.get(type(error), error.code.name)
    info = error_details_pb2.ErrorInfo(reason=reason, domain="valence")
    if isinstance(error, ServerFailed) and error.incident:
        info.metadata["id"] = error.incident
    status.details.add().Pack(info)
    if isinstance(error, InvalidText):
        request = error_details_pb2.BadRequest()
        request.field_violations.add(field=error.field, description=error.description)
        status.details.add().Pack(request)
    if isinstance(error, Overloaded) and error.retry_after_seconds is not None:
        retry = error_details_pb2.RetryInfo()
        retry.retry_delay.FromNanoseconds(round(error.retry_after_seconds * 1e9))
        status.details.add().Pack(retry)
    return status
