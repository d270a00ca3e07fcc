"""One answer of several: the windows of a text, and the sentences of a document."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING

from valence_service.backends.labels import read_scores

if TYPE_CHECKING:
    from collections.abc import Sequence

    from valence_service.core.sentiment import Label, Sentiment


def combine(
    windows: Sequence[Sentiment],
    labels: Sequence[Label],
    *,
    tokens_total: int,
    tokens_unknown: int,
) -> Sentiment:
    """Return the sentiment of a text that was read in windows.

    Its scores are the mean of the windows' scores, weighted by their tokens.
    docs/documents.md compares it with other ways.
    """
    if len(windows) == 1:
        (window,) = windows
        if window.tokens_total >= tokens_total:
            return window
        # The only one of its windows that shows anything.
        return replace(
            window,
            tokens_total=tokens_total,
            tokens_used=tokens_total,
            tokens_unknown=tokens_unknown,
        )
    weights = [window.tokens_used for window in windows]
    rows = [_in_order(window, labels) for window in windows]
    scores = [
        sum(weight * score for weight, score in zip(weights, column, strict=True)) / sum(weights)
        for column in zip(*rows, strict=True)
    ]
    return read_scores(
        scores,
        labels,
        # A regression has no valence, and its windows have none.
        probabilities=windows[0].valence is not None,
        tokens_total=tokens_total,
        tokens_used=tokens_total,
        tokens_unknown=tokens_unknown,
        layers_used=max(window.layers_used for window in windows),
    )


def _in_order(sentiment: Sentiment, labels: Sequence[Label]) -> list[float]:
    """Return the scores in the order of the labels.

    Labels of one name stand for the same, so it does not matter which of their scores is whose.
    """
    scores: dict[str, list[float]] = {}
    for item in reversed(sentiment.scores):
        scores.setdefault(item.label, []).append(item.score)
    return [scores[label.name].pop() for label in labels]


def mixed(sentences: Sequence[Sentiment]) -> float | None:
    """Return how mixed sentences are, 0 to 1; None where a label has no valence.

    It is twice the lesser of the two sides' shares: 0 where all sentences have one side, and 1
    where both sides are equally and fully there. A sentence counts by the square of its valence,
    since weak ones are often wrong, and by the root of its tokens.
    """
    positive = negative = total = 0.0
    for sentence in sentences:
        if sentence.valence is None:
            return None
        weight = math.sqrt(sentence.tokens_used)
        total += weight
        if sentence.valence > 0:
            positive += weight * sentence.valence**2
        else:
            negative += weight * sentence.valence**2
    return 2 * min(positive, negative) / total if total else 0.0
