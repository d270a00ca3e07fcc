"""The answers that a test gives to a fake service."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TypeAlias

from valence_client.errors import ServerFailed, ValenceError
from valence_client.results import LabelScore, ModelRef, Polarity, Sentiment

Answer: TypeAlias = float | Sentiment | ValenceError
"""A valence from -1 to 1, a whole sentiment, or an error to fail with."""

Answers: TypeAlias = Answer | Mapping[str, Answer] | Callable[[str], Answer]
"""One answer for every text, one by text, or a function from a text to its answer."""

REVISION = "0" * 40


def sentiment(valence: float) -> Sentiment:
    """Return the sentiment of a two-label model: POSITIVE from 0 on, with a score of 0.5 to 1.

    Raise ValueError if valence is not between -1 and 1.
    """
    if not -1 <= valence <= 1:
        raise ValueError(f"valence is {valence}: give -1 to 1")
    positive = LabelScore("POSITIVE", (1 + valence) / 2)
    negative = LabelScore("NEGATIVE", (1 - valence) / 2)
    first, second = (positive, negative) if valence >= 0 else (negative, positive)
    return Sentiment(
        label=first.label,
        score=first.score,
        scores=(first, second),
        polarity=Polarity.POSITIVE if valence >= 0 else Polarity.NEGATIVE,
        valence=valence,
        tokens_total=0,
        tokens_used=0,
        truncated=False,
        model=ModelRef("fake", REVISION),
    )


def answer_to(text: str, answers: Answers) -> Sentiment | ValenceError:
    """Return the answer to a text. The caller counts the tokens of a sentiment."""
    found: Answer
    if isinstance(answers, Mapping):
        if text not in answers:
            return ServerFailed(f"the fake service was given no answer for {text!r}")
        found = answers[text]
    elif callable(answers):
        try:
            found = answers(text)
        except ValenceError as error:
            found = error
    else:
        found = answers
    return sentiment(found) if isinstance(found, int | float) else found
