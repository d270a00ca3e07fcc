"""Whether two computations of a model say the same of the same texts."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from valence_service.core.sentiment import Sentiment

# Another compilation, other kernels, and even other addresses of the same weights may add in
# another order. That changes the last digits of a float32; other weights change the first ones.
WITHIN = 1e-4


def check_alike(given: Sequence[Sentiment], expected: Sequence[Sentiment]) -> None:
    for one, other in zip(given, expected, strict=True):
        assert _scores(one) == pytest.approx(_scores(other), abs=WITHIN)
        assert _tokens(one) == _tokens(other)


def _tokens(sentiment: Sentiment) -> tuple[int, int, int]:
    return sentiment.tokens_total, sentiment.tokens_used, sentiment.tokens_unknown


def _scores(sentiment: Sentiment) -> dict[str, float]:
    return {score.label: score.score for score in sentiment.scores}
