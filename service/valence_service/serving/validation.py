"""The rules that a request must keep. Each check raises InvalidField, which names the field."""

from __future__ import annotations

import unicodedata
from typing import TYPE_CHECKING

from valence_service.core.errors import InvalidField

if TYPE_CHECKING:
    from valence_service.core.limits import Limits
    from valence_service.core.sentiment import Sentiment


# Letters and a symbol that Unicode draws as nothing: fillers of Hangul, and Braille's blank.
_EMPTY_GLYPHS = frozenset("\u115f\u1160\u2800\u3164\uffa0")


def is_blank(text: str) -> bool:
    """Return whether a text shows nothing that a model could read.

    White space, control and format characters (zero-width ones), and marks without a letter show
    nothing. Characters of a newer Unicode than this Python's may show something.
    """
    # The first character decides for most texts. A set makes short work of many of one kind.
    return not _shows(text[:1]) and not any(map(_shows, set(text)))


def _shows(character: str) -> bool:
    if not character or character in _EMPTY_GLYPHS:
        return False
    category = unicodedata.category(character)
    return category not in ("Cc", "Cf") and category[0] not in "ZM"


def check_text(text: str, field: str, limits: Limits) -> None:
    """Refuse a text that is blank or too large."""
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
    if size > limits.max_text_bytes:
        raise InvalidField(field, f"has {size} bytes, over the limit of {limits.max_text_bytes}")


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
            "shorten it, or ask for OVERLENGTH_TRUNCATE",
        )
