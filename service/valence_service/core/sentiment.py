"""What a sentiment is, and which model it comes from."""

from __future__ import annotations

import enum
import math
from dataclasses import dataclass


class Polarity(enum.Enum):
    """The side of a label or a sentiment, whatever the model calls it."""

    UNSPECIFIED = enum.auto()
    NEGATIVE = enum.auto()
    NEUTRAL = enum.auto()
    POSITIVE = enum.auto()

    @classmethod
    def of(cls, valence: float | None) -> Polarity:
        """Return the side of a valence in [-1, 1]; UNSPECIFIED where there is none."""
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
    tokens_unknown: int = 0
    layers_used: int = 0
    """0 where the number of the model's layers is unknown."""

    def __post_init__(self) -> None:
        """Raise ValueError for a score that is no number: no client may take it for an answer."""
        if not all(math.isfinite(item.score) for item in self.scores):
            raise ValueError("the model's scores are not numbers")

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
    layers: int = 0
    """0 where it is unknown."""
    engine_reason: str = ""
    """For people: why this engine and precision, where the service was left to choose."""


@dataclass(frozen=True, slots=True)
class Timings:
    """How long a text waited and was computed."""

    queue_seconds: float
    inference_seconds: float
    queued_at: float
    """When the wait began, by ``core.clock``."""


@dataclass(frozen=True, slots=True)
class Answer:
    """A sentiment and what it took."""

    sentiment: Sentiment
    timings: Timings
