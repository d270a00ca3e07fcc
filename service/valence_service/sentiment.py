"""The domain: what a sentiment is, what a classifier does, and what can go wrong.

Knows neither the wire nor the weights; every other room of the service imports it.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Sequence


class Polarity(enum.Enum):
    """The side a label or a sentiment is on, whatever the model calls it."""

    UNSPECIFIED = enum.auto()
    NEGATIVE = enum.auto()
    NEUTRAL = enum.auto()
    POSITIVE = enum.auto()

    @classmethod
    def of(cls, valence: float | None) -> Polarity:
        """The side of a valence in [-1, 1]; UNSPECIFIED where there is none."""
        if valence is None:
            return cls.UNSPECIFIED
        if valence == 0:
            return cls.NEUTRAL
        return cls.POSITIVE if valence > 0 else cls.NEGATIVE


@dataclass(frozen=True, slots=True)
class Label:
    """One label of a model, in its own name, and how positive it is: -1 to 1, None if unknown."""

    name: str
    valence: float | None


@dataclass(frozen=True, slots=True)
class LabelScore:
    """A label and its score."""

    label: str
    score: float


@dataclass(frozen=True, slots=True)
class Sentiment:
    """What a model says of one text. The fields are the contract's (sentiment.proto)."""

    scores: tuple[LabelScore, ...]
    """Every label, highest score first; never empty."""
    polarity: Polarity
    valence: float | None
    tokens_total: int
    tokens_used: int

    @property
    def truncated(self) -> bool:
        """Whether the model read less than the whole text."""
        return self.tokens_used < self.tokens_total


@dataclass(frozen=True, slots=True)
class ModelInfo:
    """The model that answers, and how it is computed."""

    name: str
    revision: str
    labels: tuple[Label, ...]
    max_tokens: int
    """The most tokens of a text that it reads, its special tokens included."""
    engine: str
    precision: str
    device: str
    engine_reason: str = ""
    """For people: why this engine and precision, where the service was left to choose."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What a request may hold."""

    max_text_bytes: int
    max_batch_texts: int
    max_id_bytes: int = 256


@dataclass(frozen=True, slots=True)
class Timings:
    """Where a text's time went."""

    queue_seconds: float
    inference_seconds: float
    queued_at: float
    """When the wait began, by the engine's clock."""


@dataclass(frozen=True, slots=True)
class Answer:
    """A sentiment and what it took."""

    sentiment: Sentiment
    timings: Timings


@dataclass(slots=True)
class TokenCount:
    """What a replica has been given to compute so far. Its thread counts, any may read."""

    texts: int = 0
    """Tokens of texts."""
    padding: int = 0
    """Tokens that filled shorter texts up."""


class Classifier(Protocol):
    """One replica of a model with a tokenizer of its own. Used by one thread at a time."""

    @property
    def info(self) -> ModelInfo:
        """The model, and how it is computed."""

    @property
    def tokens(self) -> TokenCount:
        """What it has been given to compute so far."""

    def classify(self, texts: Sequence[str]) -> Sequence[Sentiment]:
        """One sentiment for each text, in order. May raise anything; blocks its thread."""


class ValenceError(Exception):
    """What a caller is told instead of an answer. The message is for the caller to read."""


class InvalidField(ValenceError):
    """A field of a request breaks a rule."""

    def __init__(self, field: str, description: str) -> None:
        super().__init__(f"{field}: {description}")
        self.field = field
        """The path from the request message: ``text``, ``texts[3]``."""
        self.description = description


class MalformedMessage(ValenceError):
    """The bytes of a request are not its message."""


class Unauthenticated(ValenceError):
    """The call carries no token that counts."""


class Overloaded(ValenceError):
    """There is no time until the caller's deadline; or, as QueueFull, no room in the queue."""

    def __init__(self, message: str, *, retry_after_seconds: float) -> None:
        super().__init__(message)
        self.retry_after_seconds = retry_after_seconds


class QueueFull(Overloaded):
    """There is no room in the queue."""


class DeadlinePassed(ValenceError):
    """The caller's deadline passed before the text's turn came."""


class Unavailable(ValenceError):
    """The service does not take calls now."""


class Starting(Unavailable):
    """The model is still being loaded."""


class Draining(Unavailable):
    """The service is ending."""


class Unhealthy(Unavailable):
    """The model no longer answers as it should."""


class ModelFailed(ValenceError):
    """The model raised on this text, or broke its promise. The cause is for the log alone."""
