"""A text and what a model shall answer."""

from __future__ import annotations

from dataclasses import dataclass

MAX_TOKENS = 64
# A neutral text leans somewhere too: valence keeps its sign from whoever knows sides.
NEUTRAL_SIDE_WEIGHT = 0.25


@dataclass(frozen=True)
class Example:
    """A text and the targets of its two questions, each with a weight.

    Is it neutral? And if it has a side, is that positive? A weight of 0 leaves a question open.
    """

    text: str
    neutral: float
    neutral_weight: float
    positive: float
    positive_weight: float
    max_tokens: int = MAX_TOKENS


def answered(text: str, neutral: float, positive: float) -> Example:
    """Return an example that answers both questions, as the cross-entropy of three labels does."""
    return Example(text, neutral, 1.0, positive, max(1 - neutral, NEUTRAL_SIDE_WEIGHT))


def of_three(text: str, target: tuple[float, float, float]) -> Example:
    """Return an example whose three probabilities are known."""
    negative, neutral, positive = target
    return answered(text, neutral, positive / (negative + positive))
