"""What a text is divided into: sentences, and windows of tokens that a model can read."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence


@dataclass(frozen=True, slots=True)
class Span:
    """A part of a text, in code points: ``text[begin:end]``."""

    begin: int
    end: int


class Segmenter(Protocol):
    """Finds the sentences of a text."""

    def segment(self, text: str) -> Iterator[Span]:
        """Yield each sentence in order; only white space lies outside of them.

        It computes as the caller takes them, so a caller that stops early pays for no more.
        """


@dataclass(frozen=True, slots=True)
class TextTokens:
    """The tokens of a whole text."""

    spans: Sequence[tuple[int, int]]
    """Begin and end of each token in code points, in order; without the special tokens."""
    total: int
    """The number of tokens, special tokens included."""
    unknown: int
    """How many of them the model has no word for."""


class TokenReader(Protocol):
    """A model's tokenizer, apart from those of its replicas. Used by one thread at a time."""

    def read(self, text: str) -> TextTokens:
        """Return the tokens of a text, however many they are."""

    def count(self, texts: Sequence[str]) -> list[int]:
        """Return the number of tokens of each text, special tokens included."""
