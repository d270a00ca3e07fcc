"""What the service answers, as plain frozen data. The fields mean what sentiment.proto says."""

from __future__ import annotations

import enum
from dataclasses import dataclass, field
from typing import TypeAlias

from valence_client.errors import ValenceError


class Polarity(enum.StrEnum):
    """The side a label or a sentiment is on, whatever the model calls it."""

    NEGATIVE = "negative"
    NEUTRAL = "neutral"
    POSITIVE = "positive"
    UNSPECIFIED = "unspecified"
    """The model's labels do not say, and the operator has not mapped them."""


@dataclass(frozen=True, slots=True)
class LabelScore:
    """A label in the model's own name, and its score."""

    label: str
    score: float


@dataclass(frozen=True, slots=True)
class ModelRef:
    """Which model, exactly."""

    name: str
    revision: str


@dataclass(frozen=True, slots=True)
class Timings:
    """Where the time went in the server."""

    queue_seconds: float
    inference_seconds: float


@dataclass(frozen=True, slots=True)
class Sentiment:
    """What a text feels like."""

    label: str
    """The model's own name for the label with the highest score."""
    score: float
    """That label's score: a probability, 0 to 1, or a regression's raw output."""
    scores: tuple[LabelScore, ...]
    """Every label, highest score first."""
    polarity: Polarity
    valence: float | None
    """How positive, -1 (negative) to 1 (positive); None where a label has no valence."""
    tokens_total: int
    tokens_used: int
    truncated: bool
    """Whether the model read less than the whole text."""
    model: ModelRef
    timings: Timings | None = field(default=None, compare=False)
    """For a text of a batch, the longest among the batch's texts."""


Outcome: TypeAlias = Sentiment | ValenceError
"""What became of one text of many: its sentiment, or why it has none."""


@dataclass(frozen=True, slots=True)
class StreamItem:
    """An outcome and which text it belongs to."""

    index: int
    """The text's place in the input, from 0."""
    outcome: Outcome


@dataclass(frozen=True, slots=True)
class Label:
    """One label of a model and what it means."""

    name: str
    polarity: Polarity
    valence: float | None
    """How positive, -1 to 1; None where its name does not say."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What a request may hold."""

    max_text_bytes: int
    max_tokens: int
    """The most tokens of a text that the model reads, its special tokens included."""
    max_batch_texts: int
    max_id_bytes: int


@dataclass(frozen=True, slots=True)
class ModelInfo:
    """The model that answers, and what a request may hold."""

    name: str
    revision: str
    labels: tuple[Label, ...]
    """In the model's own order."""
    limits: Limits
    engine: str
    precision: str
    device: str
    engine_reason: str
    """For people: why this engine and precision; empty where the operator chose."""
