"""What a fake service does with a text, apart from the wire."""

from __future__ import annotations

import dataclasses
import unicodedata
from typing import TYPE_CHECKING

from valence.v1 import sentiment_pb2 as pb

from valence_client.errors import InvalidText, ValenceError
from valence_client.results import Label, Limits, ModelInfo, Polarity, Windows
from valence_client.testing._answers import REVISION, answer_to

if TYPE_CHECKING:
    from valence_client.results import Sentiment
    from valence_client.testing._answers import Answers

MODEL = ModelInfo(
    name="fake",
    revision=REVISION,
    labels=(
        Label("NEGATIVE", Polarity.NEGATIVE, -1.0),
        Label("POSITIVE", Polarity.POSITIVE, 1.0),
    ),
    limits=Limits(
        max_text_bytes=65536,
        max_tokens=256,
        max_batch_texts=64,
        max_id_bytes=256,
        max_document_bytes=65536,
        max_sentences=800,
    ),
    engine="fake",
    precision="f32",
    device="cpu",
    engine_reason="",
    windows=Windows(256, 224),
)
"""The model that GetModel describes unless a test gives another."""


class Behaviour:
    """Answers texts, refuses what the real service refuses, and fails when a test says so."""

    def __init__(self, answers: Answers, model: ModelInfo) -> None:
        """Start with no text seen and no failure planned."""
        self.answers = answers
        """May be changed at any time."""
        self.model = model
        self.texts: list[str] = []
        """The texts received, in order."""
        self._failures: list[ValenceError] = []

    def fail(self, error: ValenceError, *, calls: int = 1) -> None:
        """Fail the next ``calls`` calls as a whole; each attempt of a retry is a call."""
        self._failures += [error] * calls

    def next_failure(self) -> ValenceError | None:
        """Return the error that the call which has just come fails with."""
        return self._failures.pop(0) if self._failures else None

    def answer(
        self,
        text: str,
        field: str,
        overlength: pb.Overlength.ValueType,
        *,
        max_bytes: int | None = None,
    ) -> Sentiment:
        """Return the answer to a text. Raise ValenceError where it has none."""
        self.texts.append(text)
        limits = self.model.limits
        if not text.strip():
            raise invalid(field, "is empty or only white space")
        if not any(map(_shows, set(text))):
            raise invalid(
                field,
                "has only characters that show nothing: control, zero-width or combining ones",
            )
        most = max_bytes or limits.max_text_bytes
        if (size := len(text.encode())) > most:
            raise invalid(field, f"has {size} bytes, over the limit of {most}")
        tokens = len(text.split())
        if tokens > limits.max_tokens and overlength == pb.OVERLENGTH_REJECT:
            raise invalid(field, f"has {tokens} tokens, over the limit of {limits.max_tokens}")
        answer = answer_to(text, self.answers)
        if isinstance(answer, ValenceError):
            raise answer
        if answer.tokens_total:
            return answer
        used = tokens if overlength == pb.OVERLENGTH_WINDOWS else min(tokens, limits.max_tokens)
        return dataclasses.replace(
            answer, tokens_total=tokens, tokens_used=used, truncated=used < tokens
        )


def _shows(character: str) -> bool:
    """Return whether a character shows anything, as the real service sees it."""
    category = unicodedata.category(character)
    shown = category not in ("Cc", "Cf") and category[0] not in "ZM"
    return shown and character not in "\u115f\u1160\u2800\u3164\uffa0"


def invalid(field: str, description: str) -> InvalidText:
    """Return the error of a field that breaks a rule."""
    return InvalidText(
        f"{field}: {description}", reason="INVALID_FIELD", field=field, description=description
    )
