"""The rules that a request must keep. Each check raises InvalidField, which names the field."""

from __future__ import annotations

from typing import TYPE_CHECKING

from valence_service.core.errors import InvalidField
from valence_service.core.text import is_blank

if TYPE_CHECKING:
    from valence_service.core.limits import Limits
    from valence_service.core.sentiment import Sentiment


def check_text(text: str, field: str, limits: Limits) -> None:
    """Refuse a text that is blank or too large."""
    _check_text(text, field, limits.max_text_bytes)


def check_document(text: str, limits: Limits) -> None:
    """Refuse a document that is blank or too large."""
    _check_text(text, "text", limits.max_document_bytes)


def _check_text(text: str, field: str, max_bytes: int) -> None:
    if not text or text.isspace():
        raise InvalidField(field, "is empty or only white space")
    if is_blank(text):
        raise InvalidField(
            field, "has only characters that show nothing: control, zero-width or combining ones"
        )
    try:
        size = len(text) if text.isascii() else len(text.encode())
    except UnicodeEncodeError:
        # JSON can write one; protobuf cannot.
        raise InvalidField(field, "has a lone surrogate, which is no character") from None
    if size > max_bytes:
        raise InvalidField(field, f"has {size} bytes, over the limit of {max_bytes}")


def check_batch(texts: int, limits: Limits) -> None:
    """Refuse a batch of no texts, or of too many."""
    if not texts:
        raise InvalidField("texts", f"is empty: send 1 to {limits.max_batch_texts} texts")
    if texts > limits.max_batch_texts:
        raise InvalidField(
            "texts", f"has {texts} texts, over the limit of {limits.max_batch_texts}"
        )


def check_id(request_id: str, limits: Limits) -> None:
    """Refuse an id that is too long."""
    size = len(request_id.encode())
    if size > limits.max_id_bytes:
        raise InvalidField("id", f"has {size} bytes, over the limit of {limits.max_id_bytes}")


def check_length(sentiment: Sentiment, field: str, max_tokens: int) -> None:
    """Refuse a text of which the model has read only a part.

    Only a replica's tokenizer knows how long a text is, so a text to be refused is computed all the
    same: refusing is rare, and one way through the scheduler is worth more than it costs.
    """
    if sentiment.truncated:
        raise InvalidField(
            field,
            f"has {sentiment.tokens_total} tokens, over the limit of {max_tokens}: "
            "shorten it, or ask for OVERLENGTH_TRUNCATE or OVERLENGTH_WINDOWS",
        )
