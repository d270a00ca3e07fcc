"""The service's answers as plain frozen data. sentiment.proto defines the fields."""

from __future__ import annotations

import enum
from dataclasses import dataclass, field
from typing import TypeAlias

from valence_client.errors import ValenceError


class Polarity(enum.StrEnum):
    """The side of a label or a sentiment, in the same words for every model."""

    NEGATIVE = "negative"
    NEUTRAL = "neutral"
    POSITIVE = "positive"
    UNSPECIFIED = "unspecified"
    """The model's labels do not reveal it, and the operator has not mapped them."""


@dataclass(frozen=True, slots=True)
class LabelScore:
    """A label in the model's own name, and its score."""

    label: str
    score: float


@dataclass(frozen=True, slots=True)
class ModelRef:
    """A model's name and exact revision."""

    name: str
    revision: str


@dataclass(frozen=True, slots=True)
class Timings:
    """The time that a text spent in the server."""

    queue_seconds: float
    inference_seconds: float


@dataclass(frozen=True, slots=True)
class Sentiment:
    """The sentiment of a text."""

    label: str
    """The label with the highest score, in the model's own name."""
    score: float
    """That label's score: a probability, 0 to 1, or a regression's raw output."""
    scores: tuple[LabelScore, ...]
    """Every label, highest score first."""
    polarity: Polarity
    valence: float | None
    """How positive, from -1 to 1; None if a label has no valence."""
    tokens_total: int
    tokens_used: int
    truncated: bool
    """Whether the model read less than the whole text."""
    model: ModelRef
    timings: Timings | None = field(default=None, compare=False)
    """For a text of a batch, the longest times among the batch's texts."""
    tokens_unknown: int = 0
    """Tokens among tokens_used that the model has no word for, such as emoji or another script."""
    layers_used: int = 0
    """Layers of the model that were computed for this text; 0 if unknown."""


@dataclass(frozen=True, slots=True)
class Sentence:
    """A sentence of a document."""

    text: str
    begin: int
    """Its place in the document's text: ``document_text[begin:end]``."""
    end: int
    sentiment: Sentiment


@dataclass(frozen=True, slots=True)
class Document:
    """The sentiment of a text of any length, and of each of its sentences."""

    sentiment: Sentiment
    """Of the whole text, read to its end in windows."""
    sentences: tuple[Sentence, ...]
    """In the order of the text; only white space lies outside of them."""
    mixed: float | None
    """0 to 1: near 1 if positive and negative sentences are equally strong. None if a label has no
    valence."""
    windows: int
    """The windows that the model read for the sentiment of the whole."""


Outcome: TypeAlias = Sentiment | ValenceError
"""The outcome of one text of many: its sentiment, or the error that says why it has none."""


@dataclass(frozen=True, slots=True)
class StreamItem:
    """An outcome, and the index of its text."""

    index: int
    """The text's place in the input; the first is 0."""
    outcome: Outcome


@dataclass(frozen=True, slots=True)
class Label:
    """One label of a model, and its meaning."""

    name: str
    polarity: Polarity
    valence: float | None
    """How positive, from -1 to 1; None if its name does not reveal it."""


@dataclass(frozen=True, slots=True)
class Limits:
    """The limits of a request."""

    max_text_bytes: int
    max_tokens: int
    """The most tokens of a text that the model reads, its special tokens included."""
    max_batch_texts: int
    max_id_bytes: int
    max_document_bytes: int = 0
    """0 if the server knows no documents."""
    max_sentences: int = 0


@dataclass(frozen=True, slots=True)
class Windows:
    """How the windows over a long text overlap."""

    tokens: int
    """The most tokens of a window, its special tokens included."""
    stride: int
    """Tokens from the beginning of a window to that of the next, if no sentence ends nearby."""


@dataclass(frozen=True, slots=True)
class ModelInfo:
    """The model that answers, and the limits of a request."""

    name: str
    revision: str
    labels: tuple[Label, ...]
    """In the model's own order."""
    limits: Limits
    engine: str
    precision: str
    device: str
    engine_reason: str
    """Why this engine and precision, for people; empty if the operator chose them."""
    layers: int = 0
    """The number of its layers; 0 if unknown."""
    windows: Windows | None = None
    """None if the server cannot read long texts in windows."""
