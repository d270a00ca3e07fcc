"""The documents of a fake service."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from valence.v1 import sentiment_pb2 as pb

from valence_client.testing._behaviour import invalid
from valence_client.testing._messages import sentiment_message

if TYPE_CHECKING:
    from valence_client.testing._behaviour import Behaviour

# A sentence ends at a line break, or at a full stop, question or exclamation mark before a space.
_SENTENCE = re.compile(r"\S[^\r\n]*?(?:[.!?]+(?=\s)|(?=\s*(?:[\r\n]|\Z)))")
_ENCODINGS = {
    pb.OFFSET_UNIT_UNSPECIFIED: ("utf-32-le", 4),
    pb.OFFSET_UNIT_CODE_POINTS: ("utf-32-le", 4),
    pb.OFFSET_UNIT_UTF8_BYTES: ("utf-8", 1),
    pb.OFFSET_UNIT_UTF16_UNITS: ("utf-16-le", 2),
}


def document_message(
    behaviour: Behaviour, request: pb.ClassifyDocumentRequest
) -> pb.ClassifyDocumentResponse:
    """Return the answer to a document: one for the whole text, and one for each sentence.

    Raise ValenceError where a part has none.
    """
    text, limits = request.text, behaviour.model.limits
    if request.offset_unit not in _ENCODINGS:
        raise invalid("offset_unit", f"{request.offset_unit} is none of {pb.OffsetUnit.keys()}")
    whole = behaviour.answer(
        text, "text", pb.OVERLENGTH_WINDOWS, max_bytes=limits.max_document_bytes
    )
    spans = [match.span() for match in _SENTENCE.finditer(text)]
    if len(spans) > limits.max_sentences:
        raise invalid("text", f"has more sentences than the limit of {limits.max_sentences}")
    sentences = [
        behaviour.answer(text[begin:end], "text", pb.OVERLENGTH_TRUNCATE) for begin, end in spans
    ]
    encoding, unit_bytes = _ENCODINGS[request.offset_unit]

    def counted(at: int) -> int:
        return len(text[:at].encode(encoding)) // unit_bytes

    valences = [sentence.valence for sentence in sentences if sentence.valence is not None]
    sides = [sum(max(0.0, sign * valence) for valence in valences) for sign in (1, -1)]
    known = len(valences) == len(sentences)
    return pb.ClassifyDocumentResponse(
        document=sentiment_message(whole),
        sentences=[
            pb.Sentence(
                begin=counted(begin), end=counted(end), sentiment=sentiment_message(sentence)
            )
            for (begin, end), sentence in zip(spans, sentences, strict=True)
        ],
        mixed=2 * min(sides) / max(1, len(valences)) if known else None,
        windows=1,
    )
