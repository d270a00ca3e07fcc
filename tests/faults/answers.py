"""What the small model says of some texts, by the reference engine."""

from __future__ import annotations

from valence.v1 import sentiment_pb2 as pb
from valence_service.core.sentiment import Sentiment

from tests.support import models
from tests.support.loading import load

TOLERANCE = 1e-3
_TEXTS = (
    *models.TEXTS,
    *(f"{text} {word}" for text in models.TEXTS for word in models.WORDS),
    *(f"{first} {second}" for first in models.WORDS for second in models.WORDS),
)


class Answers:
    """Texts of which none can be taken for another, and what is right of each."""

    def __init__(self, model: str) -> None:
        self._right: dict[str, Sentiment] = {}
        for text, right in zip(_TEXTS, load(model).classify(_TEXTS), strict=True):
            if not any(_alike(right, other) for other in self._right.values()):
                self._right[text] = right
        self.texts = list(self._right)

    def check(self, text: str, sentiment: pb.Sentiment) -> None:
        """Fails unless the sentiment is this text's."""
        right = self._right[text]
        said = {score.label: score.score for score in sentiment.scores}
        for score in right.scores:
            assert abs(said[score.label] - score.score) < TOLERANCE, (text, said, right)
        assert sentiment.label == sentiment.scores[0].label
        assert (sentiment.tokens_total, sentiment.tokens_used) == (
            right.tokens_total,
            right.tokens_used,
        )

    def tokens(self, text: str) -> int:
        """How many tokens a text has."""
        return self._right[text].tokens_total

    def text(self, number: int) -> str:
        """One of the texts; neighbours in number are different ones."""
        return self.texts[number % len(self.texts)]


def _alike(one: Sentiment, other: Sentiment) -> bool:
    near = abs(_negative(one) - _negative(other)) < 3 * TOLERANCE
    return near and one.tokens_total == other.tokens_total


def _negative(sentiment: Sentiment) -> float:
    return next(score.score for score in sentiment.scores if score.label == "NEGATIVE")
